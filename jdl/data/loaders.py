"""Loaders: every training batch is a pure function of (seed, step), whoever asks for which rows."""

import functools
from collections.abc import Callable, Iterator, Mapping
from typing import Protocol, runtime_checkable

import numpy as np

from jdl.errors import UserError

Batch = dict[str, np.ndarray]


@runtime_checkable
class BatchIterator(Protocol):
    """An endless iterator of batches whose position can be saved."""

    def __iter__(self) -> Iterator[Batch]: ...
    def __next__(self) -> Batch: ...
    def get_state(self) -> dict:
        """Returns the position, as JSON can keep it."""

    def set_state(self, state: dict) -> None:
        """Goes to a position that `get_state` returned."""


@runtime_checkable
class Loader(Protocol):
    """What the engine asks of every loader.

    A batch is a dict of arrays with equal leading dimension, with "mask" float32 [b], 1 for a real
    example and 0 for padding, and "row" int32 [b], the example's number in the global batch.
    """

    batch_size: int
    num_examples: int
    steps_per_epoch: int

    def train_batches(self, start_step: int = 0, rows: slice = slice(None)) -> BatchIterator:
        """Returns endless training batches from a step on, of each the given rows."""

    def eval_batches(self, rows: slice = slice(None)) -> Iterator[Batch]:
        """Yields every example once in order, of each batch the given rows."""


class StepIterator:
    """Calls `batch(step)` for one step after another; its position is the step alone.

    Example:
        >>> batches = StepIterator(lambda step: {"step": np.array([step])}, start_step=5)
        >>> next(batches), next(batches)
        ({'step': array([5])}, {'step': array([6])})
    """

    def __init__(self, batch: Callable[[int], Batch], start_step: int = 0):
        self.batch = batch
        self.step = start_step

    def __iter__(self) -> Iterator[Batch]:
        return self

    def __next__(self) -> Batch:
        batch = self.batch(self.step)
        self.step += 1
        return batch

    def get_state(self) -> dict:
        """Returns {}: the step, which the engine keeps, says everything."""
        return {}

    def set_state(self, state: dict) -> None:
        """Does nothing: start again with `train_batches(start_step)`."""


@functools.lru_cache(maxsize=8)
def epoch_order(num_examples: int, seed: int, epoch: int) -> np.ndarray:
    """Returns the order of the examples in one epoch, a permutation drawn from (seed, epoch).

    Example:
        >>> sorted(epoch_order(5, seed=0, epoch=3).tolist())
        [0, 1, 2, 3, 4]
    """
    random = np.random.Generator(np.random.Philox(key=[seed, epoch]))
    order = random.permutation(num_examples)
    order.flags.writeable = False  # it is shared by all who ask
    return order


