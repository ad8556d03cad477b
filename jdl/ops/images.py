"""Batches of images: normalised, or cut into views."""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

Images = Float[Array, "batch height width channels"]
Statistics = Sequence[float] | Float[np.ndarray, "*image"]


def standardize(images: Images, mean: Statistics, deviation: Statistics = (1.0,)) -> Images:
    """Subtracts a mean and divides by a deviation.

        x ← (x − μ) / σ                                                             (1)

    Args:
        images: a batch.
        mean: μ, of each channel, or of each pixel and channel.
        deviation: σ, likewise, or one for all.

    Example:
        >>> standardize(jnp.full((1, 1, 1, 2), 0.5), (0.5, 0.25), (0.25,)).ravel().tolist()
        [0.0, 1.0]
    """

    def like_an_image(values: Statistics) -> Float[Array, "1 height width channels"]:
        return jnp.broadcast_to(jnp.asarray(values, images.dtype), images.shape[1:])[None]

    return (images - like_an_image(mean)) / like_an_image(deviation)


def ten_crop(images: Images, size: int) -> Float[Array, "10 batch size size channels"]:
    """Cuts the four corners and the centre, and mirrors them: what AlexNet averages over.

    Args:
        images: not smaller than the crops.
        size: height and width of a crop, pixels.

    Returns:
        Ten views of every image: upper left, upper right, lower left, lower right, centre; then
        the same from left to right.

    Example:
        >>> image = jnp.arange(9.0).reshape(1, 3, 3, 1)
        >>> ten_crop(image, 1).ravel().tolist()
        [0.0, 2.0, 6.0, 8.0, 4.0, 0.0, 2.0, 6.0, 8.0, 4.0]

    Source: Krizhevsky et al., 2012, section 4.1.
    """
    bottom, right = images.shape[1] - size, images.shape[2] - size
    corners = [(0, 0), (0, right), (bottom, 0), (bottom, right), (bottom // 2, right // 2)]
    crops = [images[:, top : top + size, left : left + size] for top, left in corners]
    return jnp.stack([*crops, *(crop[:, :, ::-1] for crop in crops)])


def multi_scale(
    images: Images, scales: Sequence[float]
) -> Float[Array, "scales batch height width channels"]:
    """Scales images about their centres: what VGG averages over.

    Args:
        images: a batch.
        scales: enlargements; 1 leaves an image as it is.

    Returns:
        As many views of every image, of its own size: what leaves it is cut off, and around what
        is smaller there is zero.

    Example:
        >>> image = jnp.arange(16.0).reshape(1, 4, 4, 1)
        >>> same, larger, smaller = multi_scale(image, (1.0, 2.0, 0.5))
        >>> [float(view[0, 0, 0, 0]) for view in (same + 1, larger, smaller)]
        [1.0, 3.75, 0.0]

    Source: Simonyan and Zisserman, 2015, https://arxiv.org/abs/1409.1556, section 3.2, by the size
    of the image instead of that of a map that is averaged.
    """
    height, width = images.shape[1:3]

    def view(scale: float) -> Images:
        # The middle of the result is the middle of the image.
        move = jnp.array([height, width]) * (1 - scale) / 2
        return jax.image.scale_and_translate(
            images, images.shape, (1, 2), jnp.full(2, scale), move, "linear"
        )

    return jnp.stack([view(scale) for scale in scales])
