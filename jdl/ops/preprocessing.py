"""From a photograph to what a network takes: resized, cropped and normalised."""

import dataclasses

import numpy as np
from jaxtyping import Float, Shaped

from jdl.errors import UserError

# Of the training images' red, green and blue, from 0 to 1.
IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_DEVIATION = (0.229, 0.224, 0.225)


@dataclasses.dataclass(frozen=True)
class Preprocessing:
    """What the weights of a network expect of a photograph.

    Attributes:
        resize: length that the shorter side is brought to, in pixels.
        crop: side of the square that is cut from the middle, in pixels; `resize` at most.
        mean: of red, green and blue, from 0 to 1.
        deviation: of red, green and blue, likewise.
        interpolation: "bilinear" or "bicubic"; where it shrinks, over all pixels that it covers.

    Raises:
        UserError: the crop is larger than what it is cut from, or the interpolation unknown.

    Example:
        >>> Preprocessing().crop_fraction
        0.875
    """

    resize: int = 256
    crop: int = 224
    mean: tuple[float, float, float] = IMAGENET_MEAN
    deviation: tuple[float, float, float] = IMAGENET_DEVIATION
    interpolation: str = "bilinear"

    def __post_init__(self):
        if not 1 <= self.crop <= self.resize:
            raise UserError(f"{self.crop} pixels cannot be cropped from {self.resize}")
        if self.interpolation not in ("bilinear", "bicubic"):
            raise UserError(f"{self.interpolation!r} is neither bilinear nor bicubic")

    @property
    def crop_fraction(self) -> float:
        """The crop's share of the shorter side."""
        return self.crop / self.resize


def preprocess(
    photograph: Shaped[np.ndarray, "height width channels"], preprocessing: Preprocessing
) -> Float[np.ndarray, "crop crop 3"]:
    """Turns a photograph into what a network takes.

    The shorter side is resized, the middle cropped, and each channel normalised:

        y = (crop(resize(x)) − μ) / σ                                               (1)

    Resized by Pillow, in 8 bits and without gaps where it shrinks, and cropped to the same pixels
    as torchvision and timm do for evaluation: the numbers are theirs.

    Args:
        photograph: x, of 1 or 3 channels and any size; 8 bits, or floats in [0, 1].
        preprocessing: what is expected.

    Returns:
        y.

    Raises:
        UserError: the photograph has another number of channels, or other numbers.

    Example:
        >>> grey = np.full((300, 400, 3), 0.5)
        >>> y = preprocess(grey, Preprocessing(mean=(0.5,) * 3, deviation=(0.5,) * 3))
        >>> y.shape, round(float(y.max()), 3)
        ((224, 224, 3), 0.004)
    """
    from PIL import Image

    height, width, channels = photograph.shape
    if channels not in (1, 3):
        raise UserError(f"a photograph has 1 or 3 channels, not {channels}")
    if min(height, width) == 0:
        raise UserError(f"a photograph of {height}×{width} pixels has none")
    image = Image.fromarray(np.broadcast_to(_eight_bits(photograph), (height, width, 3)).copy())
    short, size = min(height, width), preprocessing.resize
    # Rounded down as torchvision does; one of the two is `size` itself.
    rows, columns = int(size * height / short), int(size * width / short)
    filters = {"bilinear": Image.Resampling.BILINEAR, "bicubic": Image.Resampling.BICUBIC}
    image = image.resize((columns, rows), filters[preprocessing.interpolation])
    top, left = (round((side - preprocessing.crop) / 2) for side in (rows, columns))
    image = image.crop((left, top, left + preprocessing.crop, top + preprocessing.crop))
    pixels = np.asarray(image, np.float32) / 255
    mean, deviation = np.asarray((preprocessing.mean, preprocessing.deviation), np.float32)
    return (pixels - mean) / deviation


def _eight_bits(photograph: np.ndarray) -> np.ndarray:
    if photograph.dtype == np.uint8:
        return photograph
    # NaN fails this too.
    if photograph.dtype.kind != "f" or not (photograph.min() >= 0 and photograph.max() <= 1):
        raise UserError("a photograph is of 8 bits, or of floats from 0 to 1")
    return np.round(photograph * 255).astype(np.uint8)
