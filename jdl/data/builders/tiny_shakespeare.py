"""Tiny Shakespeare, under TFDS's name and with TFDS's splits, from a local copy or the network."""

import os
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import tensorflow_datasets as tfds

from jdl.data.builders.embedded import EmbeddedBuilder
from jdl.errors import UserError

URL = "https://raw.githubusercontent.com/karpathy/char-rnn/master/data/tinyshakespeare/input.txt"


class TinyShakespeare(EmbeddedBuilder):
    """40,000 lines of Shakespeare's plays, 1,115,394 characters, one text per split.

    The text of Karpathy's "The Unreasonable Effectiveness of Recurrent Neural Networks": the first
    90 % of its characters are train, the next 5 % validation, the rest test, as in TFDS.
    """

    name = "tiny_shakespeare"
    SPLITS = {"train": 1, "validation": 1, "test": 1}  # noqa: RUF012
    TAKES_SOURCE = True
    HOMEPAGE = "https://github.com/karpathy/char-rnn"
    LICENSE = "The plays are in the public domain."
    CITATION = """@misc{karpathy2015charrnn, title={char-rnn}, author={Karpathy, Andrej},
  howpublished={\\url{https://github.com/karpathy/char-rnn}}, year={2015}}"""

    def features(self) -> tfds.features.FeaturesDict:
        """Returns the features: text, the whole of the split."""
        return tfds.features.FeaturesDict({"text": tfds.features.Text()})

    def examples(self, split: str) -> Iterator[dict[str, Any]]:
        """Yields the one text of a split."""
        yield {"text": split_text(read_text(self.source))[split]}


def split_text(text: str) -> dict[str, str]:
    """Cuts a text as TFDS does: 90 % train, half of the rest validation, the other half test.

    Example:
        >>> {name: len(part) for name, part in split_text("x" * 101).items()}
        {'train': 90, 'validation': 5, 'test': 6}
    """
    train, rest = text[: int(len(text) * 0.9)], text[int(len(text) * 0.9) :]
    half = int(len(rest) * 0.5)
    return {"train": train, "validation": rest[:half], "test": rest[half:]}


def read_text(source: str | None) -> str:
    """Reads the text from a file, else from $JDL_TINY_SHAKESPEARE, else from TFDS's address.

    Raises:
        UserError: the file cannot be read as text, or there is neither a file nor a network.
    """
    path = source or os.environ.get("JDL_TINY_SHAKESPEARE")
    if path:
        try:
            text = Path(path).read_bytes().decode("utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise UserError(f"cannot read Tiny Shakespeare from {path}: {error}") from None
        if len(text) < 20:
            raise UserError(f"{path} is too short to be Tiny Shakespeare: {len(text)} characters")
        return text
    try:
        with urllib.request.urlopen(URL, timeout=20) as response:
            return response.read().decode("utf-8")
    except OSError as error:
        raise UserError(
            f"tiny_shakespeare could not be fetched from {URL} ({error}); with a local copy: "
            "jdl data prepare tiny_shakespeare --source FILE, or set JDL_TINY_SHAKESPEARE to FILE"
        ) from None
