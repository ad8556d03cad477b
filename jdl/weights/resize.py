"""Arrays that follow the resolution of the images: interpolated when it changes."""

import math

import jax
import numpy as np


def resize(path: tuple[str, ...], leaf: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Interpolates position embeddings to another grid; leaves all else as it is.

    The embedding of the class token is kept, those of the patches are laid out as the square grid
    that they describe and interpolated with cubic splines, as Dosovitskiy et al. (2021,
    https://arxiv.org/abs/2010.11929, section 3.2) say for fine-tuning at higher resolution.

    Args:
        path: the names on the way to the leaf.
        leaf: [1, tokens, features], of which a square number, or a square number and one.
        shape: what is wanted.

    Returns:
        The embeddings in the wanted shape, or the leaf when it is something else.

    Example:
        >>> resize(("params", "pos_embedding"), np.ones((1, 5, 2)), (1, 10, 2)).shape
        (1, 10, 2)
    """
    if path[-1] != "pos_embedding" or leaf.ndim != 3 or leaf.shape[2] != shape[2]:
        return leaf
    if leaf.shape == shape:
        return leaf
    old, new = math.isqrt(leaf.shape[1]), math.isqrt(shape[1])
    extra = leaf.shape[1] - old**2
    if extra not in (0, 1) or shape[1] - new**2 != extra:
        return leaf
    grid = leaf[:, extra:].reshape(old, old, -1)
    grid = jax.image.resize(grid, (new, new, leaf.shape[2]), "bicubic")
    return np.concatenate([leaf[:, :extra], np.asarray(grid).reshape(1, new**2, -1)], axis=1)
