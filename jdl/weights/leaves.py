"""The arrays that a model has, by their paths, without computing them."""

from collections.abc import Collection, Mapping
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from flax.traverse_util import flatten_dict

from jdl.errors import UserError
from jdl.models.registry import Example, example_of

COLLECTIONS = ("params", "batch_stats", "buffers")

Variables = Mapping[str, Any]
Key = tuple[str, ...]


def leaves_of(variables: Variables) -> dict[Key, Any]:
    """Returns the arrays of variables by path: the collection's name, modules' names, the leaf's.

    Example:
        >>> leaves_of({"params": {"fc": {"bias": 0.0}}, "intermediates": {}})
        {('params', 'fc', 'bias'): 0.0}
    """
    return flatten_dict({name: variables[name] for name in COLLECTIONS if name in variables})


def shapes(module: nn.Module) -> dict[Key, jax.ShapeDtypeStruct]:
    """Returns the shapes of a model's arrays by path, on its example input.

    Raises:
        UserError: the model is of a class that is not registered.

    Example:
        >>> from jdl.models import lenet5
        >>> shapes(lenet5())["params", "conv1", "kernel"].shape
        (5, 5, 1, 6)
    """
    key = jax.eval_shape(lambda: jax.random.key(0))
    return leaves_of(jax.eval_shape(module.init, key, *_example(module)))


def following(module: nn.Module, option: str) -> set[Key]:
    """Returns the paths of the arrays whose shape changes with a numeric option of the model.

    Args:
        module: the model.
        option: such as `num_classes`; the model need not have it.

    Example:
        >>> from jdl.models import resnet18
        >>> following(resnet18(), "in_channels")
        {('params', 'conv1', 'kernel')}
    """
    if getattr(module, option, None) is None:
        return set()
    others = shapes(module.clone(**{option: getattr(module, option) + 1}))
    return {path for path, leaf in shapes(module).items() if leaf.shape != others[path].shape}


def initial_leaves(module: nn.Module, paths: Collection[Key]) -> dict[Key, np.ndarray]:
    """Draws a model's initial arrays, and returns those of some paths.

    Example:
        >>> from jdl.models import lenet5
        >>> path = ("params", "fc3", "bias")
        >>> initial_leaves(lenet5(num_classes=2), [path])[path]
        array([0., 0.], dtype=float32)
    """
    example = [jnp.zeros(x.shape, x.dtype) for x in _example(module)]
    leaves = leaves_of(jax.jit(module.init)(jax.random.key(0), *example))
    return {path: np.asarray(leaves[path]) for path in paths}


def _example(module: nn.Module) -> Example:
    example = example_of(module)
    if example is None:
        raise UserError(f"{type(module).__name__} is not a registered model")
    images, *rest = example
    if hasattr(module, "max_length"):
        length = min(images.shape[1], module.max_length)
        return (jax.ShapeDtypeStruct((1, length), images.dtype), *rest)
    if len(images.shape) != 4:
        return example
    batch, height, width, channels = images.shape
    channels = getattr(module, "in_channels", channels)
    if hasattr(module, "image_size"):
        height = width = module.image_size
    return (jax.ShapeDtypeStruct((batch, height, width, channels), images.dtype), *rest)
