import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jdl.optim.constraints import renormalize_filters


def rms(kernel):
    return np.sqrt(np.square(kernel).mean((0, 1, 2)))


def test_large_filters_are_scaled_and_small_ones_left():
    kernel = jax.random.normal(jax.random.key(0), (5, 5, 3, 4)) * jnp.array([[[[1, 0.01, 0.5, 0]]]])
    params = {"kernel": kernel, "bias": jnp.full(4, 7.0), "dense": jnp.full((3, 4), 7.0)}
    optimizer = optax.chain(optax.sgd(0.0), renormalize_filters(0.1))
    updates, _ = optimizer.update(
        jax.tree.map(jnp.ones_like, params), optimizer.init(params), params
    )
    new = optax.apply_updates(params, updates)
    np.testing.assert_allclose(
        rms(new["kernel"]), np.minimum(rms(kernel), 0.1), rtol=1e-5, atol=1e-9
    )
    np.testing.assert_array_equal(new["kernel"][..., 1], kernel[..., 1])
    assert (new["bias"] == 7).all()
    assert (new["dense"] == 7).all()


def test_it_needs_the_parameters():
    with pytest.raises(ValueError, match="parameters"):
        renormalize_filters().update(jnp.ones((3, 3, 1, 1)), optax.EmptyState())
