"""A table of what a network is made of, without allocating it."""

import dataclasses
import math
import re
from collections.abc import Sequence
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from flax.traverse_util import flatten_dict
from jax.ad_checkpoint import checkpoint_name
from rich.table import Table

from jdl.errors import UserError
from jdl.explore.macs import count_macs
from jdl.explore.memory import TrainingMemory, training_memory
from jdl.explore.receptive_field import ReceptiveField, receptive_fields
from jdl.models.registry import Example, create_model, example_of, model_info
from jdl.ops.lowering import plain_lowerings

COLUMNS = ("name", "kind", "output", "parameters", "MACs", "receptive field")

Path = tuple[str, ...]


@dataclasses.dataclass(frozen=True)
class Row:
    """One layer, or what a larger module does itself beside its layers.

    Attributes:
        name: path of the module, joined with dots; of the whole network, the class's name.
        kind: the module's class.
        output_shape: of one example; of several results, the first one's.
        parameters: numbers that are trained.
        macs: multiply–adds of products and convolutions, for one example.
        receptive_field: what an element of the result sees of the first input; None where that is
            not known or does not apply.
    """

    name: str
    kind: str
    output_shape: tuple[int, ...]
    parameters: int
    macs: int
    receptive_field: ReceptiveField | None


@dataclasses.dataclass(frozen=True)
class Summary:
    """A network's layers, in the order in which they run, and their totals.

    Attributes:
        rows: the layers.
        total_parameters: numbers that are trained.
        total_macs: multiply–adds of products and convolutions, for one example.
        memory_bytes: what the variables (parameters and running statistics) take.
        training: what training takes, where it was asked for.
    """

    rows: tuple[Row, ...]
    total_parameters: int
    total_macs: int
    memory_bytes: int
    training: TrainingMemory | None = None

    def __str__(self) -> str:
        lines = [COLUMNS, *map(_cells, self.rows)]
        widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
        aligned = [
            "  ".join(
                cell.rjust(width) if 3 <= i <= 4 else cell.ljust(width)
                for i, (cell, width) in enumerate(zip(line, widths, strict=True))
            ).rstrip()
            for line in lines
        ]
        return "\n".join([*aligned, self._totals()])

    def __rich__(self) -> Table:
        table = Table(caption=self._totals(), caption_justify="left", box=None)
        for i, column in enumerate(COLUMNS):
            table.add_column(column, justify="right" if 3 <= i <= 4 else "left", overflow="fold")
        for row in self.rows:
            table.add_row(*_cells(row))
        return table

    def _totals(self) -> str:
        totals = (
            f"{self.total_parameters:,} parameters, {self.total_macs:,} MACs per example, "
            f"{_bytes(self.memory_bytes)} of variables"
        )
        memory = self.training
        if memory is None:
            return totals
        totals += (
            f"\ntraining with AdamW: {_bytes(memory.parameters)} of parameters, "
            f"{_bytes(memory.gradients)} of gradients, {_bytes(memory.moments)} of moments, "
            f"{_bytes(memory.activations)} of activations per example"
        )
        if memory.rematerialized is None:
            return totals
        return f"{totals} ({_bytes(memory.rematerialized)} rematerialised)"


def summary(
    model: str | nn.Module, *input_shapes: Sequence[int], training: bool = False
) -> Summary:
    """Describes every layer of a network: output shape, parameters, MACs, receptive field.

    The network is traced, not run: nothing of its size is allocated.

    Args:
        model: a registered name, or a module.
        *input_shapes: shapes of one example of the inputs, without batch; the registry's example
            stands for those not given.
        training: predict what training takes of memory, too.

    Returns:
        A table that prints.

    Raises:
        UserError: no such model; shapes of another number of dimensions than the model's inputs;
            no shapes for a module that is not of the registry.

    Example:
        >>> table = summary("lenet5", (32, 32, 1))
        >>> print(table)
        name   kind   output    parameters     MACs  receptive field
        conv1  Conv   28×28×6          156  117,600  5×5, stride 1×1
        conv2  Conv   10×10×16       2,416  240,000  14×14, stride 2×2
        fc1    Dense  120           48,120   48,000  32×32, the same for all
        fc2    Dense  84            10,164   10,080  32×32, the same for all
        fc3    Dense  10               850      840  32×32, the same for all
        61,706 parameters, 416,520 MACs per example, 246.8 kB of variables
    """
    module = create_model(model) if isinstance(model, str) else model
    registered = model_info(model).example if isinstance(model, str) else example_of(module)
    inputs = _inputs(type(module).__name__, registered, input_shapes)

    key = jax.eval_shape(lambda: jax.random.key(0))
    variables = jax.eval_shape(module.init, key, *inputs)
    tracer = _Tracer()
    # A faster way to convolve would be counted as what it is made of.
    with nn.intercept_methods(tracer.intercept), plain_lowerings():
        closed = jax.make_jaxpr(lambda variables, *inputs: module.apply(variables, *inputs))(
            variables, *inputs
        )
    macs = count_macs(closed.jaxpr, tracer.TAG)
    fields = receptive_fields(closed.jaxpr, len(jax.tree.leaves(variables)))
    parameters = _own_parameters(variables.get("params", {}), tracer.calls)
    rows = tuple(
        Row(
            name=".".join(call.path) or call.kind,
            kind=call.kind,
            output_shape=call.output_shape,
            parameters=parameters.get(path, 0),
            macs=macs[call.tag],
            receptive_field=fields.get(call.tag),
        )
        for path, call in tracer.calls.items()
        if call.is_leaf or parameters.get(path, 0) or macs[call.tag]
    )
    return Summary(
        rows=rows,
        total_parameters=sum(p.size for p in jax.tree.leaves(variables.get("params", {}))),
        total_macs=macs.total(),
        memory_bytes=sum(v.size * v.dtype.itemsize for v in jax.tree.leaves(variables)),
        training=training_memory(module, inputs) if training else None,
    )


