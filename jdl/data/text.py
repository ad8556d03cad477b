"""Characters, and frequent sequences of them, as integers; windows of a text as batches."""

import functools
from collections.abc import Iterator

import numpy as np
from numpy.typing import ArrayLike

from jdl.data.loaders import Batch, StepIterator, check_batch_size
from jdl.errors import UserError


class CharacterTokenizer:
    """A character's id is its place among the sorted distinct characters of the training text.

    Args:
        characters: the vocabulary; sorted and made distinct here.

    Example:
        >>> tokenizer = CharacterTokenizer("hello world")
        >>> tokenizer.encode("hello")
        array([3, 2, 4, 4, 5], dtype=int32)
        >>> tokenizer.decode(tokenizer.encode("hello")), tokenizer.vocabulary_size
        ('hello', 8)
    """

    def __init__(self, characters: str):
        self.characters = "".join(sorted(set(characters)))
        if not self.characters:
            raise UserError("a tokenizer needs a text with at least one character")
        self._codes = _code_points(self.characters)
        self._ids = np.full(self._codes[-1] + 2, -1, np.int32)
        self._ids[self._codes] = np.arange(len(self._codes))

    @property
    def vocabulary_size(self) -> int:
        """Number of distinct characters."""
        return len(self.characters)

    def encode(self, text: str, unknown_id: int | None = None) -> np.ndarray:
        """Returns the ids of a text, int32 [characters].

        Args:
            text: to be encoded.
            unknown_id: the id of characters outside the vocabulary; None refuses them.

        Raises:
            UserError: a character is not in the vocabulary.
        """
        # Codes beyond the table share its last entry, which is always -1.
        ids = self._ids[np.minimum(_code_points(text), len(self._ids) - 1)]
        unknown = ids < 0
        if unknown.any():
            if unknown_id is None:
                first = int(np.argmax(unknown))
                raise UserError(
                    f"character {text[first]!r} at position {first} is not among the "
                    f"{self.vocabulary_size} of the vocabulary ({unknown.sum()} unknown in all)"
                )
            ids[unknown] = unknown_id
        return ids

    def decode(self, ids: ArrayLike) -> str:
        """Returns the text of ids, integers [characters].

        Raises:
            UserError: an id is outside the vocabulary.
        """
        ids = np.asarray(ids, np.int64)
        _check_ids(ids, self.vocabulary_size)
        return self._codes[ids].tobytes().decode("utf-32-le", "surrogatepass")

    @property
    def token_lengths(self) -> np.ndarray:
        """Characters in each token: one, int32 [vocabulary]."""
        return np.ones(self.vocabulary_size, np.int32)

    def to_dict(self) -> dict[str, str]:
        """Returns what JSON can keep."""
        return {"characters": self.characters}

    @classmethod
    def from_dict(cls, state: dict[str, str]) -> "CharacterTokenizer":
        """Returns the tokenizer that `to_dict` wrote."""
        return cls(state["characters"])


class BytePairTokenizer:
    """Byte-pair encoding: the most frequent pair of neighbours becomes a token, again and again.

    It begins from the 256 bytes, so that no character is unknown, and merges within words only
    (GPT-2's rules). The work is done by Hugging Face's `tokenizers`.

    Args:
        text: to learn the merges from: of the training split only.
        vocabulary_size: tokens to have at most; at least the 256 bytes.

    Raises:
        UserError: an empty text, or fewer tokens than bytes.

    Example:
        >>> tokenizer = BytePairTokenizer("low lower lowest " * 9, vocabulary_size=260)
        >>> ids = tokenizer.encode("slow")
        >>> [tokenizer.decode([i]) for i in ids], tokenizer.decode(ids)
        (['s', 'low'], 'slow')
        >>> tokenizer.token_lengths[ids]
        array([1, 3], dtype=int32)

    Source: Sennrich et al., 2016, https://arxiv.org/abs/1508.07909; on bytes: Radford et al., 2019,
    section 2.2.
    """

    def __init__(self, text: str, vocabulary_size: int):
        from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

        if not text:
            raise UserError("a tokenizer needs a text with at least one character")
        if vocabulary_size < 256:
            raise UserError(f"a vocabulary of {vocabulary_size} has no room for the 256 bytes")
        self.tokenizer = Tokenizer(models.BPE())
        self.tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
        self.tokenizer.decoder = decoders.ByteLevel()
        trainer = trainers.BpeTrainer(
            vocab_size=vocabulary_size,
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
            show_progress=False,
        )
        self.tokenizer.train_from_iterator([text], trainer)

    @property
    def vocabulary_size(self) -> int:
        """Number of tokens."""
        return self.tokenizer.get_vocab_size()

    @property
    def token_lengths(self) -> np.ndarray:
        """Characters that begin in each token, int32 [vocabulary]; a text's add up to its own."""
        inner = _letters_of_inner_bytes()
        tokens = (self.tokenizer.id_to_token(i) or "" for i in range(self.vocabulary_size))
        return np.array([sum(c not in inner for c in token) for token in tokens], np.int32)

    def encode(self, text: str) -> np.ndarray:
        """Returns the ids of a text, int32 [tokens]."""
        return np.array(self.tokenizer.encode(text).ids, np.int32)

    def decode(self, ids: ArrayLike) -> str:
        """Returns the text of ids, integers [tokens]; bytes that are no character become `�`.

        Raises:
            UserError: an id is outside the vocabulary.
        """
        ids = np.asarray(ids, np.int64)
        _check_ids(ids, self.vocabulary_size)
        return self.tokenizer.decode(ids.tolist(), skip_special_tokens=False)

    def to_dict(self) -> dict[str, str]:
        """Returns what JSON can keep."""
        return {"tokenizer": self.tokenizer.to_str()}

    @classmethod
    def from_dict(cls, state: dict[str, str]) -> "BytePairTokenizer":
        """Returns the tokenizer that `to_dict` wrote."""
        from tokenizers import Tokenizer

        made = cls.__new__(cls)
        made.tokenizer = Tokenizer.from_str(state["tokenizer"])
        return made


