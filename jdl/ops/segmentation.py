"""Masks: weights for training, and votes within regions; with NumPy and SciPy."""

import numpy as np
from jaxtyping import Float, Integer
from scipy import ndimage

Labels = Integer[np.ndarray, "height width"]


def border_weights(
    instances: Labels, weight: float = 10.0, deviation: float = 5.0
) -> Float[np.ndarray, "height width"]:
    """Weighs pixels for the loss, the narrow ways between objects most.

        w(x) = w_c(x) + w₀ exp(−(d₁(x) + d₂(x))² / (2σ²))                            (1)

    d₁ and d₂ are the distances to the nearest object and to the second nearest, and the second term
    is that of background pixels alone. w_c balances objects and background: each half of the whole,

        w_c(x) = n / (2 n_c),  of n pixels, n_c of them of the class of x           (2)

    or 1 where there is but one class.

    Args:
        instances: which object a pixel is of, from 1; 0 is background. Where objects touch there is
            none between them: the paper makes `jdl.ops.objects.contacts` background first.
        weight: w₀.
        deviation: σ, in pixels.

    Returns:
        w.

    Example:
        >>> border_weights(np.array([[1, 0, 2, 2]]), deviation=1.0).round(2).tolist()
        [[0.67, 3.35, 0.67, 0.67]]

    Source: Ronneberger et al., 2015, https://arxiv.org/abs/1505.04597, equation 2.
    """
    background = instances == 0
    nearest = second = np.full(instances.shape, np.inf)
    for instance in np.unique(instances[~background]):
        distance = ndimage.distance_transform_edt(instances != instance)
        second = np.minimum(second, np.maximum(nearest, distance))
        nearest = np.minimum(nearest, distance)
    between = weight * np.exp(-((nearest + second) ** 2) / (2 * deviation**2))
    share = background.mean()
    balance = np.where(background, 0.5 / share, 0.5 / (1 - share)) if 0 < share < 1 else 1.0
    return balance + np.where(background, between, 0.0)


def majority_vote(regions: Labels, labels: Labels) -> Labels:
    """Gives all pixels of a region the label that most of them have.

        ŷᵢ = argmaxₖ |{j: rⱼ = rᵢ, yⱼ = k}|                                          (1)

    Where regions are superpixels, the edges of the labels become those of the picture; where they
    are objects, each object is of one class.

    Args:
        regions: r, which region a pixel is of, from 0.
        labels: y, from 0.

    Returns:
        ŷ; of labels that are equally frequent, the smallest.

    Example:
        >>> majority_vote(np.array([[0, 0, 0, 2]]), np.array([[5, 1, 5, 0]])).tolist()
        [[5, 5, 5, 0]]
    """
    votes = np.zeros((regions.max() + 1, labels.max() + 1), np.int64)
    np.add.at(votes, (regions.ravel(), labels.ravel()), 1)
    return votes.argmax(1)[regions]
