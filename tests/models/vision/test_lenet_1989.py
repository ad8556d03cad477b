import jax
import jax.numpy as jnp
import pytest

import jdl
from jdl.errors import UserError


@pytest.fixture(scope="module")
def model():
    return jdl.create_model("lenet1989")


@pytest.fixture(scope="module")
def variables(model):
    return jax.jit(model.init)(jax.random.key(0), jnp.zeros((1, 16, 16, 1)))


def test_counts_of_every_layer(variables):
    counts = dict.fromkeys(("H1", "H2", "H3", "output"), 0)
    for name, layer in variables["params"].items():
        counts[name.partition(".")[0]] += sum(leaf.size for leaf in jax.tree.leaves(layer))
    assert counts == {"H1": 1068, "H2": 2592, "H3": 5790, "output": 310}


def test_units_have_biases_of_their_own(variables):
    assert variables["params"]["H1"]["bias"].shape == (8, 8, 12)


def test_shapes_and_range(model, variables):
    x = jax.random.uniform(jax.random.key(1), (2, 16, 16, 1))
    y, state = model.apply(variables, x, mutable="intermediates")
    shapes = {name: x[0].shape[1:] for name, x in state["intermediates"].items()}
    assert shapes == {"h1": (8, 8, 12), "h2": (4, 4, 12), "h3": (30,)}
    assert y.shape == (2, 10)
    assert float(jnp.abs(y).max()) < 1.7159


def test_weights_start_within_the_papers_bounds(variables):
    kernel = variables["params"]["H1"]["kernel"]
    assert 0.9 * 2.4 / 25 < float(jnp.abs(kernel).max()) <= 2.4 / 25


def test_larger_digits_are_brought_to_sixteen_pixels(model, variables):
    assert model.apply(variables, jnp.zeros((2, 28, 28, 1))).shape == (2, 10)
    with pytest.raises(UserError, match="square images from 16x16, not 8x8"):
        model.apply(variables, jnp.zeros((1, 8, 8, 1)))
