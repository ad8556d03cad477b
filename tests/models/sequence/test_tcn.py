import importlib.util

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jdl
from jdl.weights import from_names, to_names
from tests.weights import reference

SMALL = {"features": (4, 4), "kernel_size": 3, "num_outputs": 2}


def signals(*shape):
    return jnp.asarray(np.random.default_rng(0).standard_normal(shape, dtype=np.float32))


@pytest.mark.parametrize("name", ["tcn", "signal_lstm"])
def test_causality_by_gradient(name):
    """Weights and inputs are positive, so that no ReLU hides what is seen."""
    model = jdl.create_model(name, **(SMALL if name == "tcn" else {"hidden_size": 5}))
    x = jnp.ones((1, 12, 3))
    variables = jax.tree.map(jnp.abs, jax.jit(model.init)(jax.random.key(0), x))
    answer = lambda x: model.apply(variables, x)[0].sum(-1)
    influence = np.abs(jax.jit(jax.jacobian(answer))(x)[:, 0]).sum(-1)  # [output, input]
    assert (influence[np.triu_indices(12, 1)] == 0).all()
    assert (influence[np.tril_indices(12)] > 0).all()


@pytest.mark.parametrize(("kernel_size", "blocks"), [(2, 3), (3, 2), (5, 1)])
def test_the_receptive_field_is_the_formulas(kernel_size, blocks):
    model = jdl.create_model("tcn", features=(4,) * blocks, kernel_size=kernel_size)
    x = jnp.ones((1, 40, 2))
    variables = jax.tree.map(jnp.abs, jax.jit(model.init)(jax.random.key(0), x))
    influence = jax.jit(jax.grad(lambda x: model.apply(variables, x)[0, -1].sum()))(x)
    seen = np.flatnonzero(np.abs(influence[0]).sum(-1))
    field = 1 + 2 * (kernel_size - 1) * sum(2**i for i in range(blocks))
    assert model.receptive_field == field == len(seen) == 40 - seen[0]


def test_dropout_in_training_only():
    model = jdl.create_model("tcn", **SMALL, dropout=0.5)
    x = signals(2, 8, 3)
    variables = jax.jit(model.init)(jax.random.key(0), x)
    apply = jax.jit(model.apply, static_argnames="train")
    rngs = {"dropout": jax.random.key(1)}
    np.testing.assert_array_equal(apply(variables, x, rngs=rngs), apply(variables, x))
    assert (apply(variables, x, rngs=rngs, train=True) != apply(variables, x)).any()


@pytest.mark.skipif(importlib.util.find_spec("torch") is None, reason="needs torch")
@pytest.mark.parametrize("time", [16, 21])
def test_answers_are_torchs(time):
    """The authors' network, put together from torch's weight-normalised convolutions."""
    import torch

    model = jdl.create_model("tcn", **SMALL)
    x = signals(2, time, 2)
    variables = jax.eval_shape(model.init, jax.random.key(0), x)
    empty = jax.tree.map(lambda leaf: np.broadcast_to(np.float32(0), leaf.shape), variables)
    state = reference.random_state({name: a.shape for name, a in to_names(empty).items()})
    weights = {name: torch.from_numpy(array) for name, array in state.items()}

    y = torch.tensor(np.asarray(x)).transpose(1, 2)
    for i in range(2):
        block, z = f"tcn.network.{i}.", y
        for name in ("conv1", "conv2"):
            part = {
                key: weights[f"{block}{name}.{key}"] for key in ("weight_v", "weight_g", "bias")
            }
            outputs, inputs, _ = part["weight_v"].shape
            conv = torch.nn.Conv1d(inputs, outputs, 3, padding=2 * 2**i, dilation=2**i)
            conv = torch.nn.utils.weight_norm(conv)
            conv.load_state_dict(part)
            z = torch.relu(conv(z)[..., : -2 * 2**i])
        if f"{block}downsample.weight" in weights:
            path = (weights[f"{block}downsample.{key}"] for key in ("weight", "bias"))
            y = torch.nn.functional.conv1d(y, *path)
        y = torch.relu(y + z)
    expected = y.transpose(1, 2) @ weights["linear.weight"].T + weights["linear.bias"]
    # Both kinds of blocks are there.
    assert [name for name in weights if "downsample.weight" in name] == [
        "tcn.network.0.downsample.weight"
    ]

    found = jax.jit(model.apply)(from_names(model, state), x)
    np.testing.assert_allclose(found, expected.detach().numpy(), rtol=0, atol=2e-5)


def test_the_first_weights_have_the_gain_of_their_direction():
    model = jdl.create_model("tcn", **SMALL)
    variables = jax.jit(model.init)(jax.random.key(0), signals(1, 8, 3))
    conv = variables["params"]["tcn.network.1"]["conv1"]
    norm = np.sqrt(np.square(conv["weight_v"]).sum((1, 2), keepdims=True))
    np.testing.assert_allclose(conv["weight_g"], norm, rtol=1e-6)
