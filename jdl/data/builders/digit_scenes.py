"""Digits composed over real textures: pixel masks, instances, and a sentence for every scene."""

import dataclasses
from collections.abc import Iterator
from typing import Any

import numpy as np
import tensorflow_datasets as tfds
from PIL import Image

from jdl.data.builders import mnist5k
from jdl.data.builders.embedded import EmbeddedBuilder

SIZE = 64
WORDS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
COLOURS = {
    "red": (226, 43, 40),
    "orange": (250, 146, 24),
    "yellow": (252, 226, 60),
    "green": (58, 196, 76),
    "cyan": (70, 222, 232),
    "blue": (52, 98, 240),
    "pink": (246, 110, 196),
    "white": (248, 248, 246),
}
# Tints as red, green, blue at full brightness: each texture is recognised by its structure, its
# colour only stays plausible.
TINTS = {
    "brick": ((1.0, 0.72, 0.60), (1.0, 0.88, 0.74), (0.86, 0.84, 0.86)),
    "grass": ((0.78, 1.0, 0.62), (0.96, 1.0, 0.62), (0.70, 0.92, 0.76)),
    "gravel": ((1.0, 0.97, 0.92), (0.86, 0.94, 1.0), (1.0, 0.90, 0.80)),
}
# Each split sees its own rows of the textures, so that no test background was trained on.
TEXTURE_ROWS = {"train": (0, 256), "validation": (256, 384), "test": (384, 512)}
HEIGHTS = {
    2: (23, 30),
    3: (20, 27),
    4: (18, 23),
}  # longer side of the ink, pixels, by digits in the scene
MIN_GAP = 8.0  # pixels between the centres of neighbours, along the axis that the sentence follows
MAX_HIDDEN = 0.02  # share of a digit's ink that another may share
SEEDS = {"train": 0, "validation": 1, "test": 2}


class DigitScenes(EmbeddedBuilder):
    """Scenes of two to four coloured digits on brick, grass or gravel, 64×64, with masks.

    Digits of mnist5k, 18 to 30 pixels long, are laid over photographed textures; they may touch but
    hardly cover each other. Every scene has a class mask, an instance mask, and the sentence that
    it determines: "a red three left of a blue seven on brick". Digits and textures of the three
    splits are disjoint.
    """

    name = "digit_scenes"
    SPLITS = {"train": 3000, "validation": 300, "test": 500}  # noqa: RUF012
    HOMEPAGE = mnist5k.MNIST5k.HOMEPAGE
    LICENSE = (
        "MNIST: Creative Commons Attribution-Share Alike 3.0; textures of scikit-image: CC0 "
        "(https://cc0textures.com)"
    )
    CITATION = mnist5k.MNIST5k.CITATION

    def features(self) -> tfds.features.FeaturesDict:
        """Returns the features.

        image: uint8 [64, 64, 3]. mask: uint8 [64, 64], 0 background, 1 + digit. instances: uint8
        [64, 64], 0 background, 1 .. n in the order of the sentence. sentence: English.
        """
        return tfds.features.FeaturesDict(
            {
                "image": tfds.features.Tensor(
                    shape=(SIZE, SIZE, 3), dtype=np.uint8, encoding="bytes"
                ),
                "mask": tfds.features.Tensor(shape=(SIZE, SIZE), dtype=np.uint8, encoding="bytes"),
                "instances": tfds.features.Tensor(
                    shape=(SIZE, SIZE), dtype=np.uint8, encoding="bytes"
                ),
                "sentence": tfds.features.Text(),
            }
        )

    def examples(self, split: str) -> Iterator[dict[str, Any]]:
        """Yields the scenes of a split."""
        random = np.random.RandomState(SEEDS[split])
        images, labels = mnist5k.digits(split)
        grounds = textures(split)
        for _ in range(self.SPLITS[split]):
            digits = arrange(random, images, labels)
            name = sorted(grounds)[random.randint(len(grounds))]
            yield compose(digits, ground(random, name, grounds[name]), name)


@dataclasses.dataclass(frozen=True)
class PlacedDigit:
    """A digit of a scene: its opacity over the whole scene, float [64, 64], and its names."""

    opacity: np.ndarray
    label: int
    colour: str
    centre: np.ndarray  # of its ink: row, column

    @property
    def ink(self) -> np.ndarray:
        """Where the digit covers more than half of a pixel."""
        return self.opacity > 0.5


def arrange(
    random: np.random.RandomState, images: np.ndarray, labels: np.ndarray
) -> list[PlacedDigit]:
    """Draws two to four digits of distinct colours, and places until their order is clear."""
    count = random.randint(2, 5)
    chosen = random.randint(len(images), size=count)
    colours = random.permutation(list(COLOURS))[:count]
    heights = random.randint(HEIGHTS[count][0], HEIGHTS[count][1] + 1, size=count).tolist()
    digits = [resize_ink(images[i, :, :, 0], height) for i, height in zip(chosen, heights)]
    room = SIZE - 1 - np.array([digit.shape for digit in digits])
    middles = np.stack([np.argwhere(digit > 0.5).mean(0) for digit in digits])
    while True:
        corners = random.randint(1, room + 1)
        if clearest_axis(corners + middles)[1] < MIN_GAP:
            continue
        placed = [
            PlacedDigit(place(digit, corner), int(labels[index]), str(colour), corner + middle)
            for digit, corner, index, colour, middle in zip(
                digits, corners, chosen, colours, middles
            )
        ]
        ink = np.stack([digit.ink for digit in placed])
        hidden = (ink & (ink.sum(0) > 1)[None]).sum((1, 2)) / ink.sum((1, 2))
        if hidden.max() <= MAX_HIDDEN:
            return placed


