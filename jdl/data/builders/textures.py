"""Pieces of the three textures that scikit-image carries."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import tensorflow_datasets as tfds

from jdl.data.builders import digit_scenes
from jdl.data.builders.embedded import EmbeddedBuilder
from jdl.data.builders.photos import pieces

SIZE = 64
CLASSES = ("brick", "grass", "gravel")
STRIDES = {"train": 16, "validation": 32, "test": 32}


class Textures(EmbeddedBuilder):
    """Pieces of brick, grass and gravel, 64×64 grey, with their class.

    Cut on a grid from the three photographs of 512×512 pixels; each split has rows of its own, so
    that no pixel is in two of them. The pieces of one split overlap.
    """

    name = "textures"
    SPLITS = {"train": 1131, "validation": 135, "test": 135}  # noqa: RUF012
    HOMEPAGE = "https://scikit-image.org/docs/stable/api/skimage.data.html"
    LICENSE = "CC0 (https://cc0textures.com)"
    CITATION = """@article{scikit-image,
  title={scikit-image: image processing in {P}ython},
  author={van der Walt, St{\\'e}fan and others}, journal={PeerJ}, volume={2}, pages={e453},
  year={2014}}"""

    def features(self) -> tfds.features.FeaturesDict:
        """Returns the features: image uint8 [64, 64, 1] in 0..255, label brick, grass or gravel."""
        return tfds.features.FeaturesDict(
            {
                "image": tfds.features.Tensor(
                    shape=(SIZE, SIZE, 1), dtype=np.uint8, encoding="bytes"
                ),
                "label": tfds.features.ClassLabel(names=CLASSES),
            }
        )

    def examples(self, split: str) -> Iterator[dict[str, Any]]:
        """Yields the pieces of a split, the three classes in turn."""
        rows = digit_scenes.textures(split)
        cut = [pieces(rows[name][..., None], SIZE, STRIDES[split]) for name in CLASSES]
        for triple in zip(*cut):
            for label, piece in enumerate(triple):
                yield {"image": piece, "label": label}
