import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats

from jdl.ops.density import density_on_grid, kernel_density, scott_covariance


@pytest.mark.parametrize("axes", [1, 2, 3])
def test_it_equals_scipys(axes):
    random = np.random.RandomState(axes)
    mixing = np.eye(axes) + 0.3
    samples, points = random.randn(60, axes) @ mixing, random.randn(25, axes)
    theirs = scipy.stats.gaussian_kde(samples.T)
    covariance = scott_covariance(jnp.asarray(samples, jnp.float32))
    np.testing.assert_allclose(covariance, theirs.covariance, rtol=1e-4)
    ours = kernel_density(
        jnp.asarray(points, jnp.float32), jnp.asarray(samples, jnp.float32), covariance
    )
    np.testing.assert_allclose(ours, theirs(points.T), rtol=1e-4)


def test_a_convolution_on_a_grid_is_the_same_estimate():
    samples = jnp.asarray(np.random.RandomState(0).randn(200), jnp.float32)
    grid = jnp.linspace(-6.0, 6.0, 601)
    direct = kernel_density(grid[:, None], samples[:, None], jnp.full((1, 1), 0.09))
    found = density_on_grid(samples, grid, 0.3)
    np.testing.assert_allclose(found, direct, atol=2e-4)
    np.testing.assert_allclose(float(found.sum()) * 0.02, 1.0, rtol=1e-3)


def test_diracs_on_the_grid_are_exact():
    grid = jnp.linspace(-4.0, 4.0, 81)
    samples = grid[jnp.array([30, 31, 50, 0, 80])]
    direct = kernel_density(grid[:, None], samples[:, None], jnp.full((1, 1), 0.25))
    np.testing.assert_allclose(density_on_grid(samples, grid, 0.5), direct, atol=1e-5)
