"""The Gaussian model of images: a mean, the axes along which they vary, and how much."""

from typing import NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Float


class Gaussian(NamedTuple):
    """A normal distribution N(μ, E Λ Eᵀ), by the eigenvectors of its covariance.

    Several at once have leading axes, the same in all three.

    Attributes:
        mean: μ, [*batch, dimensions].
        axes: E, [*batch, dimensions, dimensions]; the columns are unit vectors.
        variances: the diagonal of Λ, [*batch, dimensions], along each axis; the largest first,
            unless the axes are those of the pixels.
    """

    mean: Float[Array, "*batch dimensions"]
    axes: Float[Array, "*batch dimensions dimensions"]
    variances: Float[Array, "*batch dimensions"]

    @property
    def covariance(self) -> Float[Array, "*batch dimensions dimensions"]:
        """Σ = E Λ Eᵀ."""
        return (self.axes * self.variances[..., None, :]) @ self.axes.mT


def moments(
    examples: Float[Array, "examples dimensions"], weights: Float[Array, " examples"] | None = None
) -> tuple[Float[Array, " dimensions"], Float[Array, "dimensions dimensions"]]:
    """Estimates a mean and a covariance, by maximum likelihood.

        μ = (1/N) Σᵢ xᵢ                                                             (1)
        Σ = (1/N) Σᵢ (xᵢ − μ)(xᵢ − μ)ᵀ                                              (2)

    Args:
        examples: x.
        weights: how often each counts, so that Σᵢ wᵢ takes the place of N; once when None.

    Returns:
        μ and Σ.

    Example:
        >>> mean, covariance = moments(jnp.array([[0.0, 0.0], [2.0, 4.0]]))
        >>> mean.tolist(), covariance.tolist()
        ([1.0, 2.0], [[1.0, 2.0], [2.0, 4.0]])
    """
    weights = jnp.ones(len(examples)) if weights is None else weights
    count = weights.sum()
    mean = weights @ examples / count
    centred = examples - mean[None]
    return mean, (weights[:, None] * centred).T @ centred / count


def shrink(
    covariance: Float[Array, "dimensions dimensions"], shrinkage: float | Float[Array, ""]
) -> Float[Array, "dimensions dimensions"]:
    """Mixes a covariance with a multiple of the identity that varies as much in all.

        Σ' = (1 − α) Σ + α (tr Σ / d) I                                             (1)

    Fewer examples than pixels leave directions in which nothing varies, and images that never had
    anything there an infinite or no density at all; any α > 0 gives every direction some variance.
    It also keeps the smallest variance above α/d of the largest, which float32 needs.

    Args:
        covariance: Σ.
        shrinkage: α, from 0, the covariance as it is, to 1, the same variance everywhere.

    Example:
        >>> shrink(jnp.array([[4.0, 0.0], [0.0, 0.0]]), 0.5).tolist()
        [[3.0, 0.0], [0.0, 1.0]]

    Source: Ledoit and Wolf, 2004, https://doi.org/10.1016/S0047-259X(03)00096-4, equation 1.
    """
    dimensions = len(covariance)
    evenly = jnp.trace(covariance) / dimensions * jnp.eye(dimensions)
    return (1 - shrinkage) * covariance + shrinkage * evenly


def from_covariance(
    mean: Float[Array, " dimensions"], covariance: Float[Array, "dimensions dimensions"]
) -> Gaussian:
    """Finds the axes of a covariance: Σ = E Λ Eᵀ.

    Args:
        mean: μ.
        covariance: Σ.

    Returns:
        The same normal distribution, the largest variance first.

    Example:
        >>> gaussian = from_covariance(jnp.zeros(2), jnp.array([[1.0, 0.0], [0.0, 9.0]]))
        >>> gaussian.variances.tolist(), jnp.abs(gaussian.axes[:, 0]).tolist()
        ([9.0, 1.0], [0.0, 1.0])
    """
    variances, axes = jnp.linalg.eigh(covariance)
    return Gaussian(mean, axes[:, ::-1], variances[::-1])


def fit_gaussian(
    examples: Float[Array, "examples dimensions"],
    shrinkage: float | Float[Array, ""] = 0.0,
    weights: Float[Array, " examples"] | None = None,
) -> Gaussian:
    """Fits a normal distribution, and finds its axes: of faces, the eigenfaces.

    Args:
        examples: images as vectors.
        shrinkage: of the covariance, as in `shrink`.
        weights: how often each counts; once when None.

    Returns:
        The distribution; its first axes are the principal components.

    Example:
        >>> fit_gaussian(jnp.array([[0.0, 0.0], [2.0, 0.0]])).variances.tolist()
        [1.0, 0.0]

    Source: Sirovich and Kirby, 1987, https://doi.org/10.1364/JOSAA.4.000519.
    """
    mean, covariance = moments(examples, weights)
    return from_covariance(mean, shrink(covariance, shrinkage))


def from_code(
    gaussian: Gaussian, codes: Float[Array, "batch dimensions"]
) -> Float[Array, "batch dimensions"]:
    """Turns codes into examples, by a linear network; standard normal codes into samples.

        x = μ + E Λ^½ z                                                             (1)

    Args:
        gaussian: a single one.
        codes: z.

    Returns:
        x.

    Example:
        >>> gaussian = Gaussian(jnp.ones(2), jnp.eye(2), jnp.array([4.0, 9.0]))
        >>> from_code(gaussian, jnp.array([[1.0, -1.0]])).tolist()
        [[3.0, -2.0]]
    """
    return gaussian.mean[None] + (codes * jnp.sqrt(gaussian.variances)[None]) @ gaussian.axes.T


def to_code(
    gaussian: Gaussian, examples: Float[Array, "batch dimensions"]
) -> Float[Array, "batch dimensions"]:
    """The inverse of `from_code`: z = Λ^−½ Eᵀ (x − μ), which is standard normal if x is N(μ, Σ).

    Args:
        gaussian: a single one, of no zero variance.
        examples: x.

    Example:
        >>> gaussian = Gaussian(jnp.ones(2), jnp.eye(2), jnp.array([4.0, 9.0]))
        >>> to_code(gaussian, jnp.array([[3.0, -2.0]])).tolist()
        [[1.0, -1.0]]
    """
    projected = (examples - gaussian.mean[None]) @ gaussian.axes
    return projected / jnp.sqrt(gaussian.variances)[None]


def log_density(
    gaussian: Gaussian, examples: Float[Array, "batch dimensions"]
) -> Float[Array, " batch"]:
    """Evaluates the logarithm of the density, in nats.

        log p(x) = −½ (d log 2π + log |Σ| + (x − μ)ᵀ Σ⁻¹ (x − μ))                    (1)
                 = −½ (d log 2π + Σⱼ log λⱼ + ‖z‖²),  z = Λ^−½ Eᵀ (x − μ)           (2)

    Args:
        gaussian: a single one, of no zero variance.
        examples: x.

    Returns:
        log p(x) of each.

    Example:
        >>> standard = Gaussian(jnp.zeros(2), jnp.eye(2), jnp.ones(2))
        >>> log_density(standard, jnp.zeros((1, 2)))  # −log 2π
        Array([-1.837877], dtype=float32)
    """
    dimensions = examples.shape[-1]
    constant = dimensions * jnp.log(2 * jnp.pi) + jnp.log(gaussian.variances).sum()
    return -0.5 * (constant + jnp.square(to_code(gaussian, examples)).sum(-1))
