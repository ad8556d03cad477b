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
    mask: Float[Array, " batch"],
) -> Metrics:
    """Measures how many samples a classifier is sure of, and how evenly they cover its classes.

        confident = (1/n) Σᵢ [maxₖ p(k|xᵢ) > 0.9]                                   (1)
        shareₖ = (1/n) Σᵢ [argmax p(·|xᵢ) = k]                                      (2)

    Args:
        judge: the classifier.
        images: samples in [0, 1].
        mask: which of them count.

    Returns:
        "confident" (1), and "class_share" (2), a vector.

    Example:
        >>> judge = lambda images: jnp.array([[0.95, 0.05], [0.6, 0.4]])
        >>> metrics = judge_samples(judge, jnp.zeros((2, 4, 4, 1)), jnp.ones(2))
        >>> float(metrics["confident"].total), metrics["class_share"].total.tolist()
        (1.0, [2.0, 0.0])
    """
    probabilities = judge(images)
    classes = jax.nn.one_hot(probabilities.argmax(-1), probabilities.shape[-1])
    shares = (classes * mask[:, None]).sum(0)
    return {
        "confident": mean(probabilities.max(-1) > CONFIDENT, mask),
        "class_share": Mean(shares, jnp.full_like(shares, mask.sum())),
    }


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
