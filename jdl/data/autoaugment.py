"""AutoAugment and RandAugment, on the host by Pillow: transforms for `GrainLoader`.

Each operation has a level from 0 to 10, as in the papers. What comes into the image from outside
has ImageNet's mean colour.
"""

from collections.abc import Callable

import numpy as np
from PIL import Image, ImageEnhance, ImageOps

from jdl.data.streaming import Example

Picture = Image.Image
MEAN_COLOUR = (124, 116, 104)


def _affine(picture: Picture, matrix: tuple[float, ...]) -> Picture:
    """Takes the pixel at (x, y) from (a·x + b·y + c, d·x + e·y + f)."""
    transform, resample = Image.Transform.AFFINE, Image.Resampling.BICUBIC
    return picture.transform(picture.size, transform, matrix, resample, fillcolor=MEAN_COLOUR)


def _move(picture: Picture, left: float, up: float) -> Picture:
    return _affine(picture, (1.0, 0.0, left, 0.0, 1.0, up))


def _rotate(picture: Picture, degrees: float) -> Picture:
    return picture.rotate(degrees, Image.Resampling.BICUBIC, fillcolor=MEAN_COLOUR)


def _solarize_add(picture: Picture, amount: float) -> Picture:
    """Brightens the dark half of the values."""
    table = [min(255, i + int(amount)) if i < 128 else i for i in range(256)]
    return picture.point(table * 3)


# What each operation does with a picture and a strength.
OPERATIONS: dict[str, Callable[[Picture, float], Picture]] = {
    "auto_contrast": lambda picture, _: ImageOps.autocontrast(picture),
    "equalize": lambda picture, _: ImageOps.equalize(picture),
    "invert": lambda picture, _: ImageOps.invert(picture),
    "rotate": _rotate,
    "posterize": lambda picture, bits: ImageOps.posterize(picture, int(bits)),
    "solarize": lambda picture, threshold: ImageOps.solarize(picture, int(threshold)),
    "solarize_add": _solarize_add,
    "color": lambda picture, factor: ImageEnhance.Color(picture).enhance(factor),
    "contrast": lambda picture, factor: ImageEnhance.Contrast(picture).enhance(factor),
    "brightness": lambda picture, factor: ImageEnhance.Brightness(picture).enhance(factor),
    "sharpness": lambda picture, factor: ImageEnhance.Sharpness(picture).enhance(factor),
    "shear_x": lambda picture, slant: _affine(picture, (1.0, slant, 0.0, 0.0, 1.0, 0.0)),
    "shear_y": lambda picture, slant: _affine(picture, (1.0, 0.0, 0.0, slant, 1.0, 0.0)),
    "translate_x": lambda picture, share: _move(picture, share * picture.width, 0.0),
    "translate_y": lambda picture, share: _move(picture, 0.0, share * picture.height),
}
ENHANCEMENTS = ("color", "contrast", "brightness", "sharpness")
# The strength at level 10, in degrees or as a share, in either direction.
SIGNED = {"rotate": 30, "shear_x": 0.3, "shear_y": 0.3, "translate_x": 0.45, "translate_y": 0.45}

# Two operations each, with their probabilities and levels (Cubuk et al., 2019, Table 9).
IMAGENET_POLICY = (
    (("posterize", 0.4, 8), ("rotate", 0.6, 9)),
    (("solarize", 0.6, 5), ("auto_contrast", 0.6, 5)),
    (("equalize", 0.8, 8), ("equalize", 0.6, 3)),
    (("posterize", 0.6, 7), ("posterize", 0.6, 6)),
    (("equalize", 0.4, 7), ("solarize", 0.2, 4)),
    (("equalize", 0.4, 4), ("rotate", 0.8, 8)),
    (("solarize", 0.6, 3), ("equalize", 0.6, 7)),
    (("posterize", 0.8, 5), ("equalize", 1.0, 2)),
    (("rotate", 0.2, 3), ("solarize", 0.6, 8)),
    (("equalize", 0.6, 8), ("posterize", 0.4, 6)),
    (("rotate", 0.8, 8), ("color", 0.4, 0)),
    (("rotate", 0.4, 9), ("equalize", 0.6, 2)),
    (("equalize", 0.0, 7), ("equalize", 0.8, 8)),
    (("invert", 0.6, 4), ("equalize", 1.0, 8)),
    (("color", 0.6, 4), ("contrast", 1.0, 8)),
    (("rotate", 0.8, 8), ("color", 1.0, 2)),
    (("color", 0.8, 8), ("solarize", 0.8, 7)),
    (("sharpness", 0.4, 7), ("invert", 0.6, 8)),
    (("shear_x", 0.6, 5), ("equalize", 1.0, 9)),
    (("color", 0.4, 0), ("equalize", 0.6, 3)),
    (("equalize", 0.4, 7), ("solarize", 0.2, 4)),
    (("solarize", 0.6, 5), ("auto_contrast", 0.6, 5)),
    (("invert", 0.6, 4), ("equalize", 1.0, 8)),
    (("color", 0.6, 4), ("contrast", 1.0, 8)),
    (("equalize", 0.8, 8), ("equalize", 0.6, 3)),
)


