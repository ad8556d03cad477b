"""Sequences of unequal length: padding, and batches of few distinct shapes."""

import functools
from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from jdl.data.loaders import Batch, StepIterator, check_arrays, check_batch_size, epoch_order
from jdl.errors import UserError

IntegerSequence = Sequence[int] | np.ndarray


def pad_sequences(
    sequences: Sequence[IntegerSequence], length: int | None = None, value: int = 0
) -> np.ndarray:
    """Pads integer sequences at their end to one length.

    Args:
        sequences: n integer arrays of any lengths.
        length: of the result; default the longest sequence's.
        value: of the padding.

    Returns:
        int32 [n, length].

    Raises:
        UserError: a sequence is longer than `length`.

    Example:
        >>> pad_sequences([[1, 2, 3], [4]], length=4)
        array([[1, 2, 3, 0],
               [4, 0, 0, 0]], dtype=int32)
    """
    lengths = np.array([len(sequence) for sequence in sequences], np.int64)
    longest = int(lengths.max(initial=0))
    length = longest if length is None else length
    if longest > length:
        raise UserError(
            f"sequence {int(lengths.argmax())} has {longest} items, more than the length {length}"
        )
    padded = np.full((len(sequences), length), value, np.int32)
    if lengths.sum():
        inside = np.arange(length)[None, :] < lengths[:, None]
        padded[inside] = np.concatenate([np.asarray(sequence) for sequence in sequences])
    return padded


def length_buckets(lengths: np.ndarray, boundaries: Sequence[int]) -> np.ndarray:
    """Returns the number of the first boundary that each length does not exceed.

    Args:
        lengths: integers [n].
        boundaries: ascending lengths, the last at least the longest of `lengths`.

    Raises:
        UserError: boundaries not ascending, or a length beyond the last.

    Example:
        >>> length_buckets(np.array([3, 4, 5, 8]), [4, 8])
        array([0, 0, 1, 1])
    """
    lengths, edges = np.asarray(lengths), np.asarray(boundaries)
    if len(edges) == 0 or (np.diff(edges) <= 0).any():
        raise UserError(f"bucket boundaries must ascend, got {list(boundaries)}")
    if lengths.max(initial=0) > edges[-1]:
        raise UserError(
            f"a sequence has {lengths.max()} items, more than the last boundary {edges[-1]}"
        )
    return np.searchsorted(edges, lengths)


class BucketLoader:
    """Batches of sequences of similar length, padded to few lengths, so that few programs compile.

    An example's bucket is that of its longest sequence. In each epoch the shuffled examples, less
    a random tail that fills no batch, are sorted by bucket (stably) and cut into batches, which
    come in random order; a batch is padded to the boundary of its longest example. A batch across
    two buckets takes the larger boundary. All of it is a pure function of (seed, step).

    For every sequence NAME a batch holds NAME int32 [b, boundary] and NAME_length int32 [b].

    Args:
        sequences: name → one integer sequence per example ("source", "target", ...).
        batch_size: examples in a global batch.
        boundaries: ascending padded lengths, the last at least the longest sequence's.
        arrays: further arrays with one entry per example.
        value: of the padding.
        seed: of the order.

    Example:
        >>> loader = BucketLoader({"word": [[1], [2, 2], [3], [4, 4, 4]]}, 2, boundaries=(2, 4))
        >>> [batch["word"].tolist() for batch in loader.eval_batches()]
        [[[1, 0], [2, 2]], [[3, 0, 0, 0], [4, 4, 4, 0]]]
    """

    def __init__(
        self,
        sequences: Mapping[str, Sequence[IntegerSequence]],
        batch_size: int,
        *,
        boundaries: Sequence[int],
        arrays: Mapping[str, np.ndarray] | None = None,
        value: int = 0,
        seed: int = 0,
    ):
        self.lengths = {
            name: np.array([len(item) for item in items], np.int32)
            for name, items in sequences.items()
        }
        self.arrays = {name: np.asarray(array) for name, array in (arrays or {}).items()}
        self.num_examples = check_arrays(self.lengths | self.arrays)
        check_batch_size(batch_size, self.num_examples)
        longest = np.max(list(self.lengths.values()), axis=0)
        self.boundaries = np.asarray(boundaries)
        self.buckets = length_buckets(longest, boundaries)
        self.padded = {
            name: pad_sequences(items, int(self.boundaries[-1]), value)
            for name, items in sequences.items()
        }
        self.batch_size = batch_size
        self.steps_per_epoch = self.num_examples // batch_size
        self.seed = seed
        # One epoch's plan is kept: training goes through the steps in order.
        self._plan = functools.lru_cache(maxsize=2)(self._plan_epoch)

    def _plan_epoch(self, epoch: int) -> np.ndarray:
        """Returns the examples of every batch of an epoch, [steps_per_epoch, batch_size]."""
        order = epoch_order(self.num_examples, self.seed, epoch)
        order = order[: self.steps_per_epoch * self.batch_size]
        order = order[np.argsort(self.buckets[order], kind="stable")]
        batches = order.reshape(self.steps_per_epoch, self.batch_size)
        return batches[epoch_order(self.steps_per_epoch, self.seed, epoch)]

    def batch(self, step: int, rows: slice = slice(None)) -> Batch:
        """Returns the given rows of the training batch of a step."""
        epoch, step = divmod(step, self.steps_per_epoch)
        index = self._plan(epoch)[step]
        row = np.arange(self.batch_size, dtype=np.int32)
        return self._gather(index, row, np.ones(self.batch_size, np.float32), rows)

    def train_batches(self, start_step: int = 0, rows: slice = slice(None)) -> StepIterator:
        """Returns the endless training batches from a step on."""
        return StepIterator(functools.partial(self.batch, rows=rows), start_step)

    def eval_batches(self, rows: slice = slice(None)) -> Iterator[Batch]:
        """Yields every example once, shorter buckets first, in order within each bucket."""
        order = np.argsort(self.buckets, kind="stable")
        row = np.arange(self.batch_size, dtype=np.int32)
        for start in range(0, self.num_examples, self.batch_size):
            place = start + row
            mask = (place < self.num_examples).astype(np.float32)
            yield self._gather(order[np.minimum(place, self.num_examples - 1)], row, mask, rows)

    def _gather(self, index: np.ndarray, row: np.ndarray, mask: np.ndarray, rows: slice) -> Batch:
        # The width is the whole batch's, so that every process has the same shape.
        width = self.boundaries[self.buckets[index].max()]
        chosen = index[rows]
        batch = {name: array[:, :width][chosen] for name, array in self.padded.items()}
        batch |= {f"{name}_length": lengths[chosen] for name, lengths in self.lengths.items()}
        batch |= {name: array[chosen] for name, array in self.arrays.items()}
        return batch | {"mask": mask[rows], "row": row[rows]}
