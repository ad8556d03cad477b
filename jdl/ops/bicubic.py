"""Bicubic resizing: how super-resolution's small images are made, and its simplest answer."""

import jax
from jaxtyping import Array, Float

from jdl.errors import UserError
from jdl.ops.images import Images


def resize_bicubic(
    images: Images, height: int, width: int
) -> Float[Array, "batch rows columns channels"]:
    """Resizes images by Keys' cubic kernel; where it shrinks them, over all pixels it covers.

        k(t) = 3/2 |t|³ − 5/2 |t|² + 1                    |t| ≤ 1                    (1)
             = −1/2 |t|³ + 5/2 |t|² − 4 |t| + 2           1 < |t| < 2
        y[i] = Σⱼ k((c − j)/s) x[j] / Σⱼ k((c − j)/s),    c = (i + ½) r − ½          (2)

    along both axes, where r is how many pixels become one, s = max(r, 1), and j runs over the
    pixels of the image.

    Args:
        images: x.
        height: of the result, pixels.
        width: of the result, pixels.

    Returns:
        y, which may leave the range of x a little beside sharp edges.

    Raises:
        UserError: there would be no pixel.

    Example:
        >>> ramp = jax.numpy.arange(16.0).reshape(1, 1, 16, 1)
        >>> resize_bicubic(ramp, 1, 8)[0, 0, 3:5, 0].round(4).tolist()
        [6.5, 8.5]

    Source: Keys, 1981, https://doi.org/10.1109/TASSP.1981.1163711, equation 15; as Pillow has it.
    """
    if height < 1 or width < 1:
        raise UserError(f"an image cannot be resized to {height}×{width} pixels")
    batch, _, _, channels = images.shape
    if images.shape[1:3] == (height, width):
        return images
    return jax.image.resize(images, (batch, height, width, channels), "cubic")
