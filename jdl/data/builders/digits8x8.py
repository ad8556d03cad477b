"""The 1,797 digits of 8×8 pixels that scikit-learn carries."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import tensorflow_datasets as tfds

from jdl.data.builders.embedded import EmbeddedBuilder, stratified_split


class Digits8x8(EmbeddedBuilder):
    """1,797 handwritten digits, 8×8 with values 0 to 16, about 180 of each class.

    The test set of the UCI "Optical Recognition of Handwritten Digits", as scikit-learn carries
    it, in splits drawn once, stratified by class.
    """

    name = "digits8x8"
    SPLITS = {"train": 1258, "validation": 180, "test": 359}  # noqa: RUF012
    HOMEPAGE = "https://archive.ics.uci.edu/dataset/80"
    LICENSE = "UCI: Creative Commons Attribution 4.0; scikit-learn: BSD 3-clause"
    CITATION = """@misc{alpaydin1998optical,
  title={Optical Recognition of Handwritten Digits},
  author={Alpaydin, E. and Kaynak, C.}, year={1998},
  howpublished={UCI Machine Learning Repository}, doi={10.24432/C50P49}}"""

    def features(self) -> tfds.features.FeaturesDict:
        """Returns the features: image uint8 [8, 8, 1] in 0..16, label in 0..9."""
        return tfds.features.FeaturesDict(
            {
                "image": tfds.features.Tensor(shape=(8, 8, 1), dtype=np.uint8, encoding="bytes"),
                "label": tfds.features.ClassLabel(num_classes=10),
            }
        )

    def examples(self, split: str) -> Iterator[dict[str, Any]]:
        """Yields the digits of a split, the classes interleaved."""
        import sklearn.datasets

        digits = sklearn.datasets.load_digits()
        fractions = {"train": 0.7, "validation": 0.1, "test": 0.2}
        for index in stratified_split(digits.target, fractions)[split]:
            image = digits.images[index].astype(np.uint8)[:, :, None]
            yield {"image": image, "label": int(digits.target[index])}
