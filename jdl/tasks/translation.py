"""Translation: a transduction of sentences, judged by BLEU."""

import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING

import jax
import numpy as np
import sacrebleu
from jaxtyping import Array, Key

from jdl.data.pieces import Pieces
from jdl.data.sequences import pad_sequences
from jdl.errors import UserError
from jdl.tasks.transduction import Transduction
from jdl.train.state import AveragedState
from jdl.train.task import Batch

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclasses.dataclass(frozen=True, eq=False)
class Translation(Transduction):
    """A transduction of texts in pieces.

    What is read at the end of a run is the whole of `sentences` as the beam translates them, and
    the corpus BLEU of it as sacrebleu computes it (13a, mixed case).

    Args:
        source: the source's pieces.
        target: the target's, which may be the same.
        sentences: texts, and their translations by people.

    Source: Papineni et al., 2002, https://aclanthology.org/P02-1040; Post, 2018,
    https://arxiv.org/abs/1804.08771.
    """

    source: Pieces
    target: Pieces
    sentences: Sequence[tuple[str, str]] = ()

    def translate(self, state: AveragedState, texts: Sequence[str], rows: int = 64) -> list[str]:
        """Translates texts.

        Args:
            state: of this task.
            texts: none of them empty.
            rows: how many at once.

        Returns:
            Of each, the best sentence of the beam.

        Raises:
            UserError: a text is empty.
        """
        encoded = [self.source.encode(text) for text in texts]
        if not all(len(ids) for ids in encoded):
            raise UserError("there is nothing to translate in an empty text")
        source = pad_sequences(encoded)
        length = np.array([len(ids) for ids in encoded], np.int32)
        search = jax.jit(self._beam)
        found: list[np.ndarray] = []
        for start in range(0, len(texts), rows):
            # The last rows again where there are too few, so that one program serves all.
            index = np.minimum(np.arange(start, start + rows), len(texts) - 1)
            tokens, _ = search(state.average, source[index], length[index])
            found.extend(np.asarray(tokens[:, 0]))
        return [self.target.text(ids) for ids in found[: len(texts)]]

    def figures(
        self, state: AveragedState, batch: Batch, key: Key[Array, ""]
    ) -> "dict[str, Figure]":
        """Where the decoder looked as it wrote each piece of four short sentences."""
        from jdl.tasks.drawing import alignment_figure

        rows = np.argsort(np.asarray(batch["source_length"]), kind="stable")[:4]
        source, length = batch["source"][rows], batch["source_length"][rows]
        tokens, attention = map(np.asarray, jax.jit(self._greedy)(state.average, source, length))
        examples = [
            (_drawable(self.source.decode(ids)), self.target.decode(written), weights)
            for ids, written, weights in zip(np.asarray(source), tokens, attention)
        ]
        return {"alignments": alignment_figure(examples, columns=2)}

    def texts(self, state: AveragedState, key: Key[Array, ""]) -> dict[str, str]:
        """The sentences' BLEU, and each with its two translations."""
        sources, references = zip(*self.sentences)
        found = self.translate(state, sources)
        metric = sacrebleu.BLEU()
        score = metric.corpus_score(found, [references])
        shown = (
            f"\n{source}\n  people: {reference}\n  model:  {translation}\n"
            for source, reference, translation in zip(sources, references, found)
        )
        return {"translations": f"{score}\n{metric.get_signature()}\n{''.join(shown)}"}


def _drawable(pieces: Sequence[str]) -> list[str]:
    """Returns pieces as they are, or their numbers where the font has not all of their letters."""
    from matplotlib.font_manager import FontProperties, findfont, get_font

    font = get_font(findfont(FontProperties()))
    if all(font.get_char_index(ord(letter)) for letter in "".join(pieces)):
        return list(pieces)
    return [str(i) for i in range(1, len(pieces) + 1)]
