"""Captioning: a transduction of pictures into sentences."""

import dataclasses
from collections.abc import Sequence
from difflib import SequenceMatcher
from functools import partial
from typing import TYPE_CHECKING, Literal

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Key, UInt8

from jdl.data.augment import Augmentation, augment_batch
from jdl.tasks.classification import to_float
from jdl.tasks.transduction import Transduction
from jdl.train.metrics import Metrics
from jdl.train.state import AveragedState
from jdl.train.task import Batch

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Pictures = UInt8[np.ndarray, "count height width 3"]


@dataclasses.dataclass(frozen=True, eq=False)
class Captioning(Transduction):
    """A transduction whose "source" are pictures, 8 bits, and whose symbols are words.

    "source_length" says how many regions each has. The sequence error is the share of sentences
    that are not exactly right. What is read at the end of a run is the share that is and the corpus
    BLEU of all sentences, by sacrebleu, of greedy and of beam search.

    Args:
        augment: (key, picture) → picture, for one in [0, 1]; applied to training batches.
        pictures: what the sentences at the end of a run are written of.
        sentences: of people, one for each.

    Source: Papineni et al., 2002, https://aclanthology.org/P02-1040; Post, 2018,
    https://arxiv.org/abs/1804.08771.
    """

    augment: Augmentation | None = None
    pictures: Pictures | None = None
    sentences: Sequence[str] = ()

    def init(self, key: Key[Array, ""], batch: Batch) -> AveragedState:
        """Initialises the network on the batch's shapes."""
        return super().init(key, _as_floats(batch))

    def train_step(
        self, state: AveragedState, batch: Batch, key: Key[Array, ""]
    ) -> tuple[AveragedState, Metrics]:
        """One update on augmented pictures."""
        batch = _as_floats(batch)
        if self.augment is not None:
            key, augment_key = jax.random.split(key)
            pictures = augment_batch(self.augment, augment_key, batch["source"], batch["row"])
            batch = batch | {"source": pictures}
        return super().train_step(state, batch, key)

    def eval_step(self, state: AveragedState, batch: Batch, key: Key[Array, ""]) -> Metrics:
        """The loss, and what greedy search gets wrong."""
        return super().eval_step(state, _as_floats(batch), key)

    def test_step(self, state: AveragedState, batch: Batch, key: Key[Array, ""]) -> Metrics:
        """The same with the best sentence of a beam."""
        return super().test_step(state, _as_floats(batch), key)

    def describe(
        self,
        state: AveragedState,
        pictures: Pictures,
        search: Literal["greedy", "beam"] = "beam",
        rows: int = 50,
    ) -> list[str]:
        """Writes a sentence of each picture.

        Args:
            state: of this task.
            pictures: any number.
            search: of the likeliest word each time, or of the likeliest sentence.
            rows: how many at once.

        Returns:
            The sentences.
        """

        @jax.jit
        def write(variables, pictures):
            lengths = jnp.zeros(len(pictures), jnp.int32)
            if search == "greedy":
                return self._greedy(variables, pictures, lengths)[0]
            return self._beam(variables, pictures, lengths)[0][:, 0]

        found: list[str] = []
        for start in range(0, len(pictures), rows):
            # The last rows again where there are too few, so that one program serves all.
            index = np.minimum(np.arange(start, start + rows), len(pictures) - 1)
            tokens = np.asarray(write(state.average, to_float(jnp.asarray(pictures[index]))))
            found += [self.separator.join(self.target.decode(ids)) for ids in tokens]
        return found[: len(pictures)]

    def texts(self, state: AveragedState, key: Key[Array, ""]) -> dict[str, str]:
        """How good greedy search and the beam are, and every sentence of the beam."""
        if self.pictures is None:
            return {}
        lines = []
        for search in ("greedy", "beam"):
            found = self.describe(state, self.pictures, search)  # type: ignore[arg-type]
            lines.append(f"{search}: {agreement(found, self.sentences)}")
        for sentence, one in zip(self.sentences, found):
            lines.append(f"\npeople: {sentence}\nmodel:  {one}")
        return {"sentences": "\n".join(lines) + "\n"}

    def figures(
        self, state: AveragedState, batch: Batch, key: Key[Array, ""]
    ) -> "dict[str, Figure]":
        """Pictures with their sentences; and where the network looked at each word, if it does."""
        shown = to_float(batch["source"][:12])
        write = jax.jit(partial(self._greedy, state.average))
        tokens, attention = jax.device_get(write(shown, batch["source_length"][:12]))
        pictures = np.asarray(shown)
        truths = [self.target.decode(ids) for ids in np.asarray(batch["target"][:12])]
        found = [self.target.decode(ids) for ids in tokens]
        drawn = {"captions": _captioned(pictures, found, truths)}
        if attention is not None:
            drawn["attention"] = _looked_at(pictures[:4], found[:4], attention[:4])
        return drawn


