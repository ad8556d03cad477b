"""Crops of images of any size, on the host: transforms for `GrainLoader`.

Each is a function of an example, whose "image" is uint8 [height, width, 3], and a generator.
"""

import math
from typing import Literal

import numpy as np

from jdl.data.streaming import Example

Filter = Literal["bilinear", "bicubic"]


def resize(image: np.ndarray, height: int, width: int, filter: Filter = "bilinear") -> np.ndarray:
    """Scales an image; where it shrinks, the filter grows with it, so that nothing aliases.

    Args:
        image: uint8 [any, any, 3].
        height: of the result, pixels.
        width: of the result, pixels.
        filter: what pixels are interpolated with.

    Example:
        >>> resize(np.zeros((4, 6, 3), np.uint8), 2, 3).shape
        (2, 3, 3)
    """
    from PIL import Image

    resample = Image.Resampling[filter.upper()]
    return np.asarray(Image.fromarray(image).resize((width, height), resample))


def resize_shorter_side(
    example: Example,
    random: np.random.Generator,
    *,
    to: int | tuple[int, int],
    filter: Filter = "bilinear",
) -> Example:
    """Scales the image so that its shorter side has a given length, or a random one.

    Args:
        example: with "image".
        random: of the length.
        to: pixels; or the least and the largest length, both drawn too: VGG's scale jitter
            (Simonyan and Zisserman, 2015, section 3.1).
        filter: what pixels are interpolated with.

    Example:
        >>> example = {"image": np.zeros((20, 30, 3), np.uint8)}
        >>> resize_shorter_side(example, np.random.default_rng(0), to=10)["image"].shape
        (10, 15, 3)
    """
    length = to if isinstance(to, int) else int(random.integers(to[0], to[1], endpoint=True))
    height, width, _ = example["image"].shape
    scale = length / min(height, width)
    size = max(length, round(height * scale)), max(length, round(width * scale))
    return example | {"image": resize(example["image"], *size, filter)}


def random_crop(example: Example, random: np.random.Generator, *, size: int) -> Example:
    """Cuts a square at a random place.

    Args:
        example: with "image", not smaller than the square.
        random: of the place.
        size: height and width of the square, pixels.

    Example:
        >>> example = {"image": np.zeros((20, 30, 3), np.uint8)}
        >>> random_crop(example, np.random.default_rng(0), size=16)["image"].shape
        (16, 16, 3)
    """
    height, width, _ = example["image"].shape
    top = int(random.integers(0, height - size, endpoint=True))
    left = int(random.integers(0, width - size, endpoint=True))
    return example | {"image": example["image"][top : top + size, left : left + size]}


def center_crop(example: Example, random: np.random.Generator, *, size: int) -> Example:
    """Cuts the square in the middle.

    Args:
        example: with "image", not smaller than the square.
        random: not asked.
        size: height and width of the square, pixels.

    Example:
        >>> example = {"image": np.arange(15, dtype=np.uint8).reshape(3, 5, 1)}
        >>> center_crop(example, np.random.default_rng(0), size=1)["image"].item()
        7
    """
    height, width, _ = example["image"].shape
    top, left = (height - size) // 2, (width - size) // 2
    return example | {"image": example["image"][top : top + size, left : left + size]}


def corner_or_center_crop(example: Example, random: np.random.Generator, *, size: int) -> Example:
    """Cuts one of the four corners, or the square in the middle, each with the same probability.

    Args:
        example: with "image", not smaller than the square.
        random: of the place.
        size: height and width of the square, pixels.

    Example:
        >>> example = {"image": np.arange(9, dtype=np.uint8).reshape(3, 3, 1)}
        >>> random = np.random.default_rng(0)
        >>> crops = [corner_or_center_crop(example, random, size=1) for _ in range(50)]
        >>> sorted({crop["image"].item() for crop in crops})
        [0, 2, 4, 6, 8]

    Source: Zeiler and Fergus, 2014, https://arxiv.org/abs/1311.2901, section 3.
    """
    height, width, _ = example["image"].shape
    bottom, right = height - size, width - size
    places = ((0, 0), (0, right), (bottom, 0), (bottom, right), (bottom // 2, right // 2))
    top, left = places[int(random.integers(5))]
    return example | {"image": example["image"][top : top + size, left : left + size]}


def random_resized_crop(
    example: Example,
    random: np.random.Generator,
    *,
    size: int,
    area: tuple[float, float] = (0.08, 1.0),
    aspect: tuple[float, float] = (3 / 4, 4 / 3),
    filter: Filter = "bilinear",
) -> Example:
    """Cuts a rectangle of random area, form and place, and makes it a square.

        a ~ U(area), log r ~ U(log aspect)                                          (1)
        height = √(a·H·W / r), width = √(a·H·W · r)                                 (2)

    drawn anew while it does not fit, ten times at most; then it is the largest rectangle in the
    middle whose form is allowed.

    Args:
        example: with "image" of H×W pixels.
        random: of the rectangle.
        size: height and width of the result, pixels.
        area: least and largest share of the image.
        aspect: least and largest width over height.
        filter: what pixels are interpolated with.

    Example:
        >>> example = {"image": np.zeros((20, 30, 3), np.uint8)}
        >>> random_resized_crop(example, np.random.default_rng(0), size=16)["image"].shape
        (16, 16, 3)

    Source: Szegedy et al., 2015, https://arxiv.org/abs/1409.4842, section 6.
    """
    image = example["image"]
    top, left, height, width = _rectangle(random, image.shape, area, aspect)
    cut = image[top : top + height, left : left + width]
    return example | {"image": resize(cut, size, size, filter)}


def _rectangle(
    random: np.random.Generator,
    shape: tuple[int, ...],
    area: tuple[float, float],
    aspect: tuple[float, float],
) -> tuple[int, int, int, int]:
    """Returns the top, the left, the height and the width of what is cut."""
    height, width, _ = shape
    for _ in range(10):
        pixels = random.uniform(*area) * height * width
        ratio = math.exp(random.uniform(math.log(aspect[0]), math.log(aspect[1])))
        tall, wide = round(math.sqrt(pixels / ratio)), round(math.sqrt(pixels * ratio))
        if 0 < tall <= height and 0 < wide <= width:
            top = int(random.integers(0, height - tall, endpoint=True))
            left = int(random.integers(0, width - wide, endpoint=True))
            return top, left, tall, wide
    ratio = min(max(width / height, aspect[0]), aspect[1])
    tall, wide = min(height, round(width / ratio)), min(width, round(height * ratio))
    return (height - tall) // 2, (width - wide) // 2, tall, wide
