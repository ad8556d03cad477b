"""Image files, as photographs of any size or as a network takes them."""

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float, UInt8

from jdl.errors import UserError

if TYPE_CHECKING:
    from PIL import Image

# Pillow's names for images of one channel: of 1, 8, 16 and 32 bits, and with transparency.
GREY = ("1", "L", "LA", "La", "I;16", "I", "F")


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


def read_picture(
    path: Path, channels: int = 3, convert: bool = False, largest: int | None = None
) -> UInt8[np.ndarray, "height width channels"]:
    """Reads an image file of any size, upright, with as many channels as a network takes.

    Args:
        path: any format that Pillow reads.
        channels: 1 or 3. Transparency is left out.
        convert: recolour what has others, instead of refusing it.
        largest: height and width that it is shrunk to, in pixels, where it is larger.

    Returns:
        The picture, in its own proportions.

    Raises:
        UserError: it is no image, or grey where the network takes colours, or the other way round;
            or nothing would be left of it.
    """
    from PIL import Image, ImageOps

    if largest is not None and largest < 1:
        raise UserError(f"a picture is shrunk to at least one pixel, not {largest}")
    image = ImageOps.exif_transpose(_open(path))
    found = 1 if image.mode in GREY else 3
    if found != channels and not convert:
        raise UserError(
            f"{path} is {'grey' if found == 1 else 'in colour'}, but the network takes "
            f"{'red, green and blue' if channels == 3 else 'grey images'}; --convert recolours it"
        )
    image = image.convert("RGB" if channels == 3 else "L")
    if largest is not None:
        image.thumbnail((largest, largest), Image.Resampling.LANCZOS)
    return np.asarray(image).reshape(image.height, image.width, channels)


def write_picture(path: Path, picture: Float[np.ndarray, "height width channels"]) -> None:
    """Writes a picture, in 8 bits and in the format that the file's name ends with.

    Args:
        path: of the file.
        picture: of 1 or 3 channels; what is not between 0 and 1 is cut off.

    Example:
        >>> import tempfile
        >>> file = Path(tempfile.mkdtemp()) / "grey.png"
        >>> write_picture(file, np.full((2, 3, 1), 0.2))
        >>> read_picture(file, channels=1)[0, 0].tolist()
        [51]
    """
    from PIL import Image

    pixels = np.round(np.clip(picture, 0, 1) * 255).astype(np.uint8)
    Image.fromarray(pixels[..., 0] if pixels.shape[-1] == 1 else pixels).save(path)


def _open(path: Path) -> "Image.Image":
    from PIL import Image

    try:
        image: Image.Image = Image.open(path)
        image.load()
    except FileNotFoundError:
        raise UserError(f"{path} cannot be read as an image: there is no such file") from None
    # Pillow's own errors are OSErrors, but for pictures that are too large to be true.
    except (OSError, Image.DecompressionBombError):
        raise UserError(f"{path} cannot be read as an image") from None
    if image.mode.startswith("I"):  # grey of 16 bits, of which Pillow would keep the lower eight
        return Image.fromarray((np.asarray(image) // 257).clip(0, 255).astype(np.uint8))
    return image
