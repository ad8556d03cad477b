"""Datasets that do not fit in memory: batches read and transformed ahead by grain."""

import functools
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Protocol, runtime_checkable

import numpy as np

from jdl.data.loaders import Batch, check_batch_size, epoch_order
from jdl.errors import UserError

Example = dict[str, Any]
Transform = Callable[[Example, np.random.Generator], Example]


@runtime_checkable
class Source(Protocol):
    """Random access to examples, as `Dataset.source` gives it, or a list."""

    def __len__(self) -> int: ...
    def __getitem__(self, index: int, /) -> Any: ...


class GrainLoader:
    """Batches of a random-access source, read ahead by grain's threads or processes.

    The order of the examples is `InMemoryLoader`'s, and each example's transforms draw from a
    generator of its own, seeded by (seed, its position in training): a batch is a pure function of
    (seed, step) here too, whatever the rows or the number of workers.

    Args:
        source: random access to examples: `len(source)`, `source[i]` (`Dataset.source`).
        batch_size: examples in a global batch.
        seed: of the order and of the transforms.
        transforms: functions of (example, numpy generator) that return an example, applied in
            turn; after them every feature must be a number array of fixed shape.
        num_workers: processes that prepare batches ahead; 0 uses threads of this process.

    Raises:
        UserError: fewer examples than one batch; features that cannot be stacked.

    Example:
        >>> source = [{"x": np.array(i)} for i in range(10)]
        >>> loader = GrainLoader(source, batch_size=4)
        >>> batches = loader.train_batches()
        >>> _ = next(batches); state = batches.get_state(); expected = next(batches)
        >>> batches.set_state(state); (next(batches)["x"] == expected["x"]).all()
        np.True_
    """

    def __init__(
        self,
        source: Source,
        batch_size: int,
        *,
        seed: int = 0,
        transforms: Sequence[Transform] = (),
        num_workers: int = 0,
    ):
        self.source = source
        self.num_examples = len(source)
        check_batch_size(batch_size, self.num_examples)
        self.batch_size = batch_size
        self.steps_per_epoch = self.num_examples // batch_size
        self.seed = seed
        self.transforms = tuple(transforms)
        self.num_workers = num_workers

    def batch(self, step: int, rows: slice = slice(None)) -> Batch:
        """Returns the given rows of the training batch of a step."""
        epoch, place = divmod(int(step), self.steps_per_epoch)
        row = np.arange(self.batch_size, dtype=np.int32)[rows]
        order = epoch_order(self.num_examples, self.seed, epoch)
        index = order[place * self.batch_size + row]
        return self._read(index, row, int(step) * self.batch_size + row.astype(np.int64))

    def eval_batch(self, step: int, rows: slice = slice(None)) -> Batch:
        """Returns the given rows of an evaluation batch; padding repeats the last example."""
        row = np.arange(self.batch_size, dtype=np.int32)[rows]
        place = int(step) * self.batch_size + row.astype(np.int64)
        batch = self._read(np.minimum(place, self.num_examples - 1), row, place)
        return batch | {"mask": (place < self.num_examples).astype(np.float32)}

    def train_batches(self, start_step: int = 0, rows: slice = slice(None)) -> "GrainIterator":
        """Returns the endless training batches from a step on."""
        return GrainIterator(functools.partial(self._train_steps, rows), start_step)

    def eval_batches(self, rows: slice = slice(None)) -> Iterator[Batch]:
        """Yields every example once in order; padding repeats the last one, with mask 0."""
        steps = -(-self.num_examples // self.batch_size)
        return self._ahead(functools.partial(self.eval_batch, rows=rows), 0, steps)

    def _train_steps(self, rows: slice, start_step: int) -> Any:
        return self._ahead(functools.partial(self.batch, rows=rows), start_step, sys.maxsize)

    def _ahead(self, batch: Callable[[int], Batch], start: int, stop: int) -> Any:
        import absl.flags
        import grain

        read = grain.ReadOptions(num_threads=4, prefetch_buffer_size=8)
        batches = grain.MapDataset.range(start, stop).map(batch).to_iter_dataset(read)
        if self.num_workers:
            if not absl.flags.FLAGS.is_parsed():  # grain's processes read absl's flags
                absl.flags.FLAGS.mark_as_parsed()
            batches = batches.mp_prefetch(grain.MultiprocessingOptions(self.num_workers))
        return iter(batches)

    def _read(self, index: np.ndarray, row: np.ndarray, position: np.ndarray) -> Batch:
        examples = []
        for number, place in zip(index.tolist(), position.tolist()):
            example = self.source[number]
            random = np.random.Generator(np.random.Philox(key=[self.seed, place]))
            for transform in self.transforms:
                example = transform(example, random)
            examples.append(example)
        batch = {key: self._stack(key, [example[key] for example in examples]) for key in example}
        return batch | {"mask": np.ones(len(row), np.float32), "row": row}

    def _stack(self, key: str, values: list) -> np.ndarray:
        try:
            column = np.stack(values)
        except (TypeError, ValueError):
            column = np.empty(0, object)
        if column.dtype.kind not in "biufc":
            raise UserError(
                f"feature {key!r} is not a number array of fixed shape: "
                "add a transform that makes it one, or drops it"
            )
        return column


class GrainIterator:
    """An endless iterator of batches; its state is grain's, counted from the step it began at."""

    def __init__(self, batches_from: Callable[[int], Any], start_step: int = 0):
        self.batches_from = batches_from
        self.start_step = start_step
        self.batches = batches_from(start_step)

    def __iter__(self) -> Iterator[Batch]:
        return self

    def __next__(self) -> Batch:
        return next(self.batches)

    def get_state(self) -> dict:
        """Returns what JSON can keep: the next call of `next` is the state's."""
        return {"start_step": self.start_step, "grain": self.batches.get_state()}

    def set_state(self, state: dict) -> None:
        """Goes to where `get_state` was called."""
        self.start_step = state["start_step"]
        self.batches = self.batches_from(self.start_step)
        self.batches.set_state(state["grain"])
