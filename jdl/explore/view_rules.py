"""How each operation of a computation changes what an array sees of the input."""

import math
from collections.abc import Callable

from jax.extend.core import JaxprEqn

from jdl.explore.macs import shape_of
from jdl.explore.views import (
    Dimension,
    Factor,
    View,
    everything,
    linear,
    reduced,
    stretched,
    union,
    widen,
    windowed,
)


def apply_rule(equation: JaxprEqn, operands: list[View]) -> list[View] | None:
    """Returns the views of an operation's results, or None where there is no rule for it."""
    name = equation.primitive.name
    if name in RULES:
        results = RULES[name](equation, *operands)
        return results if isinstance(results, list | None) else [results]
    if name in ELEMENTWISE:
        shape = shape_of(equation.outvars[0])
        return [union([stretched(view, shape) for view in operands], len(shape))]
    if name in MIXING:
        return [everything(operands, variable) for variable in equation.outvars]
    return None


def _conv(equation: JaxprEqn, image: View, kernel: View) -> View | None:
    if kernel.spans:
        return None
    p = equation.params
    layout = p["dimension_numbers"]
    shape, taps = shape_of(equation.outvars[0]), shape_of(equation.invars[1])
    view = linear(image)
    for i, d in enumerate(layout.lhs_spec[2:]):
        view = windowed(
            view,
            d,
            shape[layout.out_spec[2 + i]],
            taps=taps[layout.rhs_spec[2 + i]],
            stride=p["window_strides"][i],
            before=p["padding"][i][0],
            dilation=p["rhs_dilation"][i],
            spread=p["lhs_dilation"][i],
        )
    spans = reduced(view, [layout.lhs_spec[1]]).spans
    dimensions: list[Dimension] = [(Factor(n),) for n in shape]
    for d_in, d_out in zip(layout.lhs_spec, layout.out_spec, strict=True):
        if d_in != layout.lhs_spec[1]:
            dimensions[d_out] = view.dimensions[d_in]
    return View(spans, tuple(dimensions))


def _reduce_window(equation: JaxprEqn, view: View, *_: View) -> View:
    p = equation.params
    view = linear(view)
    for d, length in enumerate(shape_of(equation.outvars[0])):
        view = windowed(
            view,
            d,
            length,
            taps=p["window_dimensions"][d],
            stride=p["window_strides"][d],
            before=p["padding"][d][0],
            dilation=p["window_dilation"][d],
            spread=p["base_dilation"][d],
        )
    return view


def _dot_general(equation: JaxprEqn, left: View, right: View) -> View:
    contracted, batch = equation.params["dimension_numbers"]
    free = [
        [d for d in range(len(view.dimensions)) if d not in (*contracted[i], *batch[i])]
        for i, view in enumerate((left, right))
    ]
    shape = shape_of(equation.outvars[0])
    placed = []
    for i, view in enumerate((left, right)):
        spans = reduced(view, contracted[i]).spans
        dimensions: list[Dimension] = [(Factor(n),) for n in shape]
        skipped = len(free[0]) if i else 0
        places = [
            *range(len(batch[i])),
            *(len(batch[i]) + skipped + n for n in range(len(free[i]))),
        ]
        for place, d in zip(places, (*batch[i], *free[i]), strict=True):
            dimensions[place] = view.dimensions[d]
        placed.append(View(spans, tuple(dimensions)))
    return union(placed, len(shape))


def _reshape(equation: JaxprEqn, view: View) -> View:
    factors = [f for dimension in view.dimensions for f in dimension if f.length > 1]
    dimensions: list[Dimension] = []
    for length in equation.params["new_sizes"]:
        dimension: list[Factor] = []
        while length > 1:
            f = factors.pop(0)
            common = math.gcd(f.length, length)
            if common not in (f.length, length):  # 6 = 2·3 into 4·...: no such factor
                return everything([view], equation.outvars[0])
            if common < f.length:
                rest = f.length // common
                factors.insert(0, Factor(rest, f.axis, f.stride))
                f = Factor(common, f.axis, f.stride * rest)
            dimension.append(f)
            length //= common
        dimensions.append(tuple(dimension) or (Factor(1),))
    return View(view.spans, tuple(dimensions))


def _broadcast_in_dim(equation: JaxprEqn, view: View, *_: View) -> View:
    dimensions: list[Dimension] = [(Factor(n),) for n in equation.params["shape"]]
    for d, place in enumerate(equation.params["broadcast_dimensions"]):
        if shape_of(equation.invars[0])[d] > 1:
            dimensions[place] = view.dimensions[d]
    return View(view.spans, tuple(dimensions))