def auto_augment(example: Example, random: np.random.Generator) -> Example:
    """Applies one of the 25 policies that a search found for ImageNet.

    Args:
        example: whose "image" is uint8 [height, width, 3].
        random: of the policy, of whether each operation is done, and of directions.

    Example:
        >>> example = {"image": np.zeros((8, 8, 3), np.uint8)}
        >>> auto_augment(example, np.random.default_rng(0))["image"].shape
        (8, 8, 3)

    Source: Cubuk et al., 2019, https://arxiv.org/abs/1805.09501, Tables 6 and 9.
    """
    picture = Image.fromarray(example["image"])
    for name, probability, level in IMAGENET_POLICY[int(random.integers(len(IMAGENET_POLICY)))]:
        if random.random() < probability:
            picture = OPERATIONS[name](picture, policy_strength(name, level, random))
    return example | {"image": np.asarray(picture)}


def rand_augment(
    example: Example,
    random: np.random.Generator,
    *,
    count: int = 2,
    magnitude: float = 9.0,
    deviation: float = 0.5,
    probability: float = 0.5,
) -> Example:
    """Applies some operations, drawn from all with the same probability, at about one level.

    Args:
        example: whose "image" is uint8 [height, width, 3].
        random: of the operations, their levels and directions.
        count: operations drawn.
        magnitude: mean level, from 0 to 10; here a higher level always changes more.
        deviation: of the levels, which are normal and cut off at 0 and 10.
        probability: that an operation that was drawn is done.

    Example:
        >>> example = {"image": np.zeros((8, 8, 3), np.uint8)}
        >>> rand_augment(example, np.random.default_rng(0))["image"].shape
        (8, 8, 3)

    Source: Cubuk et al., 2020, https://arxiv.org/abs/1909.13719, section 3, as timm has it
    ("rand-m9-mstd0.5-inc1").
    """
    picture = Image.fromarray(example["image"])
    names = list(OPERATIONS)
    for i in random.integers(len(names), size=count):
        if random.random() < probability:
            level = float(np.clip(random.normal(magnitude, deviation), 0, 10))
            picture = OPERATIONS[names[i]](picture, increasing_strength(names[i], level, random))
    return example | {"image": np.asarray(picture)}


def policy_strength(name: str, level: float | int, random: np.random.Generator) -> float:
    """Returns what a level means to AutoAugment: for some operations, more is less.

    Example:
        >>> random = np.random.default_rng(0)
        >>> [policy_strength(name, 5, random) for name in ("posterize", "solarize", "color")]
        [6.0, 128.0, 1.0]
    """
    if name == "posterize":
        return float(4 + int(level / 10 * 4))
    if name == "solarize":
        return float(int(level / 10 * 256))
    if name in ENHANCEMENTS:
        return 0.1 + level / 10 * 1.8
    return _signed_strength(name, level, random)


def increasing_strength(name: str, level: float | int, random: np.random.Generator) -> float:
    """Returns what a level means to RandAugment: more is always more.

    Example:
        >>> random = np.random.default_rng(0)
        >>> [increasing_strength(name, 5, random) for name in ("posterize", "solarize")]
        [2.0, 128.0]
    """
    if name == "posterize":
        return float(4 - int(level / 10 * 4))
    if name == "solarize":
        return float(256 - int(level / 10 * 256))
    if name == "solarize_add":
        return float(int(level / 10 * 110))
    if name in ENHANCEMENTS:
        return 1 + level / 10 * 0.9 * _sign(random)
    return _signed_strength(name, level, random)


def _signed_strength(name: str, level: float | int, random: np.random.Generator) -> float:
    return level / 10 * SIGNED.get(name, 0) * _sign(random)


def _sign(random: np.random.Generator) -> int:
    return 1 if random.random() < 0.5 else -1
