"""Receptive fields: which pixels each number inside a network can see, read off its computation.

Every array carries, for each axis a of the input, the pixels that its first element sees, and for
each of its own dimensions, how far one step along it moves:

    element (i, j, ...) sees pixels first + i·s_i + j·s_j + ... to last + i·s_i + j·s_j + ...   (1)

A convolution or a pooling of k taps, stride s, dilation d and padding p along dimension i gives

    first − p·s_i,  last + ((k − 1)·d − p)·s_i,  stride s·s_i                                   (2)

A reduction over n elements moves `last` by (n − 1)·s_i and forgets the dimension; reshapes split
and merge dimensions; elementwise operations take the union. After an upsampling the strides are
fractions, and (1) is the smallest linear bound.
"""

import dataclasses
import math
from collections.abc import Callable, Sequence
from typing import Any

import jax
from jax.ad_checkpoint import checkpoint_name
from jax.extend.core import Jaxpr, JaxprEqn, Literal

from jdl.explore.macs import subjaxprs
from jdl.explore.view_rules import apply_rule
from jdl.explore.views import Factor, Number, View, constant, linear


@dataclasses.dataclass(frozen=True)
class ReceptiveField:
    """The pixels that the elements of an array see: along each axis of the input, equation (1).

    Attributes:
        size: pixels that one element sees.
        stride: pixels from what one element sees to what the next one sees; 0 where all elements
            see the same.
        offset: first pixel that the first element sees; negative in the padding.
    """

    size: tuple[int, ...]
    stride: tuple[Number, ...]
    offset: tuple[Number, ...]


def receptive_field(function: Callable, image: Any) -> ReceptiveField | None:
    """Finds what the elements of a function's result see of its input, without computing it.

    Args:
        function: of one array, NHWC or batch-major, that gives an array.
        image: the input, or its `jax.ShapeDtypeStruct`.

    Returns:
        The receptive field of the result; None where an operation on the way is not understood.

    Example:
        >>> import flax.linen as nn
        >>> image = jax.ShapeDtypeStruct((1, 28, 28, 1), float)
        >>> receptive_field(lambda x: nn.avg_pool(x, (3, 3), strides=(2, 2))[:, 1:], image)
        ReceptiveField(size=(3, 3), stride=(2, 2), offset=(2, 0))

    Source: Araujo et al., 2019, https://distill.pub/2019/computing-receptive-fields.
    """
    jaxpr = jax.make_jaxpr(lambda x: checkpoint_name(function(x), "result"))(image).jaxpr
    return receptive_fields(jaxpr, 0).get("result")


def receptive_fields(jaxpr: Jaxpr, argument: int) -> dict[str, ReceptiveField]:
    """Finds the receptive field of every array that `checkpoint_name` has given a name.

    Args:
        jaxpr: the computation.
        argument: which of its arguments is looked at. Its axes are those between the first and the
            last, or, of integers, between the first and nothing.

    Returns:
        By name, without those that depend on operations that are not understood. Of several arrays
        with one name, the first.

    Example:
        >>> from jax.ad_checkpoint import checkpoint_name as name
        >>> f = lambda x: name(name(x[:, ::2], "even")[:, :-1] + x[:, 2::2], "pairs")
        >>> found = receptive_fields(jax.make_jaxpr(f)(jax.numpy.zeros((1, 8), int)).jaxpr, 0)
        >>> {name: field.size for name, field in found.items()}
        {'even': (1,), 'pairs': (3,)}
    """
    image: Any = jaxpr.invars[argument].aval
    last = image.ndim if jax.numpy.issubdtype(image.dtype, jax.numpy.integer) else image.ndim - 1
    axes = range(1, last)
    start = View(
        {axis: (0, 0) for axis in axes},
        tuple((Factor(n, d, 1) if d in axes else Factor(n),) for d, n in enumerate(image.shape)),
    )
    arguments: list[View | None] = [constant(variable) for variable in jaxpr.invars]
    arguments[argument] = start
    found: dict[str, View | None] = {}
    _interpret(jaxpr, arguments, found)
    lengths = {axis: image.shape[axis] for axis in axes}
    return {name: _report(view, lengths) for name, view in found.items() if view is not None}


def _report(view: View, lengths: dict[int, int]) -> ReceptiveField:
    view = linear(view)
    strides = {f.axis: f.stride for dimension in view.dimensions for f in dimension}
    size, stride, offset = [], [], []
    for axis, length in lengths.items():
        first, last = view.spans.get(axis, (0, -1))
        if axis not in strides and last >= first:  # the same for all elements: what there is of it
            first, last = max(first, 0), min(last, length - 1)
        size.append(math.floor(last - first) + 1)
        stride.append(_whole(strides.get(axis, 0)))
        offset.append(_whole(first))
    return ReceptiveField(tuple(size), tuple(stride), tuple(offset))


def _whole(number: Number) -> Number:
    return int(number) if number.denominator == 1 else number


def _interpret(
    jaxpr: Jaxpr, arguments: Sequence[View | None], found: dict[str, View | None]
) -> list[View | None]:
    views = dict(zip(jaxpr.invars, arguments, strict=True))
    views |= {variable: constant(variable) for variable in jaxpr.constvars}

    def read(variable: Any) -> View | None:
        return constant(variable) if isinstance(variable, Literal) else views[variable]

    for equation in jaxpr.eqns:
        operands = [read(variable) for variable in equation.invars]
        results = _apply(equation, operands, found)
        views |= zip(equation.outvars, results, strict=True)
        if equation.primitive.name == "name":
            found.setdefault(equation.params["name"], results[0])
    return [read(variable) for variable in jaxpr.outvars]


def _apply(
    equation: JaxprEqn, operands: list[View | None], found: dict[str, View | None]
) -> list[View | None]:
    known = [view for view in operands if view is not None]
    if len(known) < len(operands):
        return [None] * len(equation.outvars)
    if not any(view.spans for view in known):
        return [constant(variable) for variable in equation.outvars]
    results = apply_rule(equation, known)
    if results is not None:
        return [*results]
    inner = list(subjaxprs(equation))
    if len(inner) == 1 and len(inner[0].invars) == len(operands):
        return _interpret(inner[0], operands, found)
    return [None] * len(equation.outvars)
