"""The weights door: a reference's checkpoint in, a reference's checkpoint out."""

import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import flax.linen as nn
import jax
import numpy as np
from flax.traverse_util import flatten_dict, unflatten_dict

from jdl.errors import UserError
from jdl.models.registry import Example, create_model, example_of
from jdl.weights import files
from jdl.weights.constants import constants
from jdl.weights.dialects import IGNORED, to_own_names
from jdl.weights.layout import from_torch, to_torch, torch_name
from jdl.weights.resize import resize

COLLECTIONS = ("params", "batch_stats", "buffers")

Variables = Mapping[str, Any]


def load_weights(model: nn.Module | str, path: str | Path) -> dict[str, Any]:
    """Reads a reference's checkpoint into a model's variables.

    The names may be those of torchvision, timm or Hugging Face; which of them, is found out. A head
    of another number of classes than the model's is left out and initialised anew, and position
    embeddings of another resolution are interpolated; a warning says so.

    Args:
        model: a module, or a registry name.
        path: a `.safetensors` file, or a `.pth` of tensors only.

    Returns:
        Variables for `model.apply`: "params", and "batch_stats" if it has any.

    Raises:
        UserError: the file cannot be read; or names are missing, unexpected or misshapen: all of
            them are counted, and the first of each kind named.

    Example:
        >>> import tempfile
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
    expected = _leaves(_shapes(module))
    leaves = _leaves(variables)
    if set(expected) != set(leaves):
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
        for path, leaf in _leaves(variables).items()
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
    expected = _leaves(_shapes(module))
    names = {torch_name(path[1:]): path for path in expected}
    found = to_own_names(module, arrays, names)
    head = _head(module)
    leaves: dict[tuple[str, ...], np.ndarray] = {}
    renewed, misshapen = [], []
    for name, path in names.items():
        if name not in found:
            continue
        leaf, shape = from_torch(path, np.asarray(found[name])), expected[path].shape
        if leaf.shape != shape:
            leaf = resize(path, leaf, shape)
        if leaf.shape == shape:
            leaves[path] = leaf.astype(expected[path].dtype)
        elif path in head:
            renewed.append(path)
        else:
            misshapen.append(f"{name} {found[name].shape}")
    missing = [name for name in names if name not in found]
    unexpected = [name for name in found if name not in names and not IGNORED.search(name)]
    problems = [
        f"{len(names)} {kind} (first {', '.join(names[:3])})"
        for kind, names in (
            ("missing", missing),
            ("unexpected", unexpected),
            ("misshapen", misshapen),
        )
        if names
    ]
    if problems:
        raise UserError(f"{source} does not fit {type(module).__name__}: {'; '.join(problems)}")
    if renewed:
        fresh = _leaves(_initialise(module))
        leaves |= {path: np.asarray(fresh[path]) for path in renewed}
        warnings.warn(
            f"{source} has another number of classes: "
            f"{', '.join('.'.join(path[1:]) for path in renewed)} initialised anew",
            stacklevel=3,
        )
    return unflatten_dict({path: jax.numpy.asarray(leaf) for path, leaf in leaves.items()})


def _example(module: nn.Module) -> Example:
    example = example_of(module)
    if example is None:
        raise UserError(f"{type(module).__name__} is not a registered model")
    images, *rest = example
    if len(images.shape) != 4:
        return example
    batch, height, width, channels = images.shape
    channels = getattr(module, "in_channels", channels)
    if hasattr(module, "image_size"):
        height = width = module.image_size
    return (jax.ShapeDtypeStruct((batch, height, width, channels), images.dtype), *rest)


def _shapes(module: nn.Module) -> Variables:
    key = jax.eval_shape(lambda: jax.random.key(0))
    return jax.eval_shape(module.init, key, *_example(module))


def _initialise(module: nn.Module) -> Variables:
    example = [jax.numpy.zeros(x.shape, x.dtype) for x in _example(module)]
    return jax.jit(module.init)(jax.random.key(0), *example)


def _head(module: nn.Module) -> set[tuple[str, ...]]:
    """The leaves whose shape is that of the number of classes."""
    if not hasattr(module, "num_classes"):
        return set()
    ours = _leaves(_shapes(module))
    others = _leaves(_shapes(module.clone(num_classes=module.num_classes + 1)))
    return {path for path, leaf in ours.items() if leaf.shape != others[path].shape}


def _leaves(variables: Variables) -> dict[tuple[str, ...], Any]:
    return flatten_dict({name: variables[name] for name in COLLECTIONS if name in variables})
