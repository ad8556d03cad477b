"""The 100 faces and 100 pieces of background that scikit-image carries."""

import functools
from collections.abc import Iterator
from typing import Any

import numpy as np
import tensorflow_datasets as tfds

from jdl.data.builders.embedded import EmbeddedBuilder, stratified_split

CLASSES = ("background", "face")


class Faces25(EmbeddedBuilder):
    """100 faces and 100 pieces of background, 25×25 grey, cut from Labeled Faces in the Wild.

    As scikit-image carries them, in splits drawn once, stratified by class: train 140, validation
    20, test 40, half of each faces. The faces fill their squares; the other pieces were cut from
    what is behind, so that some show part of a face, and many the black beside an image that had
    been turned. A few dozen of each are enough to see an idea work, not to measure it finely.
    """

    name = "faces25"
    SPLITS = {"train": 140, "validation": 20, "test": 40}  # noqa: RUF012
    HOMEPAGE = "https://vis-www.cs.umass.edu/lfw/"
    LICENSE = "photographs of news agencies, for research; scikit-image: BSD 3-clause"
    CITATION = """@inproceedings{huang2012learning,
  title={Learning to Align from Scratch},
  author={Huang, Gary B. and Mattar, Marwan A. and Lee, Honglak and Learned-Miller, Erik},
  booktitle={Advances in Neural Information Processing Systems}, pages={764--772}, year={2012}}"""

    def features(self) -> tfds.features.FeaturesDict:
        """Returns the features: image uint8 [25, 25, 1] in 0..255, label 0 background, 1 face."""
        return tfds.features.FeaturesDict(
            {
                "image": tfds.features.Tensor(shape=(25, 25, 1), dtype=np.uint8, encoding="bytes"),
                "label": tfds.features.ClassLabel(names=CLASSES),
            }
        )

    def examples(self, split: str) -> Iterator[dict[str, Any]]:
        """Yields the images of a split, faces and background in turn."""
        images, labels = faces(split)
        for image, label in zip(images, labels):
            yield {"image": image, "label": int(label)}


@functools.cache
def faces(split: str) -> tuple[np.ndarray, np.ndarray]:
    """Returns the images uint8 [n, 25, 25, 1] and labels int64 [n] of a split.

    scikit-image has them in [0, 1]; they are rounded to 8 bits.

    Example:
        >>> images, labels = faces("validation")
        >>> images.shape, labels[:4].tolist()
        ((20, 25, 25, 1), [0, 1, 0, 1])
    """
    import skimage.data

    images = np.round(skimage.data.lfw_subset() * 255).astype(np.uint8)[..., None]
    labels = np.repeat([1, 0], len(images) // 2)  # Faces come first.
    fractions = {"train": 0.7, "validation": 0.1, "test": 0.2}
    chosen = stratified_split(labels, fractions)[split]
    return images[chosen], labels[chosen]
