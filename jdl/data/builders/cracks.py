"""Cracks that wander over photographed surfaces, with masks of their pixels."""

import functools
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import tensorflow_datasets as tfds
from PIL import Image, ImageDraw

from jdl.data.builders.embedded import EmbeddedBuilder
from jdl.data.builders.textures import Textures

SIZE = 96
SURFACES = ("brick", "grass", "gravel", "moon")
# The surface of the test is seen in it alone; those that are learned from lend the validation
# rows of their own.
SPLIT_SURFACES = {
    "train": ("grass", "gravel", "moon"),
    "validation": ("grass", "gravel", "moon"),
    "test": ("brick",),
}
ROWS = {"train": (0, 352), "validation": (352, 512), "test": (0, 512)}
SEEDS = {"train": 0, "validation": 1, "test": 2}
FINE = 4  # Cracks are drawn on a grid so many times finer.
STEP = 2.0  # of a walk, pixels
WIDTHS = (1.0, 3.2)  # pixels
UNCRACKED = 0.1  # share of pictures without a crack


class Cracks(EmbeddedBuilder):
    """Random-walk cracks over photographs of grass, gravel, the moon and brick, 96×96, with masks.

    Each crack is a walk whose heading and width change a little at every step, and which may
    branch; it darkens the surface by 25 to 85 %. One picture in ten has none. The brick of the
    test split is in no other one.
    """

    name = "cracks"
    SPLITS = {"train": 1200, "validation": 120, "test": 160}  # noqa: RUF012
    HOMEPAGE = Textures.HOMEPAGE
    LICENSE = "brick, grass, gravel: CC0 (https://cc0textures.com); moon: public domain (NASA)"
    CITATION = Textures.CITATION

    def features(self) -> tfds.features.FeaturesDict:
        """Returns the features.

        image: uint8 [96, 96, 1]. mask: uint8 [96, 96], 1 on a crack, 0 beside it. surface: whose
        photograph is under it.
        """
        return tfds.features.FeaturesDict(
            {
                "image": tfds.features.Tensor(
                    shape=(SIZE, SIZE, 1), dtype=np.uint8, encoding="bytes"
                ),
                "mask": tfds.features.Tensor(shape=(SIZE, SIZE), dtype=np.uint8, encoding="bytes"),
                "surface": tfds.features.ClassLabel(names=SURFACES),
            }
        )

    def examples(self, split: str) -> Iterator[dict[str, Any]]:
        """Yields the pictures of a split."""
        random = np.random.RandomState(SEEDS[split])
        names, (start, end) = SPLIT_SURFACES[split], ROWS[split]
        for _ in range(self.SPLITS[split]):
            name = names[random.randint(len(names))]
            ground = cut_ground(random, surface(name)[start:end])
            shade, mask = draw_cracks(random)
            image = np.clip(np.round(ground * (1 - shade)), 0, 255).astype(np.uint8)
            yield {"image": image[..., None], "mask": mask, "surface": SURFACES.index(name)}


@functools.cache
def surface(name: str) -> np.ndarray:
    """Returns a surface as scikit-image carries it, uint8 [512, 512].

    Example:
        >>> surface("moon").shape
        (512, 512)
    """
    import skimage.data

    return getattr(skimage.data, name)()


def cut_ground(random: np.random.RandomState, surface: np.ndarray) -> np.ndarray:
    """Cuts a random piece of a surface, and changes its scale, light and side; float [96, 96]."""
    side = random.randint(SIZE, 151)
    top = random.randint(surface.shape[0] - side + 1)
    left = random.randint(surface.shape[1] - side + 1)
    piece = Image.fromarray(np.ascontiguousarray(surface[top : top + side, left : left + side]))
    grey = np.asarray(piece.resize((SIZE, SIZE), Image.Resampling.LANCZOS), np.float64)
    grey = np.rot90(grey, random.randint(4))
    deviation, mean = random.uniform(12, 36), random.uniform(90, 190)
    return np.clip((grey - grey.mean()) / max(grey.std(), 1.0) * deviation + mean, 0, 255)


class Stroke(NamedTuple):
    """A step of a crack."""

    start: np.ndarray  # row, column, in pixels
    end: np.ndarray
    width: float  # pixels


def walk(
    random: np.random.RandomState,
    place: np.ndarray,
    heading: float,
    width: float,
    length: float,
) -> Iterator[Stroke]:
    """Walks along a crack and its branches.

        δ ← 0.85 δ + 0.3 ε,  log w ← log w + 0.12 ε'                                (1)
        x ← x + s (sin (φ + δ), cos (φ + δ))                                        (2)

    with normal ε and ε': it turns, but keeps its heading on the whole. At every step, with a
    probability of 3 %, a branch begins, narrower and shorter than what is left.

    Args:
        random: of the numbers.
        place: x, where the walk begins, in pixels.
        heading: φ, in radians.
        width: w, in pixels; kept between the least and the largest.
        length: of the walk, in pixels.
    """
    turn = 0.0
    while length > 0:
        turn = 0.85 * turn + 0.3 * random.randn()
        width = float(np.clip(width * np.exp(0.12 * random.randn()), *WIDTHS))
        end = place + STEP * np.array([np.sin(heading + turn), np.cos(heading + turn)])
        yield Stroke(place, end, width)
        place, length = end, length - STEP
        if random.rand() < 0.03:
            side = heading + random.choice([-1, 1]) * random.uniform(0.4, 1.2)
            yield from walk(random, place, side, 0.7 * width, random.uniform(0.3, 0.7) * length)


def draw_cracks(random: np.random.RandomState) -> tuple[np.ndarray, np.ndarray]:
    """Draws up to two cracks.

    Args:
        random: of the numbers.

    Returns:
        By how much each pixel is darkened, float [96, 96] in [0, 1), and which pixels are covered
        by two fifths or more, uint8 [96, 96].
    """
    fine = SIZE * FINE
    covered, darkened = (Image.new("L", (fine, fine)) for _ in range(2))
    for _ in range(0 if random.rand() < UNCRACKED else random.randint(1, 3)):
        place, heading = random.uniform(0, SIZE, 2), random.uniform(0, 2 * np.pi)
        width, length = random.uniform(*WIDTHS), random.uniform(50, 140)
        depth = random.uniform(0.25, 0.85)
        # In both directions from where it begins.
        for turn in (0, np.pi):
            for stroke in walk(random, place, heading + turn, width, length / 2):
                depth = float(np.clip(depth + 0.03 * random.randn(), 0.25, 0.85))
                for canvas, value in ((covered, 255), (darkened, round(255 * depth))):
                    draw_stroke(canvas, stroke, value)
    small = [
        np.asarray(canvas.resize((SIZE, SIZE), Image.Resampling.BOX), np.float64) / 255
        for canvas in (covered, darkened)
    ]
    return small[1], (small[0] >= 0.4).astype(np.uint8)


def draw_stroke(canvas: Image.Image, stroke: Stroke, value: int) -> None:
    """Draws a stroke with a round end, so that the next one joins it without a gap."""
    draw = ImageDraw.Draw(canvas)
    (y0, x0), (y1, x1) = FINE * stroke.start, FINE * stroke.end
    radius = FINE * stroke.width / 2
    draw.line((x0, y0, x1, y1), fill=value, width=max(1, round(2 * radius)))
    draw.ellipse((x1 - radius, y1 - radius, x1 + radius, y1 + radius), fill=value)
