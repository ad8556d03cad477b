"""What an array sees of the input, and how windows, sums and unions change it."""

import dataclasses
import math
from collections.abc import Iterable, Sequence
from fractions import Fraction
from typing import Any

Number = int | Fraction


@dataclasses.dataclass(frozen=True)
class Factor:
    """A dimension, or one of several merged into it: `length` steps of `stride` pixels on `axis`.

    Where the axis is None, all steps see the same.
    """

    length: int
    axis: int | None = None
    stride: Number = 0


Dimension = tuple[Factor, ...]


@dataclasses.dataclass(frozen=True)
class View:
    """What an array sees of the input.

    Attributes:
        spans: by axis of the input, the first and the last pixel that the first element sees.
        dimensions: of the array, each as its factors, the slowest first.
    """

    spans: dict[int, tuple[Number, Number]]
    dimensions: tuple[Dimension, ...]

    def shifted(self, axis: int, first: Number, last: Number) -> dict:
        """Returns the spans with both ends of one of them moved."""
        start, end = self.spans[axis]
        return {**self.spans, axis: (start + first, end + last)}

    def steps(self, axis: int) -> frozenset[tuple[int, Factor]]:
        """Returns the factors that move along an axis, with the dimension of each."""
        return frozenset(
            (d, f)
            for d, dimension in enumerate(self.dimensions)
            for f in dimension
            if f.axis == axis
        )

    def replaced(self, d: int, *dimension: Factor) -> "View":
        """Returns the view with one dimension replaced."""
        before, after = self.dimensions[:d], self.dimensions[d + 1 :]
        return View(self.spans, (*before, dimension, *after))


def constant(variable: Any) -> View:
    """Returns the view of an array that does not depend on the input."""
    return View({}, tuple((Factor(n),) for n in getattr(variable.aval, "shape", ())))


def widen(view: View, axis: int) -> View:
    """Lets all elements see, along one axis, what any of them sees."""
    for d, dimension in enumerate(view.dimensions):
        for f in dimension:
            if f.axis == axis:
                reach = (f.length - 1) * f.stride
                view = View(view.shifted(axis, min(reach, 0), max(reach, 0)), view.dimensions)
        view = view.replaced(d, *(Factor(f.length) if f.axis == axis else f for f in dimension))
    return view


def everything(views: Sequence[View], variable: Any) -> View:
    """Returns a view for whose elements all see what any element of any operand sees."""
    merged = constant(variable)
    for view in views:
        for axis in view.spans:
            view = widen(view, axis)
        merged = View(hull([merged, view]), merged.dimensions)
    return merged


def hull(views: Iterable[View]) -> dict[int, tuple[Number, Number]]:
    """Returns, by axis, the smallest span that holds those of all views."""
    spans: dict[int, tuple[Number, Number]] = {}
    for view in views:
        for axis, (first, last) in view.spans.items():
            start, end = spans.get(axis, (first, last))
            spans[axis] = min(first, start), max(last, end)
    return spans


def stretched(view: View, shape: Sequence[int]) -> View:
    """Repeats the dimensions of length one until the array has a shape; scalars stay scalars."""
    for d, dimension in enumerate(view.dimensions):
        if math.prod(f.length for f in dimension) != shape[d]:
            view = view.replaced(d, Factor(shape[d]))
    return view


def union(views: Sequence[View], rank: int) -> View:
    """Returns what the elements of equally large (or scalar) arrays see together."""
    views = [view for view in views if view.spans]
    arrays = [view for view in views if len(view.dimensions) == rank]
    if len({view.dimensions for view in arrays}) > 1:
        views = [linear(view) for view in views]
    for axis in hull(views):
        if len({view.steps(axis) for view in views if axis in view.spans}) > 1:
            views = [widen(view, axis) if axis in view.spans else view for view in views]
    arrays = [view for view in views if len(view.dimensions) == rank]
    dimensions = [max(choices, key=_labels) for choices in zip(*(v.dimensions for v in arrays))]
    merged = View(hull(views), tuple(dimensions))
    for axis in merged.spans:  # two axes that move along one dimension
        if any(view.steps(axis) != merged.steps(axis) for view in views if axis in view.spans):
            merged = View(
                hull([merged, *(widen(v, axis) for v in views if axis in v.spans)]),
                merged.dimensions,
            )
    return merged


def _labels(dimension: Dimension) -> int:
    return sum(f.axis is not None for f in dimension)


def linear(view: View, dimensions: Iterable[int] | None = None) -> View:
    """Merges the factors of each dimension into one, losing what cannot be said in one."""
    for d in range(len(view.dimensions)) if dimensions is None else dimensions:
        slow, *rest = [f for f in view.dimensions[d] if f.length > 1] or [Factor(1)]
        for fast in rest:
            length = slow.length * fast.length
            if slow.axis == fast.axis and slow.stride == fast.length * fast.stride:
                slow = Factor(length, fast.axis, fast.stride)
            elif slow.axis is not None and fast.axis is None:  # every step is repeated
                step = Fraction(slow.stride) / fast.length
                view = View(view.shifted(slow.axis, -(fast.length - 1) * step, 0), view.dimensions)
                slow = Factor(length, slow.axis, step)
            else:
                for axis in [axis for axis in (slow.axis, fast.axis) if axis is not None]:
                    view = widen(view, axis)
                slow = Factor(length)
        if slow.axis is not None and not view.steps(slow.axis):
            slow = Factor(slow.length)
        view = view.replaced(d, slow)
    return view


def reduced(view: View, dimensions: Iterable[int]) -> View:
    """Lets each element see what all elements along some dimensions see, and drops these."""
    dimensions = set(dimensions)
    for d in dimensions:
        for f in view.dimensions[d]:
            if f.axis is not None:
                reach = (f.length - 1) * f.stride
                view = View(view.shifted(f.axis, min(reach, 0), max(reach, 0)), view.dimensions)
    kept = [dimension for d, dimension in enumerate(view.dimensions) if d not in dimensions]
    return View(view.spans, tuple(kept))


def windowed(
    view: View,
    d: int,
    length: int,
    *,
    taps: int = 1,
    stride: int = 1,
    before: int = 0,
    dilation: int = 1,
    spread: int = 1,
) -> View:
    """Slides a window along one dimension, equation (2) of `receptive_field`.

    Args:
        view: of the array.
        d: the dimension, of one factor.
        length: of the result.
        taps: length of the window.
        stride: steps from one window to the next.
        before: padding before the first element; negative where some are left out.
        dilation: steps from one tap to the next.
        spread: steps from one element to the next, zeros in between.
    """
    (factor,) = view.dimensions[d]
    if factor.axis is None:
        return view.replaced(d, Factor(length))
    step = Fraction(factor.stride) / spread
    spans = view.shifted(factor.axis, -before * step, ((taps - 1) * dilation - before) * step)
    return View(spans, view.dimensions).replaced(d, Factor(length, factor.axis, stride * step))
