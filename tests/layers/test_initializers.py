import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jdl.errors import UserError
from jdl.layers.initializers import kumar, orthogonal
from jdl.ops.activations import ACTIVATIONS

WIDTH = 1024


def variances(activation, init, depth=20):
    """The variance of what each layer gives, for inputs of mean 0 and variance 1."""
    h = jax.random.normal(jax.random.key(0), (256, WIDTH))
    found = []
    for key in jax.random.split(jax.random.key(1), depth):
        h = activation(h @ init(key, (WIDTH, WIDTH)))
        found.append(float(jnp.square(h).mean()))
    return found


@pytest.mark.parametrize("distribution", ["normal", "uniform"])
def test_unit_variance_survives_twenty_layers(distribution):
    """Each layer's draw is a factor near 1; by σ² = 1/N, ReLU would lose half at every layer."""
    identity = variances(lambda x: x, kumar(lambda x: x, distribution))
    np.testing.assert_allclose(identity, 1, atol=0.12)
    he = {"normal": nn.initializers.he_normal(), "uniform": nn.initializers.he_uniform()}
    relu = variances(jax.nn.relu, he[distribution])
    assert all(0.5 < value < 2 for value in relu), relu
    assert variances(jax.nn.relu, kumar(lambda x: x, distribution))[-1] < 1e-5


@pytest.mark.parametrize("name", ["tanh", "scaled_tanh", "sigmoid"])
def test_what_saturates_levels_off(name):
    """Kumar's is exact to the first order at 0; of what saturates, the signal stays."""
    found = variances(ACTIVATIONS[name], kumar(ACTIVATIONS[name]))
    assert all(0.02 < value < 2 for value in found), found


def test_with_weights_that_are_too_small_the_signal_is_lost():
    lost = variances(jnp.tanh, nn.initializers.normal(0.5 / WIDTH**0.5))
    assert lost[-1] < 1e-9


@pytest.mark.parametrize(
    ("name", "variance"),
    [("tanh", 1), ("sigmoid", 1 / (0.0625 * 1.25)), ("scaled_tanh", 1 / (1.7159 * 2 / 3) ** 2)],
)
def test_kumars_variance(name, variance):
    weights = kumar(ACTIVATIONS[name])(jax.random.key(0), (100, 4000))
    np.testing.assert_allclose(float(weights.var()) * 100, variance, rtol=0.02)


def test_what_is_flat_at_zero_is_refused():
    with pytest.raises(UserError, match="flat at 0"):
        kumar(jnp.sign)


def test_orthogonal_gives_flaxs_numbers():
    """But without LAPACK, whose calls lock each other out on two threads."""
    key = jax.random.key(3)
    ours, theirs = (init(key, (256, 256)) for init in (orthogonal, nn.initializers.orthogonal()))
    np.testing.assert_allclose(ours, theirs, atol=2e-4)
    np.testing.assert_allclose(ours.T @ ours, np.eye(256), atol=2e-6)
    assert "custom_call" not in jax.jit(orthogonal, static_argnums=1).lower(key, (8, 8)).as_text()