def _slice(equation: JaxprEqn, view: View) -> View:
    p = equation.params
    strides = p["strides"] or (1,) * len(view.dimensions)
    shape = shape_of(equation.outvars[0])
    for d, length in enumerate(shape):
        if length != shape_of(equation.invars[0])[d]:
            view = linear(view, [d])
            view = windowed(view, d, length, stride=strides[d], before=-p["start_indices"][d])
    return view


def _split(equation: JaxprEqn, view: View) -> list[View]:
    d = equation.params["axis"]
    view = linear(view, [d])
    results, start = [], 0
    for length in map(int, equation.params["sizes"]):
        results.append(windowed(view, d, length, before=-start))
        start += length
    return results


def _pad(equation: JaxprEqn, view: View, value: View) -> View:
    for d, (before, _, between) in enumerate(equation.params["padding_config"]):
        length = shape_of(equation.outvars[0])[d]
        if length != shape_of(equation.invars[0])[d] or before:
            view = linear(view, [d])
            spread = between + 1
            view = windowed(view, d, length, before=int(before), spread=spread)
    return view


def _stack(equation: JaxprEqn, *views: View) -> View:
    d = equation.params["axis"]
    new = (Factor(len(views)),)
    stacked = [View(v.spans, (*v.dimensions[:d], new, *v.dimensions[d:])) for v in views]
    return union(stacked, len(stacked[0].dimensions))


def _unstack(equation: JaxprEqn, view: View) -> list[View]:
    d = equation.params["axis"]
    view = linear(view, [d])
    count = len(equation.outvars)
    return [reduced(windowed(view, d, 1, before=-i), [d]) for i in range(count)]


def _concatenate(equation: JaxprEqn, *views: View) -> View:
    d = int(equation.params["dimension"])
    shape = shape_of(equation.outvars[0])
    joined = []
    for view in views:
        for axis in {f.axis for f in view.dimensions[d] if f.axis is not None}:
            view = widen(view, axis)
        joined.append(view.replaced(d, Factor(shape[d])))
    return union(joined, len(shape))


def _gather(equation: JaxprEqn, operand: View, indices: View) -> View:
    numbers = equation.params["dimension_numbers"]
    if operand.spans or numbers.start_indices_batching_dims:
        return everything([operand, indices], equation.outvars[0])
    looked_up = reduced(indices, [len(indices.dimensions) - 1])
    rest = list(looked_up.dimensions)
    dimensions = [
        (Factor(n),) if d in numbers.offset_dims else rest.pop(0)
        for d, n in enumerate(shape_of(equation.outvars[0]))
    ]
    return View(looked_up.spans, tuple(dimensions))


def _reduce(equation: JaxprEqn, view: View, *_: View) -> View:
    return reduced(view, equation.params["axes"])


def _squeeze(equation: JaxprEqn, view: View) -> View:
    return reduced(view, equation.params["dimensions"])


def _transpose(equation: JaxprEqn, view: View) -> View:
    return View(view.spans, tuple(view.dimensions[d] for d in equation.params["permutation"]))


RULES: dict[str, Callable] = {
    "conv_general_dilated": _conv,
    "reduce_window": _reduce_window,
    "reduce_window_max": _reduce_window,
    "reduce_window_min": _reduce_window,
    "reduce_window_sum": _reduce_window,
    "dot_general": _dot_general,
    "reshape": _reshape,
    "broadcast_in_dim": _broadcast_in_dim,
    "slice": _slice,
    "split": _split,
    "pad": _pad,
    "concatenate": _concatenate,
    "stack": _stack,
    "unstack": _unstack,
    "gather": _gather,
    "squeeze": _squeeze,
    "transpose": _transpose,
    **{f"reduce_{kind}": _reduce for kind in ("sum", "max", "min", "prod", "and", "or")},
    "argmax": _reduce,
    "argmin": _reduce,
}

# fmt: off
ELEMENTWISE = frozenset(
    [
        "abs", "add", "and", "atan2", "cbrt", "ceil", "clamp", "convert_element_type", "copy",
        "copy_p", "cos", "cosh", "div", "eq", "erf", "erf_inv", "erfc", "exp", "exp2", "expm1",
        "floor", "ge", "gt", "integer_pow", "is_finite", "le", "log", "log1p", "logistic", "lt",
        "max", "min", "mul", "name", "ne", "neg", "nextafter", "not", "or", "pow", "real",
        "reduce_precision", "rem", "round", "rsqrt", "select_n", "sign", "sin", "sinh", "sqrt",
        "square", "stop_gradient", "sub", "tan", "tanh", "xor",
    ]
)
# fmt: on

# All elements may see all: recurrences, orders, and positions known only when the program runs.
# fmt: off
MIXING = frozenset(
    [
        "scan", "while", "cumsum", "cumprod", "cummax", "cummin", "cumlogsumexp", "sort", "top_k",
        "rev", "dynamic_slice", "dynamic_update_slice", "scatter", "scatter-add", "fft",
    ]
)
# fmt: on
