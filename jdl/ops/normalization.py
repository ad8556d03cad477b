"""Normalisation without parameters."""

import jax.numpy as jnp
from jaxtyping import Array, Float


def local_response_norm(
    x: Float[Array, "*batch channels"],
    size: int = 5,
    alpha: float = 1e-4,
    beta: float = 0.75,
    k: float = 2.0,
) -> Float[Array, "*batch channels"]:
    """Divides each channel by the energy of its neighbours: lateral inhibition.

        yᵢ = xᵢ / (k + α/n Σⱼ xⱼ²)^β,  max(0, i − ⌊n/2⌋) ≤ j ≤ min(C − 1, i + ⌊(n−1)/2⌋)   (1)

    The paper writes α for what is α/n here. Its authors' code, Caffe and torch divide.

    Args:
        x: maps, channels last.
        size: n, channels that are looked at.
        alpha: α.
        beta: β.
        k: the constant.

    Returns:
        Maps of the same shape.

    Example:
        >>> local_response_norm(jnp.ones((1, 2)), size=3, alpha=3.0, beta=1.0, k=0.0).tolist()
        [[0.5, 0.5]]

    Source: Krizhevsky et al., 2012, section 3.3,
    https://papers.nips.cc/paper/4824-imagenet-classification-with-deep-convolutional-neural-networks
    """
    channels = x.shape[-1]
    before = size // 2
    pads = [(0, 0)] * (x.ndim - 1) + [(before, size - 1 - before)]
    squares = jnp.pad(jnp.square(x), pads)
    energy = sum(squares[..., i : i + channels] for i in range(size))
    return x / (k + alpha / size * energy) ** beta
