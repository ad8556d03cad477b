import numpy as np
import pytest

from jdl.data.curriculum import CurriculumLoader, linear_pacing, step_pacing
from jdl.errors import UserError

NUMBERS = np.random.RandomState(0).permutation(100)
ARRAYS = {"x": NUMBERS, "label": NUMBERS % 10}


def loader(**changes):
    options = {"scores": NUMBERS.astype(float), "pacing": linear_pacing(0.2, 50), "seed": 1}
    return CurriculumLoader(ARRAYS, 10, **options | changes)


def test_only_the_easiest_are_drawn_and_then_all():
    easy = loader()
    for step, hardest in ((0, 20), (25, 60), (50, 100), (500, 100)):
        draws = np.concatenate([easy.batch(step)["x"]])
        assert draws.max() < hardest
    later = np.concatenate([easy.batch(step)["x"] for step in range(50, 150)])
    assert len(set(later)) == 100
    assert len(set(np.concatenate([easy.batch(step)["x"] for step in range(3)]))) > 10


def test_an_example_comes_with_its_label_and_once_in_a_batch():
    for step in range(20):
        batch = loader().batch(step)
        assert (batch["label"] == batch["x"] % 10).all()
        assert len(set(batch["x"])) == 10


def test_batches_are_a_function_of_seed_and_step_whoever_holds_the_rows():
    whole = loader().batch(7)
    iterator = loader().train_batches(7, slice(4, 8))
    np.testing.assert_array_equal(next(iterator)["x"], whole["x"][4:8])
    assert (loader(seed=2).batch(7)["x"] != whole["x"]).any()
    assert (loader().batch(8)["x"] != whole["x"]).any()


def test_fewer_than_a_batch_is_a_batch():
    tiny = loader(pacing=step_pacing(0.01, 2.0, 100))
    assert sorted(tiny.batch(0)["x"]) == list(range(10))


def test_paces():
    grows = step_pacing(0.1, 1.5, 20)
    assert grows(39) == pytest.approx(0.15)
    assert grows(40) == pytest.approx(0.225)
    assert grows(10_000) == linear_pacing(0.3, 10)(10) == 1.0


@pytest.mark.parametrize(
    ("scores", "sentence"),
    [
        (None, "a score for each of 100 examples, and has none"),
        (np.zeros(99), r"a score for each of 100 examples, and has an array of \(99,\)"),
        (np.zeros((100, 1)), r"has an array of \(100, 1\)"),
        (np.full(100, np.nan), "needs finite scores"),
        (["hard"] * 100, "needs finite scores"),
    ],
)
def test_a_curriculum_without_scores_is_refused(scores, sentence):
    with pytest.raises(UserError, match=sentence):
        loader(scores=scores)
