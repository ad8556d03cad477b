"""How far two normal distributions with independent coordinates are apart.

The variational autoencoder keeps its codes near a standard normal by the first of these; the other
two do it as well, and each pulls differently: the Kullback-Leibler divergence grows without bound
as a variance goes to zero, by its logarithm, where the distance of Wasserstein stays finite.
"""

from collections.abc import Callable

import jax.numpy as jnp
from jaxtyping import Array, Float

Values = Float[Array, "*batch dimensions"]
Divergence = Callable[[Values, Values, Values, Values], Float[Array, "*batch"]]


def kullback_leibler(
    mean: Values, log_variance: Values, other_mean: Values, other_log_variance: Values
) -> Float[Array, "*batch"]:
    """Measures KL(N(μ, diag σ²) ‖ N(m, diag s²)), in nats.

        KL = ½ Σⱼ (log sⱼ²/σⱼ² − 1 + (σⱼ² + (μⱼ − mⱼ)²)/sⱼ²)                         (1)

    Args:
        mean: μ.
        log_variance: log σ².
        other_mean: m.
        other_log_variance: log s².

    Example:
        >>> zero = jnp.zeros(1)
        >>> float(kullback_leibler(jnp.array([2.0]), zero, zero, zero))
        2.0

    Source: Kingma and Welling, 2014, https://arxiv.org/abs/1312.6114, appendix B, where the other
    is standard.
    """
    ratio = log_variance - other_log_variance
    squared = jnp.square(mean - other_mean) / jnp.exp(other_log_variance)
    return 0.5 * (jnp.exp(ratio) + squared - 1 - ratio).sum(-1)


def squared_wasserstein(
    mean: Values, log_variance: Values, other_mean: Values, other_log_variance: Values
) -> Float[Array, "*batch"]:
    """Measures the squared 2-Wasserstein distance: the least mean square way to move the mass.

        W₂² = Σⱼ (μⱼ − mⱼ)² + (σⱼ − sⱼ)²                                             (1)

    Args:
        mean: μ.
        log_variance: log σ².
        other_mean: m.
        other_log_variance: log s².

    Example:
        >>> zero, four = jnp.zeros(1), jnp.log(jnp.array([4.0]))
        >>> float(squared_wasserstein(jnp.array([2.0]), four, zero, zero))  # 2² + (2 − 1)²
        5.0

    Source: Dowson and Landau, 1982, https://doi.org/10.1016/0047-259X(82)90077-X.
    """
    deviation, other = jnp.exp(log_variance / 2), jnp.exp(other_log_variance / 2)
    return (jnp.square(mean - other_mean) + jnp.square(deviation - other)).sum(-1)


def bhattacharyya(
    mean: Values, log_variance: Values, other_mean: Values, other_log_variance: Values
) -> Float[Array, "*batch"]:
    """Measures −log ∫ √(p q), in nats: how little two densities overlap.

        D_B = ¼ Σⱼ (μⱼ − mⱼ)²/(σⱼ² + sⱼ²) + ½ Σⱼ log ((σⱼ² + sⱼ²)/(2 σⱼ sⱼ))         (1)

    Args:
        mean: μ.
        log_variance: log σ².
        other_mean: m.
        other_log_variance: log s².

    Example:
        >>> zero = jnp.zeros(1)
        >>> float(bhattacharyya(jnp.array([2.0]), zero, zero, zero))
        0.5

    Source: Bhattacharyya, 1943, "On a measure of divergence between two statistical populations
    defined by their probability distributions", Bulletin of the Calcutta Mathematical Society 35.
    """
    log_sum = jnp.logaddexp(log_variance, other_log_variance)
    squared = jnp.square(mean - other_mean) / jnp.exp(log_sum)
    overlap = log_sum - jnp.log(2.0) - (log_variance + other_log_variance) / 2
    return (squared / 4 + overlap / 2).sum(-1)


def from_standard(
    divergence: Divergence, mean: Values, log_variance: Values
) -> Float[Array, "*batch"]:
    """Measures how far a distribution is from N(0, I).

    Args:
        divergence: any of this file.
        mean: μ.
        log_variance: log σ².

    Example:
        >>> float(from_standard(kullback_leibler, jnp.array([2.0]), jnp.zeros(1)))
        2.0
    """
    return divergence(mean, log_variance, jnp.zeros_like(mean), jnp.zeros_like(mean))
