import numpy as np

from jdl.data.pieces import Pieces
from jdl.data.text import BytePairTokenizer

PIECES = Pieces(
    BytePairTokenizer("神光あれと言たまひければ光ありき " * 9 + "Let there be light.", 300)
)


def test_text_comes_back_from_its_pieces():
    for text in ("神光あれ", "Let there be light.", "never seen: 龍 ü"):
        ids = PIECES.encode(text)
        assert ids.dtype == np.int32
        assert 0 < ids.min() <= ids.max() < PIECES.size == 301
        assert PIECES.text(np.concatenate([ids, [0, 0, 7]])) == text
        assert len(PIECES.decode(np.concatenate([ids, [0, 0, 7]]))) == len(ids)
    assert PIECES.text([0]) == ""
    assert PIECES.decode([]) == []


def test_parts_of_a_character_are_shown_as_such():
    ids = PIECES.encode("龍")
    assert len(ids) == 3
    assert PIECES.decode(ids) == ["\ufffd"] * 3
