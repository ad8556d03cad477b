import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jdl.data import BucketLoader, Loader, length_buckets, pad_sequences
from jdl.errors import UserError

items = st.lists(st.lists(st.integers(1, 9), max_size=7), min_size=1, max_size=12)


@given(items, st.integers(0, 3))
def test_padding_can_be_taken_off(sequences, extra):
    length = max(map(len, sequences)) + extra
    padded = pad_sequences(sequences, length, value=-1)
    assert padded.shape == (len(sequences), length)
    assert [[x for x in row if x != -1] for row in padded.tolist()] == sequences


def test_too_long_to_pad():
    with pytest.raises(UserError, match="sequence 1 has 3 items, more than the length 2"):
        pad_sequences([[1], [1, 2, 3]], length=2)


def test_buckets():
    assert length_buckets(np.array([0, 4, 5, 8]), [4, 8]).tolist() == [0, 0, 1, 1]
    with pytest.raises(UserError, match="9 items, more than the last boundary 8"):
        length_buckets(np.array([9]), [4, 8])
    with pytest.raises(UserError, match="must ascend"):
        length_buckets(np.array([1]), [4, 4])


def words(count=101, seed=0):
    lengths = np.random.default_rng(seed).integers(1, 13, count)
    return [np.full(length, number) for number, length in enumerate(lengths)]


def loader(batch_size=8, **options):
    source = words()
    return BucketLoader(
        {"source": source, "target": [word[:5] for word in source]},
        batch_size,
        boundaries=(4, 8, 12),
        arrays={"number": np.arange(len(source))},
        value=-1,
        **options,
    )


def test_epoch_covers_examples_once_in_few_shapes():
    train = loader()
    assert isinstance(train, Loader)
    batches = list(itertools.islice(train.train_batches(), train.steps_per_epoch))
    seen = np.concatenate([batch["number"] for batch in batches])
    assert len(set(seen.tolist())) == len(seen) == 96  # of 101, in batches of 8
    assert {batch["source"].shape for batch in batches} == {(8, 4), (8, 8), (8, 12)}
    for batch in batches:
        for row, length, number in zip(batch["source"], batch["source_length"], batch["number"]):
            assert row.tolist() == [number] * length + [-1] * (len(row) - length)
        # No batch is padded to more than its longest example needs.
        assert batch["source_length"].max() > batch["source"].shape[1] - 4
    widths = [batch["source"].shape[1] for batch in batches]
    assert widths != sorted(widths)


def test_a_batch_is_a_function_of_seed_and_step():
    ahead = loader(seed=3).train_batches(10)
    for _ in range(5):
        next(ahead)
    np.testing.assert_equal(next(ahead), next(loader(seed=3).train_batches(15)))
    first, second = (next(loader(seed=s).train_batches())["number"] for s in (3, 4))
    assert (first != second).any()


@pytest.mark.parametrize("kind", ["train_batches", "eval_batches"])
def test_processes_that_share_the_rows_make_up_the_batch(kind):
    def batches(rows):
        return list(itertools.islice(getattr(loader(), kind)(rows=rows), 13))

    for whole, *parts in zip(batches(slice(None)), batches(slice(0, 3)), batches(slice(3, 8))):
        for name, array in whole.items():
            np.testing.assert_array_equal(array, np.concatenate([part[name] for part in parts]))


def test_evaluation_sees_every_example_once():
    batches = list(loader().eval_batches())
    assert len(batches) == 13
    real = np.concatenate([batch["number"][batch["mask"] == 1] for batch in batches])
    assert sorted(real.tolist()) == list(range(101))
    widths = [batch["source"].shape[1] for batch in batches]
    assert widths == sorted(widths)
