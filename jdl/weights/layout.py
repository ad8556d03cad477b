"""The layout of an array in a torch checkpoint against the layout of the same array here.

Modules carry the reference's names already, so that only the leaves differ:

    here                         torch                     array
    kernel [in, out]             weight [out, in]          transposed
    kernel [h, w, in, out]       weight [out, in, h, w]    channels moved to the front, and swapped
    scale, embedding             weight                    as it is
    mean, var                    running_mean, running_var as it is
    anything else                the same name             as it is
    x.*.kernel [layers, ...]     x.0.weight, x.1.weight …  cut along the layers, then as above

A transposed convolution, whose kernel is [h, w, out, in] here and [in, out, h, w] there, obeys the
third line too. torch's attention calls its fused projection `in_proj_weight`, without a dot. GPT's
dense layers in transformers, of a kind of its own (`Conv1D`), are [in, out] there too. A `*` stands
for the layers of a stack that is scanned.
"""

import re
from collections.abc import Mapping
from typing import Any

import numpy as np

_CONV1D = ("c_attn", "c_fc", "c_proj")
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
    if path[-1] != "kernel" or path[-2] in _CONV1D:
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
    if path[-1] != "kernel" or array.ndim < 2 or path[-2] in _CONV1D:
        return array
    return array.transpose(*range(2, array.ndim), 1, 0)


def cut_layers(leaves: Mapping[tuple[str, ...], Any]) -> dict[tuple[str, ...], Any]:
    """Cuts the arrays of scanned layers, called `h.*`, into those of `h.0`, `h.1`, ...

    Args:
        leaves: by path; layers are along the first axis.

    Returns:
        One array for each layer, by the layer's path; other arrays as they are.

    Example:
        >>> {path: leaf.tolist() for path, leaf in cut_layers({("h.*", "bias"): np.eye(2)}).items()}
        {('h.0', 'bias'): [1.0, 0.0], ('h.1', 'bias'): [0.0, 1.0]}
    """
    cut = {}
    for path, leaf in leaves.items():
        layers = range(leaf.shape[0]) if "*" in ".".join(path) else (None,)
        for i in layers:
            cut[_of_layer(path, i)] = leaf if i is None else leaf[i]
    return cut


def stack_layers(
    leaves: Mapping[tuple[str, ...], np.ndarray],
    expected: Mapping[tuple[str, ...], Any],
) -> dict[tuple[str, ...], np.ndarray]:
    """Undoes `cut_layers`.

    Args:
        leaves: by path, one for each layer.
        expected: shapes by path, scanned layers stacked.

    Returns:
        The arrays that are expected.

    Example:
        >>> eye = {("h.*", "bias"): np.eye(2)}
        >>> stack_layers(cut_layers(eye), eye)[("h.*", "bias")].tolist()
        [[1.0, 0.0], [0.0, 1.0]]
    """
    return {
        path: np.stack([leaves[_of_layer(path, i)] for i in range(wanted.shape[0])])
        if "*" in ".".join(path)
        else leaves[path]
        for path, wanted in expected.items()
    }


def _of_layer(path: tuple[str, ...], i: int | None) -> tuple[str, ...]:
    return tuple(part.replace("*", str(i)) for part in path)
