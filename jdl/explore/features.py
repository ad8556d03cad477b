"""Activations by name."""

from collections.abc import Mapping, Sequence
from typing import Any

import flax.linen as nn
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
    _, state = model.apply(variables, *inputs, mutable=["intermediates"])
    offered = {
        ".".join(path): values[-1]
        for path, values in flatten_dict(state.get("intermediates", {})).items()
    }
    for name in names:
        if name not in offered:
            closest = ", ".join(nearest(name, offered)) or "none"
            raise UserError(
                f"{type(model).__name__} offers no activation {name!r}; the closest are {closest}"
            )
    return {name: offered[name] for name in names}