class InMemoryLoader:
    """Batches of arrays that fit in memory, gathered whole, without work per example.

    Epoch e visits the examples in the order of `epoch_order(n, seed, e)`; the tail that does not
    fill a batch is left out of that epoch.

    Args:
        arrays: name → array, all with the same number of examples as leading dimension.
        batch_size: examples in a global batch.
        seed: of the order of the examples.
        shuffle: False keeps the order of the arrays in every epoch.

    Raises:
        UserError: arrays empty, of unequal length, of text, or fewer than one batch.

    Example:
        >>> loader = InMemoryLoader({"x": np.arange(10)}, batch_size=4, shuffle=False)
        >>> next(loader.train_batches(start_step=1))["x"]
        array([4, 5, 6, 7])
        >>> [batch["mask"].tolist() for batch in loader.eval_batches()][-1]
        [1.0, 1.0, 0.0, 0.0]
    """

    def __init__(
        self,
        arrays: Mapping[str, np.ndarray],
        batch_size: int,
        *,
        seed: int = 0,
        shuffle: bool = True,
    ):
        self.arrays = {name: np.asarray(array) for name, array in arrays.items()}
        self.num_examples = check_arrays(self.arrays)
        check_batch_size(batch_size, self.num_examples)
        self.batch_size = batch_size
        self.steps_per_epoch = self.num_examples // batch_size
        self.seed = seed
        self.shuffle = shuffle

    def batch(self, step: int, rows: slice = slice(None)) -> Batch:
        """Returns the given rows of the training batch of a step."""
        epoch, step = divmod(step, self.steps_per_epoch)
        row = np.arange(self.batch_size, dtype=np.int32)[rows]
        index = step * self.batch_size + row
        if self.shuffle:
            index = epoch_order(self.num_examples, self.seed, epoch)[index]
        return self._gather(index, row, np.ones(len(row), np.float32))

    def train_batches(self, start_step: int = 0, rows: slice = slice(None)) -> StepIterator:
        """Returns the endless training batches from a step on."""
        return StepIterator(functools.partial(self.batch, rows=rows), start_step)

    def eval_batches(self, rows: slice = slice(None)) -> Iterator[Batch]:
        """Yields every example once in order; padding repeats the last one, with mask 0."""
        row = np.arange(self.batch_size, dtype=np.int32)[rows]
        for start in range(0, self.num_examples, self.batch_size):
            index = start + row
            mask = (index < self.num_examples).astype(np.float32)
            yield self._gather(np.minimum(index, self.num_examples - 1), row, mask)

    def _gather(self, index: np.ndarray, row: np.ndarray, mask: np.ndarray) -> Batch:
        return {name: array[index] for name, array in self.arrays.items()} | {
            "mask": mask,
            "row": row,
        }


def check_arrays(arrays: Mapping[str, np.ndarray]) -> int:
    """Returns the number of examples of arrays that belong together.

    Raises:
        UserError: no arrays, no examples, unequal lengths, text, or a name that loaders add.

    Example:
        >>> check_arrays({"image": np.zeros((3, 8, 8, 1)), "label": np.zeros(3)})
        3
    """
    lengths = {name: len(array) for name, array in arrays.items()}
    if len(set(lengths.values())) > 1:
        listed = ", ".join(f"{name} {length}" for name, length in lengths.items())
        raise UserError(f"all arrays must hold the same number of examples, got {listed}")
    if not sum(lengths.values()):
        raise UserError("there are no examples: every array is empty")
    for name, array in arrays.items():
        if name in ("mask", "row"):
            raise UserError(f"an array cannot be named {name!r}: loaders add one of that name")
        if array.dtype.kind not in "biufc" and array.dtype.kind != "V":  # V: bfloat16
            raise UserError(f"array {name!r} holds {array.dtype}, not numbers: encode or drop it")
    return next(iter(lengths.values()))


def check_batch_size(batch_size: int, num_examples: int | None) -> None:
    """Raises UserError unless 1 ≤ batch_size, and batch_size ≤ num_examples where that is given."""
    if batch_size < 1:
        raise UserError(f"batch_size must be at least 1, got {batch_size}")
    if num_examples is not None and batch_size > num_examples:
        raise UserError(f"batch_size {batch_size} exceeds the number of examples, {num_examples}")


def validate_labels(labels: np.ndarray, num_classes: int) -> None:
    """Checks that every label names one of the model's classes.

    Args:
        labels: integers of any shape, example first.
        num_classes: of the model.

    Raises:
        UserError: a label is out of range.

    Example:
        >>> validate_labels(np.array([3, 12]), num_classes=10)
        Traceback (most recent call last):
        ...
        jdl.errors.UserError: label 12 out of range: the model has 10 classes ...
    """
    labels = np.asarray(labels)
    wrong = (labels < 0) | (labels >= num_classes)
    if wrong.any():
        where = tuple(np.argwhere(wrong)[0])
        raise UserError(
            f"label {labels[where]} out of range: the model has {num_classes} classes "
            f"(labels 0..{num_classes - 1}), first at example {where[0]}"
        )
