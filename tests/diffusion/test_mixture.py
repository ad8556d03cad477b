import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jdl.diffusion.gaussian import Scales, diffuse, to_score

from .known import MIXTURE

SCALES = Scales(jnp.float32(0.6), jnp.float32(0.4))


def points(count=20_000):
    return MIXTURE.sample(jax.random.split(jax.random.key(0), count))


def test_samples_have_the_moments_and_the_weights():
    x = np.asarray(points())
    np.testing.assert_allclose(x.mean(0), MIXTURE.mean, atol=0.02)
    np.testing.assert_allclose(np.cov(x.T), MIXTURE.covariance, atol=0.02)
    shares = np.bincount(MIXTURE.component(jnp.asarray(x)), minlength=3) / len(x)
    np.testing.assert_allclose(shares, MIXTURE.weights, atol=0.015)


@pytest.mark.parametrize("scales", [None, SCALES])
def test_the_score_is_the_gradient_of_the_log_density(scales):
    x = points(50)
    expected = jax.grad(lambda x: MIXTURE.log_density(x, scales).sum())(x)
    np.testing.assert_allclose(MIXTURE.score(x, scales), expected, rtol=1e-3, atol=1e-3)


def test_the_density_adds_up_to_one():
    side = jnp.linspace(-4, 4, 401)
    grid = jnp.stack(jnp.meshgrid(side, side), -1).reshape(-1, 2)
    for scales in (None, SCALES):
        mass = jnp.exp(MIXTURE.log_density(grid, scales)).sum() * float(side[1] - side[0]) ** 2
        assert float(mass) == pytest.approx(1, abs=1e-3)


def test_the_noisy_density_is_that_of_noisy_points():
    x = points()
    noisy = diffuse(x, jax.random.normal(jax.random.key(1), x.shape), SCALES)
    middle = (abs(noisy - jnp.array([[0.5, 0.3]])) < 0.15).all(1).mean() / 0.09
    expected = jnp.exp(MIXTURE.log_density(jnp.array([[0.5, 0.3]]), SCALES))[0]
    assert float(middle) == pytest.approx(float(expected), rel=0.1)


def test_the_denoiser_is_tweedies():
    x = points(50)
    found = to_score(MIXTURE.denoise(x, SCALES), x, SCALES)
    np.testing.assert_allclose(found, MIXTURE.score(x, SCALES), rtol=1e-3, atol=1e-3)
