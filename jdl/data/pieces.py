"""Texts as sequences of pieces that end, for models that turn one sequence into another."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from jdl.data.text import BytePairTokenizer
from jdl.data.vocabulary import END, Vocabulary


class Pieces(Vocabulary):
    """A vocabulary of byte pairs: a text's tokens, numbered from 1; 0 ends a text, and pads it.

    Args:
        tokenizer: what cuts texts; several languages may share one.

    Example:
        >>> pieces = Pieces(BytePairTokenizer("low lower lowest " * 9, vocabulary_size=260))
        >>> ids = pieces.encode("low lower")
        >>> pieces.decode([*ids, 0, 0]), pieces.text([*ids, 0, 0])
        (['low', ' lowe', 'r'], 'low lower')
    """

    def __init__(self, tokenizer: BytePairTokenizer):
        self.tokenizer = tokenizer

    @property
    def size(self) -> int:
        """How many ids there are, the end's included."""
        return self.tokenizer.vocabulary_size + 1

    def encode(self, sequence: Sequence[str]) -> np.ndarray:
        """Returns the ids of a text's pieces, int32 [pieces], without an end."""
        return self.tokenizer.encode("".join(sequence)) + 1

    def decode(self, ids: ArrayLike) -> list[str]:
        """Returns the pieces of ids up to the first end; a part of a character is `�`."""
        return [self.tokenizer.decode([i]) for i in _before_end(ids)]

    def text(self, ids: ArrayLike) -> str:
        """Returns the text of ids up to the first end."""
        return self.tokenizer.decode(_before_end(ids))


def _before_end(ids: ArrayLike) -> np.ndarray:
    ids = np.asarray(ids, np.int64)
    ends = np.flatnonzero(ids == END)
    return ids[: ends[0] if len(ends) else None] - 1
