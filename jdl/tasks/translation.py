"""Translation: a transduction of sentences, judged by BLEU."""

import dataclasses
from collections.abc import Sequence

import jax
import numpy as np
from jaxtyping import Array, Key

from jdl.data.pieces import Pieces
from jdl.data.sequences import pad_sequences
from jdl.errors import UserError
from jdl.tasks.transduction import Transduction
from jdl.train.state import AveragedState


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
        found = []
        for start in range(0, len(texts), rows):
            # The last rows again where there are too few, so that one program serves all.
            index = np.minimum(np.arange(start, start + rows), len(texts) - 1)
            tokens, _ = search(state.average, source[index], length[index])
            found.extend(np.asarray(tokens[:, 0]))
        return [self.target.text(ids) for ids in found[: len(texts)]]

    def texts(self, state: AveragedState, key: Key[Array, ""]) -> dict[str, str]:
        """The sentences' BLEU, and each with its two translations."""
        import sacrebleu

        sources, references = zip(*self.sentences)
        found = self.translate(state, sources)
        metric = sacrebleu.BLEU()
        score = metric.corpus_score(found, [references])
        shown = (
            f"\n{source}\n  people: {reference}\n  model:  {translation}\n"
            for source, reference, translation in zip(sources, references, found)
        )
        return {"translations": f"{score}\n{metric.get_signature()}\n{''.join(shown)}"}
