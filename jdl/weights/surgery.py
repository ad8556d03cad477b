"""Surgery on load: a checkpoint whose model differs by its classes, its channels or its images."""

from collections.abc import Mapping

import flax.linen as nn
import jax
import numpy as np

from jdl.weights.channels import adapt_channels
from jdl.weights.leaves import Key, following
from jdl.weights.resize import resize


def fit(
    module: nn.Module,
    leaves: Mapping[Key, np.ndarray],
    expected: Mapping[Key, jax.ShapeDtypeStruct],
) -> tuple[dict[Key, np.ndarray], list[str], list[Key]]:
    """Brings a checkpoint's arrays to the shapes that a model expects, where that has a meaning.

    Position embeddings are interpolated to the model's grid of patches; the first kernel is summed
    or repeated for the model's channels; a head of another number of classes has to be new.

    Args:
        module: the model.
        leaves: the checkpoint's arrays by path, in the layouts here.
        expected: shapes by path.

    Returns:
        The arrays that fit now; sentences on what a user should know of; the paths of the head that
        has to be initialised anew. A path that is in neither of the two does not fit.

    Example:
        >>> from jdl.models import resnet18
        >>> from jdl.weights.leaves import shapes
        >>> checkpoint = {path: np.zeros(x.shape) for path, x in shapes(resnet18()).items()}
        >>> grey = resnet18(in_channels=1)
        >>> fitted, changes, head = fit(grey, checkpoint, shapes(grey))
        >>> changes
        ['3 channels, the model 1: conv1.kernel summed over them']
    """
    resized = {path: resize(path, leaf, expected[path].shape) for path, leaf in leaves.items()}
    changes = [
        f"images of another size: {_name(path)} interpolated"
        for path, leaf in leaves.items()
        if resized[path] is not leaf
    ]
    fitted = {p: leaf for p, leaf in resized.items() if leaf.shape == expected[p].shape}
    unfit = {p: leaf for p, leaf in resized.items() if p not in fitted}
    if not unfit:
        return fitted, changes, []
    first, classes = following(module, "in_channels"), following(module, "num_classes")
    for path, leaf in unfit.items():
        if path not in first or path[-1] != "kernel" or leaf.ndim < 3:
            continue
        old, new = leaf.shape[-2], expected[path].shape[-2]
        adapted = adapt_channels(leaf, new)
        if adapted.shape == expected[path].shape:
            fitted[path] = adapted
            how = "summed over them" if new == 1 else f"repeated and scaled by {old}/{new}"
            plural = "" if old == 1 else "s"
            changes.append(f"{old} channel{plural}, the model {new}: {_name(path)} {how}")
    head = [path for path in unfit if path in classes]
    if head:
        names = ", ".join(map(_name, head))
        changes.append(f"another number of classes: {names} initialised anew")
    return fitted, changes, head


def _name(path: Key) -> str:
    return ".".join(path[1:])
