"""What a generative network is told to draw: a class, or a sentence."""

import dataclasses
from collections.abc import Sequence
from typing import Protocol, runtime_checkable

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Int

from jdl.data.sequences import pad_sequences
from jdl.data.vocabulary import END, Vocabulary
from jdl.errors import UserError, unknown


@runtime_checkable
class Conditioning(Protocol):
    """How conditions are stored and left out, and what a person calls them."""

    @property
    def key(self) -> str:
        """Returns the name of the batch's array."""
        ...

    def nothing(self, conditions: Int[Array, "batch *shape"]) -> Int[Array, "batch *shape"]:
        """Returns what tells the network nothing, in as many rows."""
        ...

    def ask(self, condition: str | None, count: int) -> Int[np.ndarray, "count *shape"]:
        """Returns a condition, as a person writes it, in `count` rows; different ones for None."""
        ...


@dataclasses.dataclass(frozen=True)
class ByClass:
    """Classes, in the batch's "label". The number of classes stands for none.

    Args:
        names: of the classes.

    Example:
        >>> digits = ByClass("0123456789")
        >>> digits.ask("7", 2), digits.ask(None, 3), int(digits.nothing(jnp.zeros(1, int))[0])
        (array([7, 7], dtype=int32), array([0, 1, 2], dtype=int32), 10)
    """

    names: Sequence[str]
    key: str = "label"

    def nothing(self, conditions: Int[Array, "batch *shape"]) -> Int[Array, "batch *shape"]:
        """Returns the number of classes."""
        return jnp.full_like(conditions, len(self.names))

    def ask(self, condition: str | None, count: int) -> Int[np.ndarray, "count *shape"]:
        """Returns the number of a class, or one class after the other.

        Raises:
            UserError: there is no such class.
        """
        if condition is None:
            return np.arange(count, dtype=np.int32) % len(self.names)
        if condition not in self.names:
            raise unknown("class", condition, self.names)
        return np.full(count, list(self.names).index(condition), np.int32)


@dataclasses.dataclass(frozen=True)
class BySentence:
    """Sentences, in the batch's "tokens", padded at the end. The empty one says nothing.

    Args:
        words: their vocabulary.
        max_length: words of the longest.
        examples: sentences to draw where nobody asks for one.

    Example:
        >>> read = BySentence(Vocabulary(["blue", "red"]), max_length=3, examples=("red", "blue"))
        >>> read.ask("blue red", 1).tolist(), read.ask(None, 3).tolist()
        ([[1, 2, 0]], [[2, 0, 0], [1, 0, 0], [2, 0, 0]])
    """

    words: Vocabulary
    max_length: int
    examples: Sequence[str]
    key: str = "tokens"

    def nothing(self, conditions: Int[Array, "batch *shape"]) -> Int[Array, "batch *shape"]:
        """Returns empty sentences."""
        return jnp.full_like(conditions, END)

    def ask(self, condition: str | None, count: int) -> Int[np.ndarray, "count *shape"]:
        """Returns the numbers of a sentence's words, or of one example after the other.

        Raises:
            UserError: a word is not known, or there are too many.
        """
        sentences = self.examples if condition is None else (condition,)
        return self.encode([sentences[i % len(sentences)] for i in range(count)])

    def encode(self, sentences: Sequence[str]) -> Int[np.ndarray, "count words"]:
        """Returns the numbers of each sentence's words.

        Raises:
            UserError: a word is not known, or there are too many.
        """
        for sentence in sentences:
            if len(sentence.split()) > self.max_length:
                raise UserError(
                    f"a sentence may have {self.max_length} words, not {len(sentence.split())}: "
                    f"{sentence!r}"
                )
        return pad_sequences([self.words.encode(s.split()) for s in sentences], self.max_length)
