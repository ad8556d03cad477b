"""What the codes of an autoencoder are good for: features for a classifier, and clusters."""

import dataclasses
from collections.abc import Mapping
from typing import TYPE_CHECKING

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, Key

from jdl.ops.gaussian import fit_gaussian
from jdl.tasks.classification import to_float
from jdl.tasks.reconstruction import Reconstruction
from jdl.train.state import TrainState
from jdl.train.task import Batch

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Features = Float[np.ndarray, "examples features"]
Labels = Int[np.ndarray, " examples"]
OtherFeatures = Float[np.ndarray, "tested features"]
OtherLabels = Int[np.ndarray, " tested"]


def linear_accuracy(
    features: Features, labels: Labels, test_features: OtherFeatures, test_labels: OtherLabels
) -> float:
    """Fits softmax regression to features, each scaled to unit variance; returns test accuracy.

    Args:
        features: to learn from.
        labels: of them.
        test_features: to measure on.
        test_labels: of them.

    Example:
        >>> x, y = np.array([[-1.0], [1.0]], np.float32), np.array([0, 1])
        >>> linear_accuracy(x, y, 3 * x, y)
        1.0
    """
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    # As strong a price on the weights for all features: what is compared is the features.
    classifier = make_pipeline(StandardScaler(), LogisticRegression(C=0.1, max_iter=300))
    return float(classifier.fit(features, labels).score(test_features, test_labels))


def cluster_agreement(
    features: Features, labels: Labels, num_clusters: int, seed: int = 0
) -> float:
    """Clusters by k-means, and says how well the clusters agree with the classes.

    Args:
        features: of examples.
        labels: their classes, which the clusters do not see.
        num_clusters: how many to find.
        seed: of the starts, the best of ten.

    Returns:
        The adjusted Rand index: 1 where clusters are classes, 0 on average for chance.

    Example:
        >>> x = np.array([[0.0], [0.1], [5.0], [5.1]], np.float32)
        >>> cluster_agreement(x, np.array([1, 1, 0, 0]), 2)
        1.0

    Source: Hubert and Arabie, 1985, https://doi.org/10.1007/BF01908075, as scikit-learn has it.
    """
    from sklearn.cluster import KMeans
    from sklearn.metrics import adjusted_rand_score

    found = KMeans(num_clusters, n_init=10, random_state=seed).fit_predict(features)
    return float(adjusted_rand_score(labels, found))


@dataclasses.dataclass(frozen=True, eq=False)
class Representation(Reconstruction):
    """Reconstruction, after which the codes are put to use.

    A linear classifier learns from few labels, with pixels, codes or both for features; the codes
    of the test split are clustered. Principal components, as many as the code has numbers, take
    part in both.

    Args:
        labelled: "image" of 8 bits and "label", what the classifier learns from.
        test: the same, what it is measured on and what is clustered.
        unlabelled: images of 8 bits, for the principal components.
    """

    labelled: Mapping[str, np.ndarray] = dataclasses.field(kw_only=True)
    test: Mapping[str, np.ndarray] = dataclasses.field(kw_only=True)
    unlabelled: np.ndarray = dataclasses.field(kw_only=True)

    def texts(self, state: TrainState, key: Key[Array, ""]) -> dict[str, str]:
        """A table of accuracies of a linear classifier, and of the agreement of clusters."""
        axes = principal_axes(self.unlabelled, self.latent_size)

        def describe(images: np.ndarray) -> dict[str, Features]:
            x = to_float(jnp.asarray(images))
            pixels, codes = np.asarray(x).reshape(len(x), -1), np.asarray(self.encode(state, x))
            return {
                "pixels": pixels,
                "principal components": pixels @ axes,
                "codes": codes,
                "pixels and codes": np.concatenate([pixels, codes], 1),
            }

        features, tested = describe(self.labelled["image"]), describe(self.test["image"])
        labels, truth = self.labelled["label"], self.test["label"]
        classes = len(np.unique(truth))
        lines = [f"{'features':22}{'accuracy':>10}{'clusters':>10}"]
        for name, vectors in features.items():
            accuracy = linear_accuracy(vectors, labels, tested[name], truth)
            agreement = cluster_agreement(tested[name], truth, classes)
            lines.append(f"{name:22}{accuracy:10.1%}{agreement:10.3f}")
        return {"codes": "\n".join(lines)}

    def figures(self, state: TrainState, batch: Batch, key: Key[Array, ""]) -> "dict[str, Figure]":
        """The codes of test images on their two axes of most variance, coloured by class."""
        from matplotlib.figure import Figure

        codes = np.asarray(self.encode(state, to_float(jnp.asarray(self.test["image"]))))
        codes = codes - codes.mean(0)
        _, _, axes = np.linalg.svd(codes, full_matrices=False)
        flat = codes @ axes[:2].T
        figure = Figure(figsize=(5.4, 5), layout="constrained")
        plot = figure.subplots()
        for label in np.unique(self.test["label"]):
            here = self.test["label"] == label
            plot.scatter(flat[here, 0], flat[here, 1], s=8, color=f"C{label}", label=str(label))
        plot.set(title="Codes of test images, by class")
        plot.legend(frameon=False, fontsize=8)
        return super().figures(state, batch, key) | {"codes": figure}


def principal_axes(images: np.ndarray, count: int) -> Float[np.ndarray, "pixels axes"]:
    """Returns the directions of most variance of images of 8 bits, as unit columns.

    Args:
        images: [n, height, width, channels].
        count: how many; all where there are fewer pixels.

    Example:
        >>> flat = np.zeros((3, 1, 2, 1), np.uint8)
        >>> flat[:, 0, 1, 0] = 0, 100, 200  # only the second pixel varies
        >>> np.abs(principal_axes(flat, 1)).tolist()
        [[0.0], [1.0]]
    """
    vectors = to_float(jnp.asarray(images)).reshape(len(images), -1)
    return np.asarray(fit_gaussian(vectors).axes[:, :count])


def principal_error(train: np.ndarray, test: np.ndarray, count: int) -> float:
    """Returns the mean squared error of test pixels, rebuilt from principal components.

    Args:
        train: images of 8 bits, whose components they are.
        test: images of 8 bits.
        count: how many components.

    Example:
        >>> flat = np.zeros((3, 1, 2, 1), np.uint8)
        >>> flat[:, 0, 1, 0] = 0, 100, 200
        >>> round(principal_error(flat, flat, 1), 6)
        0.0
    """
    axes = principal_axes(train, count)
    mean = (train.reshape(len(train), -1) / 255).mean(0)
    centred = test.reshape(len(test), -1) / 255 - mean
    return float(np.square(centred - centred @ axes @ axes.T).mean())
