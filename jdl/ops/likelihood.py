"""Likelihoods of images that are numbers of 8 bits, and bounds on them."""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Key

LEVELS = 256


def dequantize(
    keys: Key[Array, " batch"], images: Float[Array, "batch *image"]
) -> Float[Array, "batch *image"]:
    """Spreads each of the 256 values of a pixel evenly over its share of [0, 1).

        y = (255 x + u)/256,  u ~ U[0, 1)                                           (1)

    A density may grow without bound where all pixels have one of 256 values; of y it cannot, and
    its mean logarithm bounds the log-probability of the image of 8 bits from below:

        log P(x) ≥ E_u[log p(y)] − d log 256                                        (2)

    Args:
        keys: one for each image.
        images: x, 8 bits brought to [0, 1].

    Returns:
        y.

    Example:
        >>> white = dequantize(jax.random.split(jax.random.key(0), 1), jnp.ones((1, 1)))
        >>> bool((255 / 256 <= white[0, 0]) & (white[0, 0] < 1))
        True

    Source: Theis et al., 2016, https://arxiv.org/abs/1511.01844, equation 5.
    """
    noise = jax.vmap(lambda key: jax.random.uniform(key, images.shape[1:]))(keys)
    return ((LEVELS - 1) * images + noise) / LEVELS


def bits_per_dimension(
    log_density: Float[Array, "*batch"], dimensions: int
) -> Float[Array, "*batch"]:
    """Says how many bits a pixel of 8 bits takes, coded with a density of dequantised images.

        bits = 8 − log p(y) / (d log 2)                                             (1)

    Args:
        log_density: log p(y), nats, y as of `dequantize`.
        dimensions: d, pixels times channels.

    Returns:
        Bits; 8 for a density that is 1 everywhere, which knows nothing.

    Example:
        >>> bits_per_dimension(jnp.array([0.0, 2 * jnp.log(2.0)]), 2).tolist()
        [8.0, 7.0]
    """
    return np.log2(LEVELS) - log_density / (dimensions * np.log(2))


def normal_log_density(
    values: Float[Array, "*batch dimensions"],
    mean: Float[Array, "*#batch dimensions"],
    log_variance: Float[Array, "*#batch dimensions"],
) -> Float[Array, "*batch"]:
    """Evaluates log N(x; μ, diag σ²), in nats, summed over the last axis.

        log p(x) = −½ Σⱼ (log 2π + log σⱼ² + (xⱼ − μⱼ)²/σⱼ²)                         (1)

    Args:
        values: x.
        mean: μ.
        log_variance: log σ².

    Example:
        >>> zero = jnp.zeros(2)
        >>> round(float(normal_log_density(zero, zero, zero)), 4)  # −log 2π
        -1.8379
    """
    squared = jnp.square(values - mean) / jnp.exp(log_variance)
    return -0.5 * (np.log(2 * np.pi) + log_variance + squared).sum(-1)


def importance_weighted_bound(
    log_weights: Float[Array, "samples batch"],
) -> Float[Array, " batch"]:
    """Bounds the log-likelihood of a model with codes, from several codes of each example.

        log wₖ = log p(x|zₖ) + log p(zₖ) − log q(zₖ|x),  zₖ ~ q(z|x)                (1)
        L_K = log (1/K) Σₖ wₖ,  E[L₁] ≤ E[L₂] ≤ … ≤ log p(x)                        (2)

    L₁ is the evidence lower bound; the more samples, the tighter.

    Args:
        log_weights: log w, nats.

    Returns:
        L_K of each example.

    Example:
        >>> importance_weighted_bound(jnp.log(jnp.array([[1.0], [3.0]]))).round(4)  # log 2
        Array([0.6931], dtype=float32)

    Source: Burda et al., 2016, https://arxiv.org/abs/1509.00519, equation 8.
    """
    return jax.nn.logsumexp(log_weights, axis=0) - np.log(len(log_weights))
