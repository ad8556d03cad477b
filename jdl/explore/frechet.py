"""The Fréchet distance between real and generated images, in the features of a named network."""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import flax.linen as nn
import jax
import numpy as np
from jaxtyping import Float

from jdl.errors import UserError
from jdl.explore.features import features
from jdl.ops.preprocessing import Preprocessing, preprocess

Images = Float[np.ndarray, "images height width channels"]
Features = Float[np.ndarray, "images features"]
BATCH = 100


@dataclasses.dataclass(frozen=True)
class FeatureExtractor:
    """What turns images into vectors, and what it is called.

    Distances in the features of different networks, or of different weights, do not compare, so
    that none is told without the name.

    Attributes:
        name: of the network, its weights and the layer.
        extract: images in [0, 1] → features, for a batch.
    """

    name: str
    extract: Callable[[Any], Any]

    def __call__(self, images: Images) -> Features:
        """Extracts the features of any number of images, a batch at a time."""
        pieces = [images[start : start + BATCH] for start in range(0, len(images), BATCH)]
        return np.concatenate([np.asarray(self.extract(piece), np.float64) for piece in pieces])


def network_features(
    name: str, model: nn.Module, variables: Mapping[str, Any], layer: str
) -> FeatureExtractor:
    """Extracts what a layer of a network answers to images as they are.

    Args:
        name: of the network and its weights.
        model: images in [0, 1] → anything.
        variables: of it.
        layer: an activation that the model offers, as `jdl.features` takes it.

    Returns:
        The extractor, called "NAME LAYER".

    Example:
        >>> from jdl.models import lenet5
        >>> images = np.zeros((2, 28, 28, 1), np.float32)
        >>> variables = lenet5().init(jax.random.key(0), jax.numpy.asarray(images))
        >>> extractor = network_features("untrained lenet5", lenet5(), variables, "f6")
        >>> extractor.name, extractor(images).shape
        ('untrained lenet5 f6', (2, 84))
    """

    @jax.jit
    def extract(variables, images):
        return features(model, variables, images, names=[layer])[layer].reshape(len(images), -1)

    return FeatureExtractor(f"{name} {layer}", lambda images: extract(variables, images))


def photograph_features(
    name: str,
    model: nn.Module,
    variables: Mapping[str, Any],
    expected: Preprocessing,
    layer: str = "pooled",
) -> FeatureExtractor:
    """Extracts features as a network for photographs does, Inception-v3 for one.

    Images are resized whole to what the network takes; grey ones are given to all three channels.
    The distance that papers call FID is in the features of one Inception network of 2015, with
    weights of TensorFlow; with torchvision's weights it is another number.

    Args:
        name: of the network and its weights.
        model: of `jdl.load_pretrained`.
        variables: likewise.
        expected: likewise.
        layer: an activation that the model offers.

    Returns:
        The extractor, called "NAME LAYER".

    Source: Heusel et al., 2017, https://arxiv.org/abs/1706.08500, section 2.
    """
    whole = dataclasses.replace(expected, resize=expected.crop)
    inner = network_features(name, model, variables, layer)

    def extract(images):
        clipped = np.clip(images, 0, 1)
        return inner.extract(np.stack([preprocess(image, whole) for image in clipped]))

    return FeatureExtractor(inner.name, extract)


def frechet_distance(
    mean: Float[np.ndarray, " features"],
    covariance: Float[np.ndarray, "features features"],
    other_mean: Float[np.ndarray, " features"],
    other_covariance: Float[np.ndarray, "features features"],
) -> float:
    """Measures how far two normal distributions are apart: their squared 2-Wasserstein distance.

        d² = ‖μ − m‖² + tr(Σ + S − 2 (Σ^½ S Σ^½)^½)                                 (1)

    Args:
        mean: μ.
        covariance: Σ.
        other_mean: m.
        other_covariance: S.

    Returns:
        d².

    Example:
        >>> zero, one = np.zeros(1), np.ones((1, 1))
        >>> frechet_distance(zero, one, zero + 3, 4 * one)  # 3² + (2 − 1)²
        10.0

    Source: Dowson and Landau, 1982, https://doi.org/10.1016/0047-259X(82)90077-X, equation 4.
    """
    variances, axes = np.linalg.eigh(covariance)
    root = axes * np.sqrt(np.maximum(variances, 0)) @ axes.T
    # Rounding may leave a variance of zero a little below it.
    overlap = np.sqrt(np.maximum(np.linalg.eigvalsh(root @ other_covariance @ root), 0)).sum()
    traces = np.trace(covariance) + np.trace(other_covariance)
    return float(np.square(mean - other_mean).sum() + traces - 2 * overlap)


def frechet_score(real: Features, generated: Float[np.ndarray, "samples features"]) -> float:
    """Compares features of generated images with those of real ones, both taken for normal.

    The fewer the images, the larger it is: compare scores of as many samples.

    Args:
        real: features of real images.
        generated: of generated ones.

    Returns:
        d² of the two means and covariances.

    Raises:
        UserError: there are fewer than two images of a kind.

    Example:
        >>> x = np.random.RandomState(0).randn(500, 3)
        >>> round(frechet_score(x, x + 1), 6)
        3.0
    """
    if min(len(real), len(generated)) < 2:
        raise UserError(
            f"a covariance wants two images of each kind, not {len(real)} and {len(generated)}"
        )
    moments = [(x.mean(0), np.atleast_2d(np.cov(x, rowvar=False))) for x in (real, generated)]
    return frechet_distance(*moments[0], *moments[1])
