import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jdl.data import InMemoryLoader, Loader, TokenWindowLoader, validate_labels
from jdl.errors import UserError


def numbers(count, batch_size, **options):
    return InMemoryLoader({"x": np.arange(count)}, batch_size, **options)


def take(batches, count):
    return [batch["x"].tolist() for batch in itertools.islice(batches, count)]


def epoch_of(loader, epoch):
    steps = loader.steps_per_epoch
    return list(itertools.chain(*take(loader.train_batches(steps * epoch), steps)))


def test_follows_the_protocol():
    assert isinstance(numbers(10, 3), Loader)
    assert isinstance(TokenWindowLoader(np.arange(50), 5, 2), Loader)


@given(seed=st.integers(0, 2**31), start=st.integers(0, 10**6))
def test_a_batch_is_a_function_of_seed_and_step(seed, start):
    ahead = numbers(11, 3, seed=seed).train_batches(start)
    next(ahead)
    direct = numbers(11, 3, seed=seed).train_batches(start + 1)
    assert take(ahead, 2) == take(direct, 2)


def test_epochs_cover_each_example_once_in_new_orders():
    loader = numbers(12, 3, seed=1)
    epochs = [epoch_of(loader, e) for e in range(3)]
    assert all(sorted(epoch) == list(range(12)) for epoch in epochs)
    assert len({tuple(epoch) for epoch in epochs}) == 3
    assert epochs[0] != epoch_of(numbers(12, 3, seed=2), 0)


def test_the_tail_changes_from_epoch_to_epoch():
    loader = numbers(10, 4)
    assert loader.steps_per_epoch == 2
    left_out = {frozenset(range(10)) - frozenset(epoch_of(loader, e)) for e in range(20)}
    assert all(len(tail) == 2 for tail in left_out)
    assert len(left_out) > 5


@pytest.mark.parametrize("kind", ["train_batches", "eval_batches"])
def test_processes_that_share_the_rows_make_up_the_batch(kind):
    loader = numbers(22, 8)

    def batches(rows):
        return list(itertools.islice(getattr(loader, kind)(rows=rows), 3))

    for whole, *parts in zip(batches(slice(None)), batches(slice(0, 3)), batches(slice(3, 8))):
        for name, array in whole.items():
            np.testing.assert_array_equal(array, np.concatenate([part[name] for part in parts]))


def test_mask_and_row_of_training():
    batch = next(numbers(10, 4).train_batches(rows=slice(2, 4)))
    assert batch["row"].tolist() == [2, 3]
    assert batch["mask"].tolist() == [1.0, 1.0]
    assert (batch["row"].dtype, batch["mask"].dtype) == (np.int32, np.float32)


@given(count=st.integers(1, 40), batch_size=st.integers(1, 40))
def test_evaluation_sees_every_example_once_in_order(count, batch_size):
    if batch_size > count:
        return
    batches = list(numbers(count, batch_size).eval_batches())
    assert {len(batch["x"]) for batch in batches} == {batch_size}
    real = np.concatenate([batch["x"][batch["mask"] == 1] for batch in batches])
    assert real.tolist() == list(range(count))


def test_without_shuffle_the_order_is_kept():
    assert take(numbers(6, 3, shuffle=False).train_batches(), 3) == [
        [0, 1, 2],
        [3, 4, 5],
        [0, 1, 2],
    ]


@pytest.mark.parametrize(
    ("arrays", "batch_size", "message"),
    [
        ({"x": np.zeros(3), "y": np.zeros(4)}, 2, "same number of examples, got x 3, y 4"),
        ({"x": np.zeros((0, 2))}, 1, "there are no examples"),
        ({}, 1, "there are no examples"),
        ({"x": np.zeros(3)}, 4, "batch_size 4 exceeds the number of examples, 3"),
        ({"x": np.zeros(3)}, 0, "batch_size must be at least 1, got 0"),
        ({"x": np.array(["a", "b"])}, 1, "array 'x' holds <U1, not numbers"),
        ({"mask": np.zeros(3)}, 1, "cannot be named 'mask'"),
    ],
)
def test_arrays_that_cannot_be_loaded(arrays, batch_size, message):
    with pytest.raises(UserError, match=message):
        InMemoryLoader(arrays, batch_size)


def test_labels_out_of_range_are_named():
    validate_labels(np.array([0, 9]), 10)
    labels = np.zeros(60, int)
    labels[37] = 12
    labels[50] = -1
    message = (
        r"label 12 out of range: the model has 10 classes \(labels 0..9\), first at example 37"
    )
    with pytest.raises(UserError, match=message):
        validate_labels(labels, 10)
    masks = np.zeros((3, 4, 4), np.uint8)
    masks[2, 1, 1] = 255
    with pytest.raises(UserError, match=r"label 255 .* example 2"):
        validate_labels(masks, 11)
    with pytest.raises(UserError, match="label -1"):
        validate_labels(np.array([-1]), 10)
