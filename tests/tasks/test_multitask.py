"""Two tasks by one network: what each teaches, and what a missing label does not."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jdl import create_model
from jdl.data import InMemoryLoader
from jdl.errors import UserError
from jdl.layers.heads import SharedTrunk
from jdl.tasks.multitask import Multitask
from jdl.train import Experiment, Options
from jdl.train.metrics import compute
from jdl.train.parallel import make_executor

KEY = jax.random.key(0)
RANDOM = np.random.RandomState(0)
BATCH = {
    "image": jnp.asarray(RANDOM.uniform(size=(8, 28, 28, 1)), jnp.float32),
    "digit": jnp.array([0, 1, 2, 3, 0, 1, -1, -1]),
    "even": jnp.array([1, 0, 1, -1, 1, 0, 1, 0]),
    "mask": jnp.array([1.0, 1, 1, 1, 1, 1, 1, 0]),
    "row": jnp.arange(8),
}


def task(optimizer=optax.sgd(0.5), **weights):
    model = SharedTrunk(
        create_model("mlp", num_classes=8, hidden_sizes=(16,)), {"digit": 4, "even": 2}
    )
    return Multitask(model, optimizer, weights or {"digit": 1.0, "even": 0.3})


def written_out(made, params, batch=BATCH):
    """Equation 1, for gradients."""
    outputs = made.model.apply({"params": params}, batch["image"], train=True)
    total = 0.0
    for name, weight in made.weights.items():
        chosen = np.flatnonzero((np.asarray(batch[name]) >= 0) & (np.asarray(batch["mask"]) > 0))
        log_p = jax.nn.log_softmax(outputs[name])
        total -= weight * jnp.mean(jnp.stack([log_p[n, batch[name][n]] for n in chosen]))
    return total


def test_an_update_follows_the_weighted_sum_over_known_labels():
    made = task()
    state = jax.jit(made.init)(KEY, BATCH)
    loss, gradients = jax.jit(jax.value_and_grad(partial(written_out, made)))(state.params)
    after, metrics = jax.jit(made.train_step)(state, BATCH, KEY)
    assert compute(metrics)["loss"] == pytest.approx(float(loss), rel=1e-5)
    expected = jax.tree.map(lambda w, g: w - 0.5 * g, state.params, gradients)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-6), after.params, expected)


def test_a_task_of_weight_zero_is_measured_and_teaches_nothing():
    made = task(digit=1.0, even=0.0)
    state = jax.jit(made.init)(KEY, BATCH)
    after, metrics = jax.jit(made.train_step)(state, BATCH, KEY)
    assert "even_accuracy" in metrics
    moved = jax.tree.map(lambda a, b: bool((a != b).any()), after.params, state.params)
    assert not any(jax.tree.leaves(moved["head_even"]))
    assert all(jax.tree.leaves(moved["head_digit"]))
    assert any(jax.tree.leaves(moved["trunk"]))


def test_a_batch_without_any_label_of_a_task_does_no_harm():
    batch = BATCH | {"digit": jnp.full(8, -1)}
    made = task()
    after, metrics = jax.jit(made.train_step)(jax.jit(made.init)(KEY, BATCH), batch, KEY)
    assert all(bool(jnp.isfinite(leaf).all()) for leaf in jax.tree.leaves(after.params))
    assert float(metrics["digit_loss"].count) == 0


@pytest.mark.parametrize("options", [Options(devices=8), Options(devices=8, parallel="pmap")])
def test_devices_divide_it_without_a_difference(options):
    made = task()
    batch = {name: np.asarray(array) for name, array in BATCH.items()}
    one, many = (make_executor(made, 0, o) for o in (Options(devices=1), options))
    ends = []
    for executor in (one, many):
        state = executor.init(executor.put(batch))
        state, metrics = executor.train_step(state, executor.put(batch), 0)
        ends.append((executor.local(state).params, compute(jax.device_get(metrics))["loss"]))
    (alone, loss), (divided, same) = ends
    assert loss == pytest.approx(same, rel=1e-5)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-5), alone, divided)


def test_both_are_learned():
    made = task(optax.adam(1e-2))
    arrays = {name: np.asarray(BATCH[name]) for name in ("image", "digit", "even")}
    experiment = Experiment(
        task=made, train=InMemoryLoader(arrays, 8), num_steps=1, evaluate_every=1
    )
    state = jax.jit(made.init)(KEY, BATCH)
    step = jax.jit(made.train_step)
    for number, batch in zip(range(60), experiment.train.train_batches()):
        state, _ = step(state, batch, jax.random.key(number))
    found = compute(made.eval_step(state, BATCH, KEY))
    assert found["digit_accuracy"] == found["even_accuracy"] == 1.0
    assert made.probabilities(state, BATCH["image"])["even"].shape == (8, 2)


def test_a_task_that_is_not_there_is_refused():
    with pytest.raises(UserError, match="the network has no head for the task 'colour'"):
        task(colour=1.0).init(KEY, BATCH)
    with pytest.raises(UserError, match="the batch has no labels for the task 'even'"):
        task().init(KEY, {name: array for name, array in BATCH.items() if name != "even"})
