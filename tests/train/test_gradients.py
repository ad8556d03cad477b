import contextlib
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jdl.errors import UserError
from jdl.ops.lowering import plain_lowerings
from jdl.train.gradients import is_mapped, mean_gradients
from jdl.train.metrics import mean


def loss(params, model_state, batch, key):
    predicted = jnp.tanh(batch["x"] @ params["w"])[:, 0]
    value = mean((predicted - batch["y"]) ** 2, batch["mask"])
    return value, (model_state, {"loss": value})


def make_batch(size):
    draw = np.random.default_rng(1)
    return {
        "x": jnp.array(draw.normal(size=(size, 3)), jnp.float32),
        "y": jnp.array(draw.normal(size=size), jnp.float32),
        "mask": jnp.array(draw.integers(0, 2, size), jnp.float32),
    }


@pytest.mark.parametrize("lowerings", [contextlib.nullcontext, plain_lowerings])
def test_four_microbatches_are_one_batch_even_with_padding(lowerings):
    params, batch, key = {"w": jnp.ones((3, 1))}, make_batch(16), jax.random.key(0)
    whole, _, metrics = mean_gradients(loss, params, {}, batch, key)
    with lowerings():
        cut, _, cut_metrics = mean_gradients(loss, params, {}, batch, key, microbatches=4)
    np.testing.assert_allclose(cut["w"], whole["w"], rtol=1e-5)
    for name in metrics:
        np.testing.assert_allclose(cut_metrics[name].total, metrics[name].total, rtol=1e-5)


def test_a_cpu_has_two_microbatches_in_hand():
    arguments = {"w": jnp.ones((3, 1))}, {}, make_batch(16), jax.random.key(0)
    in_hand = []
    for lowerings in (contextlib.nullcontext, plain_lowerings):
        with lowerings():
            jaxpr = jax.make_jaxpr(partial(mean_gradients, loss, microbatches=4))(*arguments)
        (scan,) = (e for e in jaxpr.eqns if e.primitive.name == "scan")
        in_hand.append(scan.params["unroll"])
    assert in_hand == [2, 1]


def test_microbatches_hand_the_other_variables_on():
    def count(params, model_state, batch, key):
        value, (_, metrics) = loss(params, model_state, batch, key)
        return value, ({"seen": model_state["seen"] + len(batch["y"])}, metrics)

    arguments = {"w": jnp.ones((3, 1))}, {"seen": jnp.array(5)}, make_batch(12), jax.random.key(0)
    assert mean_gradients(count, *arguments, microbatches=3)[1]["seen"] == 17


@pytest.mark.parametrize("count", [2, 0])
def test_a_batch_that_cannot_be_cut_is_refused(count):
    arguments = {"w": jnp.ones((3, 1))}, {}, make_batch(3), jax.random.key(0)
    with pytest.raises(UserError, match=f"3 rows of a batch cannot be cut into {count} micro"):
        mean_gradients(loss, *arguments, microbatches=count)


def test_it_is_the_gradient_of_the_mean_over_real_rows():
    params, batch = {"w": jnp.ones((3, 1))}, make_batch(16)
    ours, _, _ = mean_gradients(loss, params, {}, batch, jax.random.key(0))
    real = jax.tree.map(lambda x: x[np.asarray(batch["mask"]) > 0], batch)

    def plain(params):
        predicted = jnp.tanh(real["x"] @ params["w"])[:, 0]
        return ((predicted - real["y"]) ** 2).mean()

    np.testing.assert_allclose(ours["w"], jax.grad(plain)(params)["w"], rtol=1e-5)


def test_eight_mapped_devices_give_the_gradient_of_the_whole_batch():
    params, batch, key = {"w": jnp.ones((3, 1))}, make_batch(16), jax.random.key(0)
    whole, _, _ = mean_gradients(loss, params, {}, batch, key)
    pieces = jax.tree.map(lambda x: x.reshape(8, 2, *x.shape[1:]), batch)
    mapped = jax.pmap(
        lambda batch: mean_gradients(loss, params, {}, batch, key)[0], axis_name="data"
    )(pieces)
    for device in range(8):
        np.testing.assert_allclose(mapped["w"][device], whole["w"], rtol=1e-5)


def test_an_axis_is_seen_only_under_its_map():
    assert not is_mapped()
    assert jax.pmap(lambda x: x + is_mapped(), axis_name="data")(jnp.zeros(8)).tolist() == [1.0] * 8