def resize_ink(image: np.ndarray, height: int) -> np.ndarray:
    """Crops a digit to its ink and resizes it to a height in pixels; returns opacity in 0..1."""
    rows, columns = np.flatnonzero(image.max(1) > 50), np.flatnonzero(image.max(0) > 50)
    box = image[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    # A digit wider than it is high keeps its shape: its width takes the size instead.
    scale = height / max(box.shape)
    width, height = max(3, round(scale * box.shape[1])), round(scale * box.shape[0])
    resized = Image.fromarray(box).resize((width, height), Image.Resampling.BICUBIC)
    # Steeper than the scan, so that strokes are crisp at every size.
    return np.clip((np.asarray(resized, np.float32) / 255 - 0.5) * 1.6 + 0.55, 0, 1)


def place(digit: np.ndarray, corner: np.ndarray) -> np.ndarray:
    """Lays a digit into an empty scene, its upper left corner at (row, column)."""
    scene = np.zeros((SIZE, SIZE), np.float32)
    (top, left), (height, width) = corner, digit.shape
    scene[top : top + height, left : left + width] = digit
    return scene


def clearest_axis(centres: np.ndarray) -> tuple[int, float]:
    """Returns the axis on which neighbouring centres [n, 2] lie further apart, and how far."""
    gaps = np.diff(np.sort(centres, axis=0), axis=0).min(0)
    axis = int(gaps[1] >= gaps[0])
    return axis, float(gaps[axis])


def order(digits: list[PlacedDigit]) -> tuple[list[PlacedDigit], str]:
    """Returns the digits in the sentence's order, and their relation, "left of" or "above"."""
    axis, _ = clearest_axis(np.stack([digit.centre for digit in digits]))
    ordered = sorted(digits, key=lambda digit: digit.centre[axis])
    return ordered, ("above", "left of")[axis]


def sentence(digits: list[PlacedDigit], texture: str) -> str:
    """Says what the scene shows: each digit by colour and name, in order, and the ground."""
    ordered, relation = order(digits)
    names = [
        f"{'an' if digit.colour == 'orange' else 'a'} {digit.colour} {WORDS[digit.label]}"
        for digit in ordered
    ]
    return f" {relation} ".join(names) + f" on {texture}"


def textures(split: str) -> dict[str, np.ndarray]:
    """Returns the split's rows of the three textures of scikit-image, uint8 [rows, 512]."""
    import skimage.data

    photographs = {
        "brick": skimage.data.brick().T,  # courses lie level
        "grass": skimage.data.grass(),
        "gravel": skimage.data.gravel(),
    }
    start, end = TEXTURE_ROWS[split]
    return {name: photograph[start:end] for name, photograph in photographs.items()}


def ground(random: np.random.RandomState, name: str, texture: np.ndarray) -> np.ndarray:
    """Cuts a random piece of a texture, resizes it to the scene, tints it; float [64, 64, 3]."""
    side = random.randint(96, 129)
    top = random.randint(texture.shape[0] - side + 1)
    left = random.randint(texture.shape[1] - side + 1)
    piece = Image.fromarray(np.ascontiguousarray(texture[top : top + side, left : left + side]))
    grey = np.asarray(piece.resize((SIZE, SIZE), Image.Resampling.LANCZOS), np.float32)
    if random.randint(2):
        grey = grey[:, ::-1]
    contrast = random.uniform(0.8, 1.1)
    grey = (grey - grey.mean()) * contrast + random.uniform(60, 115)
    shares = random.dirichlet(np.ones(len(TINTS[name])))
    tint = shares @ np.array(TINTS[name])
    return np.clip(grey, 0, 190)[:, :, None] * tint[None, None, :]


def compose(digits: list[PlacedDigit], scene: np.ndarray, texture: str) -> dict[str, Any]:
    """Paints digits over a ground, each with a soft shadow, and draws the two masks."""
    mask = np.zeros((SIZE, SIZE), np.uint8)
    instances = np.zeros((SIZE, SIZE), np.uint8)
    for number, digit in enumerate(order(digits)[0], start=1):
        opacity = digit.opacity[:, :, None]
        scene = scene * (1 - 0.55 * shadow(digit.opacity)[:, :, None])
        scene = scene * (1 - opacity) + np.array(COLOURS[digit.colour])[None, None, :] * opacity
        mask[digit.ink] = 1 + digit.label
        instances[digit.ink] = number
    return {
        "image": np.clip(np.round(scene), 0, 255).astype(np.uint8),
        "mask": mask,
        "instances": instances,
        "sentence": sentence(digits, texture),
    }


def shadow(opacity: np.ndarray) -> np.ndarray:
    """Blurs an opacity by a 3×3 binomial and moves it a pixel down and to the right."""
    padded = np.pad(opacity, ((2, 0), (2, 0)))
    rows = (padded[:-2] + 2 * padded[1:-1] + padded[2:]) / 4
    return (rows[:, :-2] + 2 * rows[:, 1:-1] + rows[:, 2:]) / 4
