"""Samplers driven by an exact denoiser, whose answer is known."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jdl.diffusion.samplers import ddim
from jdl.diffusion.schedules import cosine_schedule, linear_schedule

MEAN, VARIANCE = 0.5, 0.04


@pytest.mark.parametrize("eta", [0.0, 1.0])
@pytest.mark.parametrize("schedule", [linear_schedule, cosine_schedule])
def test_a_gaussian_is_sampled_with_its_moments(eta, schedule):
    """The posterior mean of x₀ ~ N(m, v) given xₜ is linear in xₜ.

    All steps are taken: with η = 1, long strides lose variance by design.
    """
    alpha_bar = schedule(1000)

    def denoise(noisy, t):
        a = jnp.asarray(alpha_bar)[t][:, None]
        gain = jnp.sqrt(a) * VARIANCE / (a * VARIANCE + 1 - a)
        return MEAN + gain * (noisy - jnp.sqrt(a) * MEAN)

    keys = jax.random.split(jax.random.key(0), 4000)
    samples, _ = ddim(denoise, keys, (1,), alpha_bar, steps=1000, eta=eta)
    assert float(samples.mean()) == pytest.approx(MEAN, abs=0.015)
    assert float(samples.var()) == pytest.approx(VARIANCE, rel=0.1)


def test_a_sample_does_not_depend_on_its_neighbours():
    def denoise(noisy, t):
        return 0.5 * noisy

    keys = jax.random.split(jax.random.key(0), 6)
    together, _ = ddim(denoise, keys, (2, 2), cosine_schedule(), steps=7, eta=1.0)
    alone, _ = ddim(denoise, keys[3:4], (2, 2), cosine_schedule(), steps=7, eta=1.0)
    np.testing.assert_allclose(alone[0], together[3], rtol=1e-5)


def test_without_eta_only_the_start_is_random():
    calls = []

    def denoise(noisy, t):
        calls.append(t.shape)
        return jnp.zeros_like(noisy)

    keys = jax.random.split(jax.random.key(0), 3)
    images, guesses = ddim(denoise, keys, (2,), cosine_schedule(), steps=5)
    assert (images == 0).all()
    assert guesses.shape == (5, 3, 2)
    assert calls == [(3,)], "the loop was unrolled"