def _letters_of_inner_bytes() -> set[str]:
    """Returns the letters that stand for the bytes 0x80 to 0xBF, with which no character begins.

    GPT-2 writes printable bytes as themselves, and the others, in order, from letter 256 on.
    """
    printable = {*range(33, 127), *range(161, 173), *range(174, 256)}
    others = [byte for byte in range(256) if byte not in printable]
    inner = range(0x80, 0xC0)
    return {chr(b) if b in printable else chr(256 + others.index(b)) for b in inner}


def _check_ids(ids: np.ndarray, vocabulary_size: int) -> None:
    if len(ids) and (ids.min() < 0 or ids.max() >= vocabulary_size):
        raise UserError(f"ids must lie in 0..{vocabulary_size - 1}")


def _code_points(text: str) -> np.ndarray:
    return np.frombuffer(text.encode("utf-32-le", "surrogatepass"), "<u4")


class TokenWindowLoader:
    """Windows of a token sequence, for language models.

    A batch holds "tokens" int32 [b, window + 1] (inputs `[:, :-1]`, targets `[:, 1:]`),
    "token_mask" float32 [b, window] over the targets, "mask" and "row". Training windows start at
    random offsets, a pure function of (seed, step). Evaluation windows overlap by one token, so
    that every token but the first is a target exactly once; the last is padded with token 0.

    Args:
        tokens: the text, integers [n].
        window: targets in a window.
        batch_size: windows in a global batch.
        seed: of the offsets.

    Raises:
        UserError: the text is shorter than one window.

    Example:
        >>> loader = TokenWindowLoader(np.arange(10), window=4, batch_size=2)
        >>> for batch in loader.eval_batches():
        ...     print(batch["tokens"].tolist(), batch["token_mask"].sum())
        [[0, 1, 2, 3, 4], [4, 5, 6, 7, 8]] 8.0
        [[8, 9, 0, 0, 0], [0, 0, 0, 0, 0]] 1.0
    """

    def __init__(self, tokens: ArrayLike, window: int, batch_size: int, *, seed: int = 0):
        self.tokens = np.asarray(tokens, np.int32)
        if len(self.tokens) < window + 1:
            raise UserError(
                f"a text of {len(self.tokens)} tokens is too short for a window of {window} "
                f"(it takes {window + 1})"
            )
        self.window = window
        self.batch_size = batch_size
        self.seed = seed
        self.num_examples = -(-(len(self.tokens) - 1) // window)
        check_batch_size(batch_size, None)
        self.steps_per_epoch = max(1, self.num_examples // batch_size)

    def batch(self, step: int, rows: slice = slice(None)) -> Batch:
        """Returns the given rows of the training batch of a step."""
        random = np.random.Generator(np.random.Philox(key=[self.seed, step]))
        start = random.integers(0, len(self.tokens) - self.window, self.batch_size)[rows]
        row = np.arange(self.batch_size, dtype=np.int32)[rows]
        return self._gather(start, row)

    def train_batches(self, start_step: int = 0, rows: slice = slice(None)) -> StepIterator:
        """Returns the endless training batches from a step on."""
        return StepIterator(functools.partial(self.batch, rows=rows), start_step)

    def eval_batches(self, rows: slice = slice(None)) -> Iterator[Batch]:
        """Yields windows that cover the text once, in order."""
        row = np.arange(self.batch_size, dtype=np.int32)[rows]
        for first in range(0, self.num_examples, self.batch_size):
            yield self._gather((first + row) * self.window, row)

    def _gather(self, start: np.ndarray, row: np.ndarray) -> Batch:
        place = start[:, None] + np.arange(self.window + 1)[None, :]
        inside = place < len(self.tokens)
        return {
            "tokens": np.where(inside, self.tokens[np.where(inside, place, 0)], 0),
            "token_mask": inside[:, 1:].astype(np.float32),
            "mask": inside[:, 1].astype(np.float32),
            "row": row,
        }