def agreement(found: Sequence[str], sentences: Sequence[str]) -> str:
    """Says how many sentences are exactly right, and their corpus BLEU with its signature.

    Args:
        found: by a model.
        sentences: what they should be, one for each.

    Returns:
        A line.

    Raises:
        ValueError: there are more of the one than of the other.

    Example:
        >>> agreement(["a red two", "a blue one"], ["a red two", "a red one"]).split(",")[0]
        '50.0% exactly right'
    """
    import sacrebleu

    exact = np.mean([a == b for a, b in zip(found, sentences, strict=True)])
    bleu = sacrebleu.BLEU()
    score = bleu.corpus_score(found, [sentences])
    return f"{exact:.1%} exactly right, {score} ({bleu.get_signature()})"


def _as_floats(batch: Batch) -> Batch:
    return batch | {"source": to_float(batch["source"])}


def _captioned(
    pictures: np.ndarray, found: list[list[str]], truths: list[list[str]], columns: int = 3
) -> "Figure":
    """Draws each picture beside its sentence, in red what is not in the true one's order."""
    from matplotlib.figure import Figure

    rows = -(-len(pictures) // columns)
    figure = Figure(figsize=(4 * columns, 1.5 * rows + 0.4))
    axes = figure.subplots(rows, columns, squeeze=False)
    for ax in axes.flat:
        ax.axis("off")
    for ax, picture, words, truth in zip(axes.flat, pictures, found, truths):
        ax.imshow(picture, extent=(0, 1, 0, 1))
        ax.set(xlim=(0, 2.9), ylim=(0, 1))
        alike = SequenceMatcher(None, words, truth, autojunk=False).get_matching_blocks()
        right = {i for block in alike for i in range(block.a, block.a + block.size)}
        column, line = 0, 0
        for i, word in enumerate(words):
            if column + len(word) > 29:
                column, line = 0, line + 1
            ax.text(1.08 + column * 0.062, 0.9 - 0.17 * line, word, family="monospace", size=9,
                    va="center", color="black" if i in right else "tab:red")  # fmt: skip
            column += len(word) + 1
    figure.suptitle("What the network wrote; words in red are not those of the true sentence")
    figure.tight_layout()
    return figure


def _looked_at(pictures: np.ndarray, found: list[list[str]], attention: np.ndarray) -> "Figure":
    """Draws each picture under the attention of each of its words: what was not seen is dark."""
    from matplotlib.figure import Figure

    columns = max(map(len, found)) + 1
    figure = Figure(figsize=(0.9 * columns, 1.15 * len(pictures) + 0.4))
    axes = figure.subplots(len(pictures), columns, squeeze=False)
    side = int(attention.shape[-1] ** 0.5)
    for row, picture, words, weights in zip(axes, pictures, found, attention):
        for ax in row:
            ax.axis("off")
        row[0].imshow(picture)
        for ax, word, looked in zip(row[1:], words, weights):
            light = (looked / looked.max()).reshape(side, side)
            light = np.kron(light, np.ones((len(picture) // side,) * 2))
            ax.imshow(picture * (0.15 + 0.85 * light[..., None]))
            ax.set_title(word, fontsize=8, pad=2)
    figure.suptitle("Where the network looked as it wrote each word")
    figure.tight_layout()
    return figure
