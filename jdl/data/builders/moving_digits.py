"""Videos of a digit on the move."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import tensorflow_datasets as tfds

from jdl.data.builders import mnist5k
from jdl.data.builders.digit_scenes import resize_ink
from jdl.data.builders.embedded import EmbeddedBuilder

SIZE, FRAMES = 32, 16
# (rows, columns), which grow downwards and to the right; counter-clockwise, as seen.
DIRECTIONS = {
    "right": (0, 1),
    "up right": (-1, 1),
    "up": (-1, 0),
    "up left": (-1, -1),
    "left": (0, -1),
    "down left": (1, -1),
    "down": (1, 0),
    "down right": (1, 1),
}
INK = (10, 14)  # longer side of the digit, pixels
SPEED = (0.4, 1.1)  # pixels a frame, along each axis
SEEDS = {"train": 0, "validation": 1, "test": 2}


class MovingDigits(EmbeddedBuilder):
    """Videos of one digit that moves in one of eight directions, 16 frames of 32×32.

    The path's middle is drawn without regard to the direction, so that no single frame, nor any set
    of frames without their order, tells where a digit goes: a video backwards is as likely. Digits
    are mnist5k's, those of the three splits disjoint.
    """

    name = "moving_digits"
    SPLITS = {"train": 2000, "validation": 250, "test": 500}  # noqa: RUF012
    HOMEPAGE = mnist5k.MNIST5k.HOMEPAGE
    LICENSE = mnist5k.MNIST5k.LICENSE
    CITATION = mnist5k.MNIST5k.CITATION

    def features(self) -> tfds.features.FeaturesDict:
        """Returns the features: video uint8 [16, 32, 32, 1], direction, digit."""
        shape = (FRAMES, SIZE, SIZE, 1)
        return tfds.features.FeaturesDict(
            {
                "video": tfds.features.Tensor(shape=shape, dtype=np.uint8, encoding="bytes"),
                "direction": tfds.features.ClassLabel(names=list(DIRECTIONS)),
                "digit": tfds.features.ClassLabel(num_classes=10),
            }
        )

    def examples(self, split: str) -> Iterator[dict[str, Any]]:
        """Yields the videos of a split."""
        random = np.random.RandomState(SEEDS[split])
        images, labels = mnist5k.digits(split)
        for _ in range(self.SPLITS[split]):
            chosen = random.randint(len(images))
            digit = resize_ink(images[chosen, :, :, 0], random.randint(INK[0], INK[1] + 1))
            direction = str(random.choice(list(DIRECTIONS)))
            path = draw_path(random, DIRECTIONS[direction], digit.shape)
            frames = np.stack([place(digit, corner) for corner in path])
            yield {
                "video": np.round(255 * frames).astype(np.uint8)[..., None],
                "direction": direction,
                "digit": int(labels[chosen]),
            }


def draw_path(
    random: np.random.RandomState, direction: tuple[int, int], shape: tuple[int, ...]
) -> np.ndarray:
    """Draws the corners [16, 2] of a digit that moves evenly and never leaves the frame."""
    velocity = np.array(direction) * random.uniform(*SPEED)
    times = np.arange(FRAMES) - (FRAMES - 1) / 2
    reach = SPEED[1] * times[-1]  # of the fastest, whatever the speed and the axis
    middle = random.uniform(reach, SIZE - np.array(shape) - reach)
    return middle + times[:, None] * velocity


def place(digit: np.ndarray, corner: np.ndarray) -> np.ndarray:
    """Lays a digit into an empty frame, its upper left corner between pixels, bilinearly."""
    frame = np.zeros((SIZE + 1, SIZE + 1), np.float32)
    (top, left), (height, width) = np.floor(corner).astype(int), digit.shape
    below, right = corner - np.floor(corner)
    for row, share in ((top, 1 - below), (top + 1, below)):
        for column, part in ((left, 1 - right), (left + 1, right)):
            frame[row : row + height, column : column + width] += share * part * digit
    return np.clip(frame[:SIZE, :SIZE], 0, 1)
