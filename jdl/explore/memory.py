"""What training a network takes of memory, without allocating it."""

import dataclasses
import inspect
from typing import Any

import flax.linen as nn
import jax
from jax.extend.core import Var

from jdl.ops.lowering import plain_lowerings


@dataclasses.dataclass(frozen=True)
class TrainingMemory:
    """Bytes that training with AdamW takes; activations for one example.

    Attributes:
        parameters: in float32, as are the next two.
        gradients: one number for each parameter.
        moments: AdamW's, two for each parameter.
        activations: what the forward pass keeps for the gradient.
        rematerialized: of these, what is kept where each layer is computed again, and what one
            layer then takes; None for networks without `remat`.
    """

    parameters: int
    gradients: int
    moments: int
    activations: int
    rematerialized: int | None = None


def training_memory(module: nn.Module, inputs: tuple[Any, ...]) -> TrainingMemory:
    """Predicts what training takes, from the computation as it is traced.

    XLA's own account is of the same size, but not the same: it may compute again rather than keep,
    and needs room for what it computes with.

    Args:
        module: the network; layers that can be scanned are, for the trace's sake.
        inputs: shapes of one example of each, with a batch of one.

    Example:
        >>> x = jax.ShapeDtypeStruct((1, 3), jax.numpy.float32)
        >>> network = nn.Sequential([nn.Dense(5), nn.sigmoid, nn.Dense(2)])
        >>> memory = training_memory(network, (x,))
        >>> memory.parameters, memory.moments, memory.activations
        (128, 256, 40)

    Here five outputs of the sigmoid are kept, and its five derivatives.
    """
    options = {"scan": True} if hasattr(module, "scan") else {}
    parameters, activations = _traced(module.clone(**options), inputs)
    rematerialized = None
    if hasattr(module, "remat"):
        _, whole = _traced(module.clone(**options, remat=False), inputs)
        _, between = _traced(module.clone(**options, remat=True), inputs)
        layers: int = module.num_layers  # type: ignore[attr-defined]
        activations, rematerialized = whole, between + (whole - between) // layers
    return TrainingMemory(parameters, parameters, 2 * parameters, activations, rematerialized)


def _traced(module: nn.Module, inputs: tuple[Any, ...]) -> tuple[int, int]:
    """Returns the bytes of the parameters, and of what the gradient needs beside them."""
    key = jax.eval_shape(lambda: jax.random.key(0))
    variables = dict(jax.eval_shape(module.init, key, *inputs))
    params = variables.pop("params", {})
    train = {"train": True} if "train" in inspect.signature(module.__call__).parameters else {}

    def residuals(params, variables, key, *inputs):
        def forward(params):
            return module.apply(
                {"params": params, **variables},
                *inputs,
                **train,
                rngs={"params": key, "dropout": key},
                mutable=list(variables),
            )

        return jax.tree.leaves(jax.vjp(forward, params, has_aux=True)[1])

    with plain_lowerings():
        jaxpr = jax.make_jaxpr(residuals)(params, variables, key, *inputs).jaxpr
    given = {id(variable) for variable in (*jaxpr.invars, *jaxpr.constvars)}
    kept: dict[int, Any] = {id(out): out.aval for out in jaxpr.outvars if isinstance(out, Var)}
    return (
        sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(params)),
        sum(a.size * a.dtype.itemsize for name, a in kept.items() if name not in given),
    )
