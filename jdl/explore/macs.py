"""Counting the multiply–adds of a computation without running it."""

import math
import re
from collections import Counter
from collections.abc import Iterator
from typing import Any

from jax.extend.core import ClosedJaxpr, Jaxpr, JaxprEqn


def count_macs(jaxpr: Jaxpr, scope: re.Pattern | None = None) -> Counter:
    """Counts the multiply–adds of products and convolutions, by the scope that they stand in.

    A product of [m, k] and [k, n] has m·k·n. A convolution has, per channel in and out, one for
    each pair of an output and a tap of the kernel: zeros that dilate the input do not count, zeros
    that pad it do (as everyone reports them), but no pixel counts more often than the kernel has
    taps. A scan counts its body as often as it runs; of branches the dearest counts; the body of
    a `while` counts once.

    Args:
        jaxpr: from `jax.make_jaxpr(f)(...).jaxpr`.
        scope: matches the names of the scopes (`jax.named_scope`) to count by; the innermost
            match wins.

    Returns:
        Counts, by the matched text; by "" what stands in no such scope.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> product = jax.make_jaxpr(jnp.dot)(jnp.zeros((2, 3)), jnp.zeros((3, 5)))
        >>> count_macs(product.jaxpr)[""]
        30
    """
    return _count(jaxpr, scope or re.compile(r"(?!)"), "")


def subjaxprs(equation: JaxprEqn) -> Iterator[Jaxpr]:
    """Yields the computations that an equation calls.

    Example:
        >>> import jax
        >>> outer = jax.make_jaxpr(jax.jit(lambda x: x + 1))(1)
        >>> [len(inner.eqns) for inner in subjaxprs(outer.eqns[0])]
        [1]
    """
    for parameter in equation.params.values():
        for value in parameter if isinstance(parameter, tuple | list) else (parameter,):
            if isinstance(value, ClosedJaxpr):
                yield value.jaxpr
            elif isinstance(value, Jaxpr):
                yield value


def _count(jaxpr: Jaxpr, scope: re.Pattern, outer: str) -> Counter:
    counts: Counter = Counter()
    for equation in jaxpr.eqns:
        names = scope.findall(str(equation.source_info.name_stack))
        here = names[-1] if names else outer
        match equation.primitive.name:
            case "dot_general":
                counts[here] += _dot_general(equation)
            case "conv_general_dilated":
                counts[here] += _conv_general_dilated(equation)
            case "cond":
                branches = [_count(branch, scope, here) for branch in subjaxprs(equation)]
                dearest: Counter = max(branches, key=Counter.total)
                counts += dearest
            case name:
                times = equation.params["length"] if name == "scan" else 1
                for inner in subjaxprs(equation):
                    for key, value in _count(inner, scope, here).items():
                        counts[key] += times * value
    return counts


def _dot_general(equation: JaxprEqn) -> int:
    (contracted, _), _ = equation.params["dimension_numbers"]
    left = shape_of(equation.invars[0])
    return math.prod(shape_of(equation.outvars[0])) * math.prod(left[d] for d in contracted)


def _conv_general_dilated(equation: JaxprEqn) -> int:
    parameters = equation.params
    layout = parameters["dimension_numbers"]
    image, kernel = map(shape_of, equation.invars)
    result = shape_of(equation.outvars[0])
    count = result[layout.out_spec[0]] * result[layout.out_spec[1]] * kernel[layout.rhs_spec[1]]
    windows = zip(
        layout.lhs_spec[2:],
        layout.rhs_spec[2:],
        layout.out_spec[2:],
        parameters["window_strides"],
        parameters["padding"],
        parameters["lhs_dilation"],
        parameters["rhs_dilation"],
        strict=True,
    )
    for d_in, d_kernel, d_out, stride, (before, _), spread, dilation in windows:
        met = sum(
            (o * stride + tap * dilation - before) % spread == 0
            for o in range(result[d_out])
            for tap in range(kernel[d_kernel])
        )
        count *= min(met, image[d_in] * kernel[d_kernel])
    return count


def shape_of(variable: Any) -> tuple[int, ...]:
    """Returns the shape of a variable of a computation."""
    return variable.aval.shape
