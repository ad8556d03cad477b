import numpy as np
import pytest

from jdl.data.sentence_pairs import (
    CLS,
    MASK,
    PAD,
    SEP,
    UNKNOWN,
    sentence_pairs,
    train_wordpiece,
)
from jdl.errors import UserError

# A sentence's tokens say where it stands: 100 · document + 10 · sentence + place.
DOCUMENTS = [
    [[1000 + 100 * d + 10 * i + k for k in range(1 + (d + i) % 5)] for i in range(6)]
    for d in range(8)
]


def parts(pairs, row):
    tokens, types = pairs["tokens"][row], pairs["token_types"][row]
    end = np.flatnonzero(tokens == SEP)
    assert tokens[0] == CLS
    assert len(end) == 2
    assert (tokens[end[1] + 1 :] == PAD).all()
    np.testing.assert_array_equal(np.flatnonzero(types), np.arange(end[0] + 1, end[1] + 1))
    return tokens[1 : end[0]].tolist(), tokens[end[0] + 1 : end[1]].tolist()


def test_half_of_the_second_sentences_follow_the_first():
    pairs = sentence_pairs(DOCUMENTS, length=16, passes=20)
    assert len(pairs["tokens"]) == 20 * 8 * 5
    assert abs(pairs["label"].mean() - 0.5) < 0.07  # four standard deviations
    seconds = set()
    for row, label in enumerate(pairs["label"]):
        a, b = parts(pairs, row)
        (d, i), (e, j) = (divmod((x[0] - 1000) // 10, 10) for x in (a, b))
        assert a == DOCUMENTS[d][i]
        assert b == DOCUMENTS[e][j]
        if label:
            assert d != e
            seconds.add((e, j))
        else:
            assert (e, j) == (d, i + 1)
    assert len(seconds) == 48  # all sentences of all documents


def test_what_stands_at_the_seam_stays():
    long = [list(range(10, 20)), list(range(20, 30))]
    for length, a, b in ((23, 10, 10), (22, 9, 10), (21, 9, 9), (9, 3, 3), (5, 1, 1)):
        pairs = sentence_pairs([long, long], length)
        row = int(np.argmin(pairs["label"]))
        assert parts(pairs, row) == (long[0][10 - a :], long[1][:b])
    uneven = [list(range(10, 13)), list(range(20, 30))]
    pairs = sentence_pairs([uneven] * 8, length=10)
    row = int(np.argmin(pairs["label"]))
    assert parts(pairs, row) == ([10, 11, 12], [20, 21, 22, 23])


def test_seeds_draw_other_pairs():
    one, same, other = (sentence_pairs(DOCUMENTS, 16, seed=seed) for seed in (0, 0, 1))
    np.testing.assert_array_equal(one["tokens"], same["tokens"])
    assert (one["label"] != other["label"]).any()


@pytest.mark.parametrize(
    ("documents", "length", "sentence"),
    [
        ([[[5], [6]]], 8, "need two documents"),
        ([[[5]], [[6]]], 8, "one of them of two sentences"),
        (DOCUMENTS, 4, "do not fit into 4 tokens"),
    ],
)
def test_what_makes_no_pairs_is_refused(documents, length, sentence):
    with pytest.raises(UserError, match=sentence):
        sentence_pairs(documents, length)


TEXTS = ["The quick brown fox jumps over the lazy dog.", "Où est le café? The dog was quick."] * 9


def test_a_vocabulary_is_the_same_each_time():
    one, other = (train_wordpiece(TEXTS, 120) for _ in range(2))
    assert one.get_vocab() == other.get_vocab()
    for number, token in ((PAD, "[PAD]"), (UNKNOWN, "[UNK]"), (MASK, "[MASK]")):
        assert one.token_to_id(token) == number
    encoded = one.encode("the QUICK cafe [MASK] quickly 7")
    assert encoded.tokens[:2] == ["the", "quick"]
    assert MASK in encoded.ids
    assert encoded.tokens[-1] == "[UNK]"
    assert "quick ##l" in " ".join(encoded.tokens)


def test_a_vocabulary_has_room_for_the_letters():
    with pytest.raises(UserError, match="a vocabulary of 30 is too small: letters alone take 61"):
        train_wordpiece(TEXTS, 30)
