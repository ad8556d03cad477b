import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import torch

from jdl.optim.clipping import clip_by_average_norm


def test_a_fixed_threshold_is_torchs():
    gradient = {"w": jnp.array([[3.0, -1.0]]), "b": jnp.array([2.0])}
    for threshold in (1.0, 100.0):
        clip = optax.clip_by_global_norm(threshold)
        clipped, _ = clip.update(gradient, clip.init(gradient))
        theirs = [torch.zeros(1, 2), torch.zeros(1)]
        for leaf, value in zip(theirs, ([[3.0, -1.0]], [2.0]), strict=True):
            leaf.grad = torch.tensor(value)
        torch.nn.utils.clip_grad_norm_(theirs, threshold)
        np.testing.assert_allclose(clipped["w"], theirs[0].grad, rtol=1e-5)
        np.testing.assert_allclose(clipped["b"], theirs[1].grad, rtol=1e-5)


def test_the_threshold_is_the_average_over_past_updates():
    random = np.random.default_rng(0)
    clip = clip_by_average_norm(1.5, first_updates=5)
    state = clip.init({"w": jnp.zeros((3, 2)), "b": jnp.zeros(2)})
    update = jax.jit(clip.update)
    norms, clipped_ones = [], 0
    for step in range(40):
        scale = 30.0 if step in (20, 30) else 1.0
        gradient = {
            "w": jnp.asarray(scale * random.standard_normal((3, 2)), jnp.float32),
            "b": jnp.asarray(scale * random.standard_normal(2), jnp.float32),
        }
        norm = float(optax.global_norm(gradient))
        limit = 1.5 * np.mean(norms) if step >= 5 else np.inf
        clipped, state = update(gradient, state)
        factor = min(1.0, limit / norm)
        clipped_ones += factor < 1
        for name in gradient:
            np.testing.assert_allclose(clipped[name], factor * gradient[name], rtol=1e-4)
        norms.append(norm)
    assert 2 <= clipped_ones < 20


def test_a_gradient_of_zeros_and_one_that_is_not_finite_do_no_harm():
    clip = clip_by_average_norm(first_updates=1)
    state = clip.init(jnp.zeros(2))
    _, state = clip.update(jnp.array([3.0, 4.0]), state)
    _, state = clip.update(jnp.array([jnp.inf, 0.0]), state)
    clipped, state = clip.update(jnp.zeros(2), state)
    assert (clipped == 0).all()
    assert (float(state.total), int(state.seen)) == (pytest.approx(5.0), 2)
