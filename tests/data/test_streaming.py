import itertools
import json

import numpy as np
import pytest

from jdl.data import GrainLoader, InMemoryLoader, Loader
from jdl.errors import UserError

SOURCE = [{"x": np.array(number), "name": b"text"} for number in range(22)]


def keep_numbers(example, random):
    return {"x": example["x"]}


def add_noise(example, random):
    return {"x": example["x"] + random.random()}


def loader(**options):
    return GrainLoader(SOURCE, 4, **({"transforms": [keep_numbers]} | options))


def take(batches, count):
    return [batch["x"].tolist() for batch in itertools.islice(batches, count)]


def test_batches_are_those_of_the_loader_in_memory():
    memory = InMemoryLoader({"x": np.arange(22)}, 4, seed=5)
    assert isinstance(loader(), Loader)
    assert take(loader(seed=5).train_batches(3), 8) == take(memory.train_batches(3), 8)
    for ours, theirs in zip(loader().eval_batches(), memory.eval_batches(), strict=True):
        np.testing.assert_equal(ours, theirs)


def test_noise_depends_on_seed_and_position_not_on_rows():
    def noisy(rows=slice(None), seed=0):
        return take(loader(transforms=[add_noise], seed=seed).train_batches(2, rows), 5)

    whole, first, second = noisy(), noisy(slice(0, 1)), noisy(slice(1, 4))
    assert whole == [a + b for a, b in zip(first, second)]
    assert whole != noisy(seed=1)
    # The noise of an example is another one in the next epoch.
    batches = loader(transforms=[add_noise]).train_batches()
    fractions = [x % 1 for batch in take(batches, 10) for x in batch]
    assert len(set(fractions)) == 40


@pytest.mark.parametrize("consumed", [0, 1, 7])
def test_resumes_exactly_where_the_state_was_saved(consumed):
    batches = loader(transforms=[add_noise]).train_batches(start_step=2)
    take(batches, consumed)
    state = json.loads(json.dumps(batches.get_state()))
    expected = take(batches, 9)
    fresh = loader(transforms=[add_noise]).train_batches()
    fresh.set_state(state)
    assert take(fresh, 9) == expected
    batches.set_state(state)
    assert take(batches, 9) == expected


@pytest.mark.slow
def test_worker_processes_give_the_same_batches_and_resume():
    expected = take(loader(transforms=[add_noise]).train_batches(3), 8)
    batches = loader(transforms=[add_noise], num_workers=2).train_batches(3)
    assert take(batches, 5) == expected[:5]
    state = json.loads(json.dumps(batches.get_state()))
    fresh = loader(transforms=[add_noise], num_workers=2).train_batches()
    fresh.set_state(state)
    assert take(fresh, 3) == expected[5:]


def test_what_cannot_be_stacked():
    with pytest.raises(UserError, match="feature 'name' is not a number array"):
        loader(transforms=[]).batch(0)
    ragged = [{"x": np.zeros(length)} for length in (1, 2)]
    with pytest.raises(UserError, match="feature 'x'"):
        GrainLoader(ragged, 2).batch(0)
    with pytest.raises(UserError, match="batch_size 23 exceeds"):
        GrainLoader(SOURCE, 23)


def test_reads_a_dataset_from_disk(data_dir):
    from jdl.data import load

    dataset = load("digits8x8", "validation", data_dir=data_dir)
    arrays = dataset.arrays()
    batch = next(GrainLoader(dataset.source, 16, seed=1).train_batches())
    expected = next(InMemoryLoader(arrays, 16, seed=1).train_batches())
    for name in expected:
        np.testing.assert_array_equal(batch[name], expected[name])
