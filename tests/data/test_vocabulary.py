import numpy as np
import pytest

from jdl.data.vocabulary import END, Vocabulary
from jdl.errors import UserError


def test_symbols_come_back():
    phonemes = Vocabulary(["K", "AE", "T", "AE"])
    ids = phonemes.encode(["K", "AE", "T"])
    assert phonemes.decode(ids) == ["K", "AE", "T"]
    assert phonemes.size == 4
    assert END not in ids
    assert ids.dtype == np.int32


def test_what_follows_the_end_is_not_read():
    assert Vocabulary("ab").decode([1, END, 2, 7]) == ["a"]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Vocabulary(""), "needs at least one symbol"),
        (lambda: Vocabulary("ab").encode("abé!"), "'!', 'é' is not among the 2 symbols"),
        (lambda: Vocabulary("ab").decode([1, 3]), "ids must lie in 0..2, not be 3"),
        (lambda: Vocabulary("ab").decode([-1]), "ids must lie in 0..2, not be -1"),
    ],
)
def test_what_is_not_in_it_is_refused(make, message):
    with pytest.raises(UserError, match=message):
        make()
