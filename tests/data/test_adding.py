import numpy as np
import pytest

from jdl.data.adding import adding_problem
from jdl.errors import UserError


def test_two_numbers_are_marked_and_added():
    examples = adding_problem(4000, length=7, seed=1)
    numbers, marks = np.moveaxis(examples["inputs"], -1, 0)
    assert examples["inputs"].dtype == examples["target"].dtype == np.float32
    assert (np.sort(marks, axis=1) == [0] * 5 + [1] * 2).all()
    np.testing.assert_allclose((numbers * marks).sum(1), examples["target"][:, 0, 0], rtol=1e-6)
    # Every pair of places is marked equally often, and 1 is the best answer for who sees nothing.
    pairs = np.einsum("ni,nj->ij", marks, marks)[np.triu_indices(7, 1)]
    np.testing.assert_allclose(pairs / 4000, 1 / 21, atol=0.015)
    assert np.mean((examples["target"] - 1) ** 2) == pytest.approx(1 / 6, abs=0.01)


def test_seeds_differ_and_repeat():
    one, again, other = (adding_problem(5, 9, seed)["inputs"] for seed in (0, 0, 1))
    np.testing.assert_array_equal(one, again)
    assert (one != other).any()


def test_a_sequence_too_short_for_two_marks_is_refused():
    with pytest.raises(UserError, match="at least 2 steps, not 1"):
        adding_problem(5, 1)
