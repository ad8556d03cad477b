"""Symbols as integers, for sequences that end."""

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import ArrayLike

from jdl.errors import UserError

END = 0


class Vocabulary:
    """Symbols, such as letters, phonemes or words, numbered from 1; 0 ends a sequence, and pads it.

    Args:
        symbols: in any order; sorted and made distinct here.

    Raises:
        UserError: there is none.

    Example:
        >>> letters = Vocabulary("banana")
        >>> letters.encode("nab"), letters.size
        (array([3, 1, 2], dtype=int32), 4)
        >>> letters.decode([3, 1, 2, 0, 0])
        ['n', 'a', 'b']
    """

    def __init__(self, symbols: Iterable[str]):
        self.symbols = sorted(set(symbols))
        if not self.symbols:
            raise UserError("a vocabulary needs at least one symbol")
        self._ids = {symbol: i for i, symbol in enumerate(self.symbols, start=END + 1)}

    @property
    def size(self) -> int:
        """How many ids there are, the end's included."""
        return len(self.symbols) + 1

    def encode(self, sequence: Sequence[str]) -> np.ndarray:
        """Returns the ids of symbols, int32 [symbols], without an end.

        Raises:
            UserError: a symbol is not in the vocabulary.
        """
        unknown = sorted({symbol for symbol in sequence if symbol not in self._ids})
        if unknown:
            known = " ".join(self.symbols[:50]) + (" …" if len(self.symbols) > 50 else "")
            raise UserError(
                f"{', '.join(map(repr, unknown))} is not among the {len(self.symbols)} symbols of "
                f"the vocabulary: {known}"
            )
        return np.array([self._ids[symbol] for symbol in sequence], np.int32)

    def decode(self, ids: ArrayLike) -> list[str]:
        """Returns the symbols of ids up to the first end.

        Raises:
            UserError: an id is outside the vocabulary.
        """
        symbols = []
        for i in np.asarray(ids).tolist():
            if i == END:
                break
            if not 0 < i < self.size:
                raise UserError(f"ids must lie in 0..{self.size - 1}, not be {i}")
            symbols.append(self.symbols[i - 1])
        return symbols