@dataclasses.dataclass
class _Call:
    path: Path
    kind: str
    tag: str
    output_shape: tuple[int, ...] = ()
    is_leaf: bool = True


class _Tracer:
    """Marks, in the computation, where each module begins and ends."""

    TAG = re.compile(r"jdl\[\d+\]")

    def __init__(self) -> None:
        self.calls: dict[Path, _Call] = {}

    def intercept(self, method: Any, args: tuple, kwargs: dict, context: Any) -> Any:
        if context.method_name == "setup":
            return method(*args, **kwargs)
        path = context.module.path
        call = self.calls.setdefault(
            path, _Call(path, type(context.module).__name__, f"jdl[{len(self.calls)}]")
        )
        if path:
            self._enter(path[:-1])
        with jax.named_scope(call.tag):
            result = method(*args, **kwargs)
        leaves, structure = jax.tree.flatten(result)
        if context.method_name == "__call__" and leaves and not call.output_shape:
            call.output_shape = leaves[0].shape[1:]
            leaves[0] = checkpoint_name(leaves[0], call.tag)
        return jax.tree.unflatten(structure, leaves)

    def _enter(self, parent: Path) -> None:
        for depth in range(len(parent) + 1):
            if parent[:depth] in self.calls:
                self.calls[parent[:depth]].is_leaf = False


def _inputs(name: str, example: Example | None, shapes: Sequence[Sequence[int]]) -> Example:
    if example is None and not shapes:
        raise UserError(
            f"{name} is no registered model: give the shape of its input, without batch"
        )
    if example is None:
        return tuple(jax.ShapeDtypeStruct((1, *shape), jnp.float32) for shape in shapes)
    if len(shapes) > len(example):
        inputs = "1 input" if len(example) == 1 else f"{len(example)} inputs"
        raise UserError(f"{name} takes {inputs}, not {len(shapes)}")
    given = []
    for expected, shape in zip(example, shapes):
        if len(shape) != expected.ndim - 1:
            raise UserError(
                f"{name} takes inputs such as {'x'.join(map(str, expected.shape[1:]))}, "
                f"not {'x'.join(map(str, shape))}"
            )
        given.append(jax.ShapeDtypeStruct((1, *shape), expected.dtype))
    return (*given, *example[len(shapes) :])


def _own_parameters(params: Any, calls: dict[Path, _Call]) -> dict[Path, int]:
    """Counts, for each module that was called, the parameters of no module inside it."""
    counts: dict[Path, int] = {}
    for path, leaf in flatten_dict(params).items():
        owner = next(path[:n] for n in range(len(path), -1, -1) if path[:n] in calls)
        counts[owner] = counts.get(owner, 0) + leaf.size
    return counts


def _cells(row: Row) -> tuple[str, ...]:
    return (
        row.name,
        row.kind,
        "×".join(map(str, row.output_shape)),
        f"{row.parameters:,}",
        f"{row.macs:,}",
        _field(row.receptive_field),
    )


def _field(field: ReceptiveField | None) -> str:
    if field is None or not any(field.size):
        return "–"
    size = "×".join(map(str, field.size))
    if not any(field.stride):
        return f"{size}, the same for all"
    return f"{size}, stride {'×'.join(map(str, field.stride))}"


def _bytes(count: int) -> str:
    exponent = min(max(0, int(math.log10(max(count, 1)) // 3)), 4)
    return f"{count / 1000**exponent:.4g} {('B', 'kB', 'MB', 'GB', 'TB')[exponent]}"
