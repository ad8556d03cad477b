"""Pieces of the photographs that scikit-image and scikit-learn carry."""

import functools
from collections.abc import Iterator
from typing import Any

import numpy as np
import tensorflow_datasets as tfds

from jdl.data.builders.embedded import EmbeddedBuilder

SIZE = 96
# Whole photographs are held out: a piece of one says too much about the piece beside it.
PHOTOGRAPHS = {
    "train": ("astronaut", "flower", "immunohistochemistry", "motorcycle", "rocket"),
    "validation": ("coffee",),
    "test": ("chelsea", "china"),
}
# Pixels from one piece to the next: those that are learned from overlap, those that are measured
# on do not, so that no pixel counts twice.
STRIDES = {"train": 32, "validation": SIZE, "test": SIZE}
NAMES = tuple(sorted(name for names in PHOTOGRAPHS.values() for name in names))


class Photos(EmbeddedBuilder):
    """Pieces of eight photographs, 96×96 in colour; whole photographs held out.

    Cut on a grid, at full resolution, from what scikit-image and scikit-learn carry: an astronaut,
    a flower, glands under a microscope, a motorcycle and a rocket to learn from, in pieces that
    overlap; a cup of coffee to validate on; a cat and a pagoda to test on, in pieces that do not.
    """

    name = "photos"
    SPLITS = {"train": 1061, "validation": 24, "test": 36}  # noqa: RUF012
    HOMEPAGE = "https://scikit-image.org/docs/stable/api/skimage.data.html"
    LICENSE = (
        "astronaut, rocket: public domain; chelsea, coffee: CC0; immunohistochemistry: no known "
        "restrictions; china, flower: CC BY 2.0 (danielbuechele, vultilion on flickr.com); "
        "motorcycle: Middlebury Stereo Datasets, for research"
    )
    CITATION = """@article{scikit-image,
  title={scikit-image: image processing in {P}ython},
  author={van der Walt, St{\\'e}fan and others}, journal={PeerJ}, volume={2}, pages={e453},
  year={2014}}
@inproceedings{scharstein2014high,
  title={High-Resolution Stereo Datasets with Subpixel-Accurate Ground Truth},
  author={Scharstein, Daniel and others},
  booktitle={German Conference on Pattern Recognition}, year={2014}}"""

    def features(self) -> tfds.features.FeaturesDict:
        """Returns the features: image uint8 [96, 96, 3] in 0..255, and the photograph it is of."""
        return tfds.features.FeaturesDict(
            {
                "image": tfds.features.Tensor(
                    shape=(SIZE, SIZE, 3), dtype=np.uint8, encoding="bytes"
                ),
                "photograph": tfds.features.ClassLabel(names=NAMES),
            }
        )

    def examples(self, split: str) -> Iterator[dict[str, Any]]:
        """Yields the pieces of a split, photograph after photograph, row after row."""
        for name in PHOTOGRAPHS[split]:
            for piece in pieces(photograph(name), SIZE, STRIDES[split]):
                yield {"image": piece, "photograph": NAMES.index(name)}


@functools.cache
def photograph(name: str) -> np.ndarray:
    """Returns a photograph as its package carries it, uint8 [height, width, 3].

    Example:
        >>> photograph("coffee").shape
        (400, 600, 3)
    """
    import skimage.data
    from sklearn.datasets import load_sample_image

    if name in ("china", "flower"):
        return load_sample_image(f"{name}.jpg")
    if name == "motorcycle":
        return skimage.data.stereo_motorcycle()[0]  # the left eye's
    return getattr(skimage.data, name)()


def pieces(image: np.ndarray, size: int, stride: int) -> np.ndarray:
    """Cuts squares out of an image, on a grid that begins in its upper left corner.

    Args:
        image: [height, width, ...].
        size: side of a piece, pixels.
        stride: from one piece to the next, pixels.

    Returns:
        [count, size, size, ...], row after row. What does not fill a piece is left out.

    Example:
        >>> pieces(np.arange(12).reshape(3, 4), size=2, stride=2).tolist()
        [[[0, 1], [4, 5]], [[2, 3], [6, 7]]]
    """
    rows = range(0, image.shape[0] - size + 1, stride)
    columns = range(0, image.shape[1] - size + 1, stride)
    return np.stack([image[r : r + size, c : c + size] for r in rows for c in columns])
