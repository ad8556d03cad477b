import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats

from jdl.ops.likelihood import (
    bits_per_dimension,
    dequantize,
    importance_weighted_bound,
    normal_log_density,
)


def test_dequantised_pixels_stay_in_their_own_bin():
    levels = np.arange(256, dtype=np.float32).reshape(1, 16, 16, 1)
    keys = jax.random.split(jax.random.key(0), 50)
    spread = dequantize(keys, jnp.asarray(np.repeat(levels, 50, 0) / 255))
    np.testing.assert_array_equal(np.floor(np.asarray(spread) * 256), np.repeat(levels, 50, 0))
    offsets = np.asarray(spread) * 256 - levels
    assert offsets.mean() == pytest.approx(0.5, abs=0.01)
    assert offsets.std() == pytest.approx(np.sqrt(1 / 12), abs=0.01)


def test_bits_of_a_density_that_knows_the_value_are_none():
    """Uniform on one of 256 bins: the pixel is known, and takes no bit."""
    known = jnp.full(3, 4 * np.log(256))
    np.testing.assert_allclose(bits_per_dimension(known, 4), 0, atol=1e-5)


def test_the_normal_density_is_scipys():
    random = np.random.RandomState(0)
    x, mean, log_variance = (random.randn(6, 3).astype(np.float32) for _ in range(3))
    theirs = scipy.stats.norm(mean, np.exp(log_variance / 2)).logpdf(x).sum(1)
    ours = normal_log_density(*map(jnp.asarray, (x, mean, log_variance)))
    np.testing.assert_allclose(ours, theirs, rtol=1e-5)


def log_weights(key, samples, deviation, x=1.5):
    """z ~ N(0, 1), x|z ~ N(z, 1), so that x ~ N(0, 2) and z|x ~ N(x/2, 1/2)."""
    z = x / 2 + deviation * jax.random.normal(key, (samples, 20_000))
    norm = scipy.stats.norm
    log_w = norm.logpdf(x, z) + norm.logpdf(z) - norm.logpdf(z, x / 2, deviation)
    return jnp.asarray(log_w, jnp.float32)


def test_the_importance_weighted_bound_rises_to_the_likelihood():
    truth = scipy.stats.norm.logpdf(1.5, 0, np.sqrt(2))
    bounds = [
        float(importance_weighted_bound(log_weights(jax.random.key(k), k, 1.2)).mean())
        for k in (1, 4, 64)
    ]
    assert bounds == sorted(bounds)
    assert bounds[0] < truth - 0.05
    assert bounds[2] == pytest.approx(truth, abs=0.01)
    assert max(bounds) < truth + 1e-3
    # With the true posterior a single sample says it all.
    exact = importance_weighted_bound(log_weights(jax.random.key(0), 1, np.sqrt(0.5)))
    np.testing.assert_allclose(exact, truth, atol=1e-4)
