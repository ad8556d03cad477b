"""Noise on images: what a denoising autoencoder is to undo."""

import jax
from jaxtyping import Array, Float, Key

Image = Float[Array, "height width channels"]


def gaussian_noise(key: Key[Array, ""], image: Image, *, deviation: float) -> Image:
    """Adds normal noise to every pixel.

        x̃ = x + σ ε,  ε ~ N(0, I)                                                   (1)

    Args:
        key: of the noise.
        image: in [0, 1].
        deviation: σ.

    Returns:
        An image of the same size, which may leave [0, 1].

    Example:
        >>> import jax.numpy as jnp
        >>> noisy = gaussian_noise(jax.random.key(0), jnp.zeros((40, 40, 1)), deviation=0.5)
        >>> round(float(noisy.std()), 1)
        0.5
    """
    return image + deviation * jax.random.normal(key, image.shape, image.dtype)


def masking_noise(key: Key[Array, ""], image: Image, *, rate: float) -> Image:
    """Sets numbers to zero, each by chance.

    Args:
        key: of the choice.
        image: in [0, 1].
        rate: probability that a number, of a pixel's channels each by itself, is lost.

    Returns:
        An image of the same size.

    Example:
        >>> import jax.numpy as jnp
        >>> masked = masking_noise(jax.random.key(0), jnp.ones((40, 40, 3)), rate=0.3)
        >>> round(float(masked.mean()), 1)
        0.7

    Source: Vincent et al., 2008, https://doi.org/10.1145/1390156.1390294, section 2.3.
    """
    return image * jax.random.bernoulli(key, 1 - rate, image.shape)
