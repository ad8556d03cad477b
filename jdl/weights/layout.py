"""The layout of an array in a torch checkpoint against the layout of the same array here.

Modules carry the reference's names already, so that only the leaves differ:

    here                         torch                     array
    kernel [in, out]             weight [out, in]          transposed
    kernel [h, w, in, out]       weight [out, in, h, w]    channels moved to the front, and swapped
    scale, embedding             weight                    as it is
    mean, var                    running_mean, running_var as it is
    anything else                the same name             as it is

A transposed convolution, whose kernel is [h, w, out, in] here and [in, out, h, w] there, obeys the
third line too. torch's attention calls its fused projection `in_proj_weight`, without a dot.
"""

import re

import numpy as np

_LEAVES = {
    "kernel": "weight",
    "scale": "weight",
    "embedding": "weight",
    "mean": "running_mean",
    "var": "running_var",
}


def torch_name(path: tuple[str, ...]) -> str:
    """Returns torch's name of a leaf.

    Args:
        path: the names on the way to the leaf, without the collection's.

    Returns:
        The name in a torch checkpoint.

    Example:
        >>> torch_name(("layer1.0", "conv1", "kernel"))
        'layer1.0.conv1.weight'
        >>> torch_name(("attention", "in_proj", "bias"))
        'attention.in_proj_bias'
    """
    *modules, leaf = path
    name = ".".join([*modules, _LEAVES.get(leaf, leaf)])
    return re.sub(r"\bin_proj\.(weight|bias)$", r"in_proj_\1", name)


def to_torch(path: tuple[str, ...], array: np.ndarray) -> np.ndarray:
    """Lays a leaf out as torch does.

    Args:
        path: the names on the way to the leaf.
        array: the leaf.

    Returns:
        The array in torch's layout.

    Example:
        >>> to_torch(("conv", "kernel"), np.zeros((5, 7, 3, 4))).shape
        (4, 3, 5, 7)
    """
    if path[-1] != "kernel":
        return array
    spatial = range(array.ndim - 2)
    return array.transpose(array.ndim - 1, array.ndim - 2, *spatial)


def from_torch(path: tuple[str, ...], array: np.ndarray) -> np.ndarray:
    """Lays an array of a torch checkpoint out as the leaf here.

    Args:
        path: the names on the way to the leaf.
        array: as it is in the checkpoint.

    Returns:
        The array in the layout of the leaf; `to_torch` undoes it.

    Example:
        >>> from_torch(("conv", "kernel"), np.zeros((4, 3, 5, 7))).shape
        (5, 7, 3, 4)
    """
    if path[-1] != "kernel" or array.ndim < 2:
        return array
    return array.transpose(*range(2, array.ndim), 1, 0)
