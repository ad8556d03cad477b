"""Activations by name."""

from collections.abc import Mapping, Sequence
from typing import Any

import flax.linen as nn
import jax
from flax.traverse_util import flatten_dict
from jaxtyping import Array

from jdl.errors import UserError, nearest


def features(
    model: nn.Module, variables: Mapping[str, Any], *inputs: Any, names: Sequence[str]
) -> dict[str, Array]:
    """Returns activations inside a network, for one batch.

    Models offer them with `self.sow("intermediates", name, x)`; their docstrings say under which
    names. What a module inside the model offers has the module's path in front, joined with dots
    (`h.0.attn.weights`). Under `jit`, only what the names need is computed.

    Args:
        model: the module.
        variables: its parameters and, if it has them, running statistics.
        *inputs: what the model is called with.
        names: which activations.

    Returns:
        The activations, by name, in the order asked for.

    Raises:
        UserError: the model offers no activation of that name; with the nearest.

    Example:
        >>> import jax
        >>> from jdl.models import lenet5
        >>> model, images = lenet5(), jax.numpy.zeros((2, 28, 28, 1))
        >>> variables = jax.eval_shape(model.init, jax.random.key(0), images)
        >>> look = lambda variables: features(model, variables, images, names=["s2", "f6"])
        >>> jax.eval_shape(look, variables)["s2"].shape
        (2, 14, 14, 6)
    """
    found = _everything(model, variables, inputs)
    for name in names:
        if name not in found:
            closest = ", ".join(nearest(name, found)) or "none"
            raise UserError(
                f"{type(model).__name__} offers no activation {name!r}; the closest are {closest}"
            )
    return {name: found[name] for name in names}


def offered(
    model: nn.Module, variables: Mapping[str, Any], *inputs: Any
) -> dict[str, jax.ShapeDtypeStruct]:
    """Lists the activations that a network offers, without computing any.

    Args:
        model: the module.
        variables: its own, or their shapes.
        *inputs: what the model is called with, or their shapes.

    Returns:
        Their shapes by name, in the order in which they are computed.

    Example:
        >>> from jdl.models import lenet5
        >>> model, images = lenet5(), jax.ShapeDtypeStruct((2, 28, 28, 1), jax.numpy.float32)
        >>> variables = jax.eval_shape(model.init, jax.random.key(0), images)
        >>> list(offered(model, variables, images))
        ['c1', 's2', 'c3', 's4', 'c5', 'f6']
    """
    names: list[str] = []

    def look(variables, inputs):
        found = _everything(model, variables, inputs)
        names.extend(found)  # JAX sorts the keys of what it returns.
        return found

    shapes = jax.eval_shape(look, variables, inputs)
    return {name: shapes[name] for name in names}


def _everything(model: nn.Module, variables: Mapping[str, Any], inputs: Any) -> dict[str, Array]:
    _, state = model.apply(variables, *inputs, mutable=["intermediates"])
    sown = flatten_dict(state.get("intermediates", {}))
    return {".".join(path): values[-1] for path, values in sown.items()}
