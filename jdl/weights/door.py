"""The weights door: a reference's checkpoint in, a reference's checkpoint out."""

import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from flax.traverse_util import unflatten_dict

from jdl.errors import UserError
from jdl.models.registry import create_model
from jdl.weights import files
from jdl.weights.constants import constants
from jdl.weights.dialects import IGNORED, to_own_names
from jdl.weights.layout import cut_layers, from_torch, stack_layers, to_torch, torch_name
from jdl.weights.leaves import Variables, initial_leaves, leaves_of, shapes
from jdl.weights.surgery import fit


def load_weights(model: nn.Module | str, path: str | Path) -> dict[str, Any]:
    """Reads a reference's checkpoint into a model's variables.

    The names may be those of torchvision, timm or Hugging Face; which of them, is found out. The
    model may differ from the checkpoint's by its options: a head of another `num_classes` is
    initialised anew, the first kernel is summed or repeated for other `in_channels`, and position
    embeddings are interpolated for another `image_size`; a warning says so.

    Args:
        model: a module, or a registry name.
        path: a `.safetensors` file, or a `.pth` of tensors only.

    Returns:
        Variables for `model.apply`: "params", and "batch_stats" if it has any.

    Raises:
        UserError: the file cannot be read; or names are missing, unexpected or misshapen: all of
            them are counted, and the first of each kind named.

    Example:
        >>> import jax, tempfile
        >>> file = Path(tempfile.mkdtemp()) / "lenet.safetensors"
        >>> model = create_model("lenet5")
        >>> variables = model.init(jax.random.key(0), jax.numpy.zeros((1, 28, 28, 1)))
        >>> save_weights(model, variables, file)
        >>> again = load_weights("lenet5", file)
        >>> jax.tree.all(jax.tree.map(lambda a, b: (a == b).all(), dict(variables), again))
        True
    """
    module = create_model(model) if isinstance(model, str) else model
    return from_names(module, files.read(path), str(path))


def save_weights(model: nn.Module | str, variables: Variables, path: str | Path) -> None:
    """Writes variables under the reference's names, in its layouts: torch loads the file.

    Args:
        model: the module, or its registry name.
        variables: what `model.init` or `load_weights` returned.
        path: ends in `.safetensors`, or in `.pth` when torch is there.

    Raises:
        UserError: the file cannot be written, or the variables are not the model's.
    """
    module = create_model(model) if isinstance(model, str) else model
    if set(shapes(module)) != set(leaves_of(variables)):
        raise UserError(f"these are not the variables of a {type(module).__name__}")
    arrays = to_names(variables)
    files.write(path, arrays | constants(module, arrays))


def to_names(variables: Variables) -> dict[str, np.ndarray]:
    """Returns the arrays of variables by the reference's names, in its layouts.

    Args:
        variables: of a model.

    Returns:
        What a torch module's `state_dict()` would hold, as NumPy arrays.

    Example:
        >>> to_names({"params": {"fc": {"kernel": np.zeros((2, 3))}}})["fc.weight"].shape
        (3, 2)
    """
    return {
        torch_name(path[1:]): to_torch(path, np.asarray(leaf))
        for path, leaf in cut_layers(leaves_of(variables)).items()
    }


def from_names(
    module: nn.Module, arrays: Mapping[str, np.ndarray], source: str = "checkpoint"
) -> dict[str, Any]:
    """Lays arrays with a reference's names out as a model's variables.

    Args:
        module: the model.
        arrays: by name, in the reference's layouts.
        source: what an error calls them.

    Returns:
        Variables for `module.apply`.

    Raises:
        UserError: as `load_weights`.
    """
    stacked = shapes(module)
    # One by one: a pytree would sort the paths, and so what is told first of what does not fit.
    expected: dict[tuple[str, ...], Any] = {}
    for path, leaf in stacked.items():
        expected |= jax.eval_shape(cut_layers, {path: leaf})
    names = {torch_name(path[1:]): path for path in expected}
    found = to_own_names(module, arrays, names)
    given = {
        path: from_torch(path, np.asarray(found[name]))
        for name, path in names.items()
        if name in found
    }
    fitted, changes, head = fit(module, given, expected)
    problems = {
        "missing": [name for name in names if name not in found],
        "unexpected": [name for name in found if name not in names and not IGNORED.search(name)],
        "misshapen": [
            f"{name} {found[name].shape}"
            for name, path in names.items()
            if path in given and path not in fitted and path not in head
        ],
    }
    if any(problems.values()):
        told = "; ".join(
            f"{len(names)} {kind} (first {', '.join(names[:3])})"
            for kind, names in problems.items()
            if names
        )
        raise UserError(f"{source} does not fit {type(module).__name__}: {told}")
    if head:
        fitted |= initial_leaves(module, head)
    for change in changes:
        warnings.warn(f"{source} has {change}", stacklevel=3)
    leaves = stack_layers(fitted, stacked)
    return unflatten_dict(
        {path: jnp.asarray(leaf, stacked[path].dtype) for path, leaf in leaves.items()}
    )
