"""Image files, as photographs of any size or as a network takes them."""

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float, UInt8

from jdl.errors import UserError

if TYPE_CHECKING:
    from PIL import Image


def read_photograph(path: Path) -> UInt8[np.ndarray, "height width 3"]:
    """Reads an image file as it is to be looked at: upright, and in colour.

    Args:
        path: any format that Pillow reads.

    Returns:
        Red, green and blue.

    Raises:
        UserError: it is no image.
    """
    from PIL import ImageOps

    # Cameras write how they were held.
    return np.asarray(ImageOps.exif_transpose(_open(path)).convert("RGB"))


def read_image(
    path: Path, shape: tuple[int, int, int], convert: bool
) -> Float[np.ndarray, "height width channels"]:
    """Reads an image file as a network takes it.

    Args:
        path: any format that Pillow reads.
        shape: height, width and channels that the network takes.
        convert: resize and recolour what does not fit, instead of refusing it.

    Returns:
        From 0 to 1.

    Raises:
        UserError: it is no image, or of another size or number of channels.
    """
    from PIL import Image

    image = _open(path)
    height, width, channels = shape
    if convert:
        image = image.convert("L" if channels == 1 else "RGB")
        image = image.resize((width, height), Image.Resampling.BILINEAR)
    pixels = np.asarray(image, np.float32) / 255
    pixels = pixels[..., None] if pixels.ndim == 2 else pixels
    if pixels.shape != shape:
        found = "×".join(map(str, pixels.shape))
        raise UserError(
            f"{path} is {found} (height × width × channels), but the network takes "
            f"{height}×{width}×{channels}; --convert resizes and recolours it"
        )
    return pixels


def _open(path: Path) -> "Image.Image":
    from PIL import Image

    try:
        image: Image.Image = Image.open(path)
        image.load()
    # Pillow's own errors are OSErrors, but for pictures that are too large to be true.
    except (OSError, Image.DecompressionBombError):
        raise UserError(f"{path} cannot be read as an image") from None
    return image
