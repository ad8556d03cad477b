"""What a classifier trained on real images says of generated ones."""

from collections.abc import Callable
from typing import TYPE_CHECKING

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from jdl.train.metrics import Mean, Metrics, mean

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# Images in [0, 1] → class probabilities.
Judge = Callable[[Float[Array, "batch height width channels"]], Float[Array, "batch classes"]]

CONFIDENT = 0.9


def judge_samples(
    judge: Judge,
    images: Float[Array, "batch height width channels"],
    real: Float[Array, "batch height width channels"],
    mask: Float[Array, " batch"],
) -> Metrics:
    """Measures how sure a classifier is of samples, how even their classes, how varied each is.

        confident = (1/n) Σᵢ [maxₖ p(k|xᵢ) > 0.9]                                   (1)
        shareₖ = (1/n) Σᵢ [argmax p(·|xᵢ) = k]                                      (2)
        variety = Σᵢ ‖xᵢ − μ(kᵢ)‖² / Σᵢ ‖rᵢ − ν(kᵢ)‖²                               (3)

    In (3), samples x and real images r are each compared with the mean of their own kind in the
    class that the judge puts them in: 0 when each class is one image over and over, 1 when samples
    vary as much as real images do.

    Args:
        judge: the classifier.
        images: samples in [0, 1].
        real: real images in [0, 1].
        mask: which of both count.

    Returns:
        "confident" (1), "class_share" (2), a vector, and "variety" (3).

    Example:
        >>> judge = lambda images: jnp.array([[0.95, 0.05], [0.6, 0.4]])
        >>> samples = jnp.array([0.4, 0.6]).reshape(2, 1, 1, 1)
        >>> real = jnp.array([0.3, 0.7]).reshape(2, 1, 1, 1)
        >>> metrics = judge_samples(judge, samples, real, jnp.ones(2))
        >>> float(metrics["confident"].total), metrics["class_share"].total.tolist()
        (1.0, [2.0, 0.0])
        >>> round(float(metrics["variety"].total / metrics["variety"].count), 3)
        0.25
    """
    probabilities = judge(images)
    classes = _classes(probabilities, mask)
    shares = classes.sum(0)
    return {
        "confident": mean(probabilities.max(-1) > CONFIDENT, mask),
        "class_share": Mean(shares, jnp.full_like(shares, mask.sum())),
        "variety": Mean(_spread(images, classes), _spread(real, _classes(judge(real), mask))),
    }


def _classes(probabilities: Array, mask: Array) -> Array:
    """Returns the most probable class of each row, one-hot; zeros where masked."""
    return jax.nn.one_hot(probabilities.argmax(-1), probabilities.shape[-1]) * mask[:, None]


def _spread(images: Array, classes: Array) -> Array:
    """Adds up the squared distances of images to the mean of their class (3)."""
    pixels = images.reshape(len(images), -1)
    means = classes.T @ pixels / jnp.maximum(classes.sum(0)[:, None], 1)
    distances = jnp.square(pixels - classes @ means).sum(-1)
    return (distances * classes.sum(-1)).sum()


def judged_samples(judge: Judge, images: Float[np.ndarray, "n h w c"], title: str) -> "Figure":
    """Draws samples with the class and the probability that the classifier gives each.

    Args:
        judge: the classifier.
        images: samples in [0, 1].
        title: above them.

    Returns:
        The figure.
    """
    from jdl.tasks.drawing import image_grid

    probabilities = np.asarray(judge(jnp.asarray(images)))
    titles = [f"{p.argmax()}: {p.max():.0%}" for p in probabilities]
    return image_grid(images, columns=16, titles=titles, title=title)
