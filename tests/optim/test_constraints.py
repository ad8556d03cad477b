import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import torch

from jdl.optim.constraints import max_norm, renormalize_filters, soft_threshold


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


def test_max_norm_is_torchs_of_every_unit():
    kernel = (
        jax.random.normal(jax.random.key(0), (3, 3, 2, 5))
        * jnp.linspace(0.1, 1, 5)[None, None, None]
    )
    params = {"conv": kernel, "dense": kernel.reshape(18, 5), "bias": jnp.full(5, 9.0)}
    step = jax.tree.map(lambda x: 0.3 * x, params)
    updates, _ = jax.jit(max_norm(1.5).update)(step, optax.EmptyState(), params)
    new = optax.apply_updates(params, updates)
    expected = torch.renorm(torch.tensor(np.asarray(1.3 * kernel)), 2, 3, 1.5)
    np.testing.assert_allclose(new["conv"], expected, rtol=1e-4)
    np.testing.assert_allclose(new["dense"], expected.reshape(18, 5), rtol=1e-4)
    np.testing.assert_allclose(new["bias"], 1.3 * 9)
    norms = np.linalg.norm(new["dense"], axis=0)
    assert (norms < 1.4999).any()
    assert norms.max() == pytest.approx(1.5, rel=1e-5)


def test_soft_thresholds_solve_the_l1_problem():
    """Of ½ ‖w − a‖² + λ ‖w‖₁ the minimum is known: a itself, shrunk by λ."""
    target = jnp.array([[2.0, -0.3, 0.5, -1.0]])
    optimizer = optax.chain(optax.sgd(0.5), soft_threshold(0.5 * 0.4))
    w, state = jnp.zeros((1, 4)), optimizer.init(jnp.zeros((1, 4)))
    for _ in range(40):
        updates, state = optimizer.update(w - target, state, w)
        w = optax.apply_updates(w, updates)
    np.testing.assert_allclose(w, [[1.6, 0.0, 0.1, -0.6]], atol=1e-6)
    assert w[0, 1] == 0


def test_thresholds_follow_their_schedule_and_spare_biases():
    shrink = soft_threshold(lambda count: 1.0 / (1 + count))
    params = {"kernel": jnp.full((1, 1), 5.0), "bias": jnp.full(1, 5.0)}
    zeros = jax.tree.map(jnp.zeros_like, params)
    state = shrink.init(params)
    for expected in (-1.0, -0.5):
        updates, state = shrink.update(zeros, state, params)
        assert updates["kernel"] == pytest.approx(expected)
        assert updates["bias"] == 0
