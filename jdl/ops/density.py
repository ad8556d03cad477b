"""Kernel density estimation: the convolution of Diracs at the data with a kernel."""

import jax.numpy as jnp
from jax.scipy.special import logsumexp
from jaxtyping import Array, Float

from jdl.ops.signals import fft_convolve


def scott_covariance(samples: Float[Array, "n axes"]) -> Float[Array, "axes axes"]:
    """Chooses the covariance of the kernel by Scott's rule.

        H = n^(−2/(d + 4)) Σ                                                        (1)

    Args:
        samples: n points in d dimensions, more than one; Σ is their covariance.

    Returns:
        H.

    Example:
        >>> x = jnp.array([[-1.0], [0.0], [1.0]])
        >>> round(float(scott_covariance(x)[0, 0]), 3)
        0.644

    Source: Scott, "Multivariate Density Estimation", 1992, section 6.3.1.
    """
    n, axes = samples.shape
    return n ** (-2 / (axes + 4)) * jnp.cov(samples, rowvar=False).reshape(axes, axes)


def kernel_density(
    points: Float[Array, "m axes"],
    samples: Float[Array, "n axes"],
    covariance: Float[Array, "axes axes"],
) -> Float[Array, " m"]:
    """Estimates a density by a Gaussian around every sample.

        p̂(x) = 1/n Σ_t N(x; x_t, H)                                                 (2)

    which in one dimension, with H = h², is 1/(nh) Σ_t K((x − x_t)/h).

    Args:
        points: x, where it is asked for.
        samples: x_t.
        covariance: H, as `scott_covariance` chooses it.

    Returns:
        Densities.

    Example:
        >>> origin = jnp.zeros((1, 1))
        >>> round(float(kernel_density(origin, origin, jnp.eye(1))[0]), 4)
        0.3989

    Source: Parzen, 1962, https://doi.org/10.1214/aoms/1177704472.
    """
    # Rows of L⁻¹ x have the identity for covariance.
    factor = jnp.linalg.cholesky(covariance)
    whiten = jnp.linalg.inv(factor).T
    offsets = (points @ whiten)[:, None] - (samples @ whiten)[None]
    log_norm = jnp.log(jnp.diag(factor)).sum() + 0.5 * len(factor) * jnp.log(2 * jnp.pi)
    return jnp.exp(logsumexp(-0.5 * jnp.square(offsets).sum(-1), 1) - log_norm) / len(samples)


def density_on_grid(
    samples: Float[Array, " n"],
    grid: Float[Array, " m"],
    bandwidth: Float[Array, ""] | float,
) -> Float[Array, " m"]:
    """Estimates a density on a line as a convolution, whose cost does not grow with the data.

        p̂ = K_h * 1/n Σ_t δ(· − x_t)                                                (3)

    A Dirac between two points of the grid is shared between them, the more the closer.

    Args:
        samples: x_t; those outside the grid are moved to its ends.
        grid: points at equal distances.
        bandwidth: h, the deviation of the Gaussian K_h; a few times the grid's distance at least.

    Returns:
        Densities at the points of the grid.

    Example:
        >>> grid = jnp.linspace(-4.0, 4.0, 81)
        >>> round(float(density_on_grid(jnp.zeros(1), grid, 1.0)[40]), 4)
        0.3989
    """
    spacing = grid[1] - grid[0]
    place = jnp.clip((samples - grid[0]) / spacing, 0, len(grid) - 1)
    left = jnp.minimum(place.astype(int), len(grid) - 2)
    share = place - left
    diracs = jnp.zeros(len(grid)).at[left].add(1 - share).at[left + 1].add(share)
    reach = jnp.arange(1 - len(grid), len(grid)) * spacing
    kernel = jnp.exp(-0.5 * jnp.square(reach / bandwidth)) / (bandwidth * jnp.sqrt(2 * jnp.pi))
    ends = len(grid) - 1
    return fft_convolve(diracs, kernel, [(ends, ends)]) / len(samples)
