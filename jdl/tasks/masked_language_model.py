"""BERT's pretraining: name the words that are hidden, and say whether a sentence follows."""

import dataclasses
from functools import partial
from typing import TYPE_CHECKING, Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Int, Key

from jdl.data.masking import MaskedTokens, mask_tokens
from jdl.data.sentence_pairs import CLS, MASK, PAD, SEP
from jdl.ops.random import piece_key
from jdl.train.gradients import mean_gradients
from jdl.train.metrics import Metrics, mean
from jdl.train.state import TrainState
from jdl.train.task import Batch

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from tokenizers import Tokenizer


@dataclasses.dataclass(frozen=True, eq=False)
class MaskedLanguageModel:
    """Masked words and next sentences, whose losses are added.

        L = −(1/B) Σᵢ [ (1/mᵢ) Σₖ log p(wᵢₖ | textᵢ) + log p(labelᵢ | textᵢ) ]      (1)

    over the mᵢ words of text i that `mask_tokens` chooses, anew at each step. A batch has what
    `sentence_pairs` makes: "tokens", "token_types", "label".

    Metrics: "loss" (1); "word_loss", in nats per hidden word; "word_accuracy" and
    "pair_accuracy", the shares that are right; and, beside them, what two tables of frequencies
    reach on the same hidden words: "unigram_accuracy" and "bigram_accuracy".

    Args:
        model: (tokens, mask, token_types, positions) → word logits, pair logits.
        optimizer: an optax transformation.
        tokenizer: with the special tokens of `train_wordpiece`.
        guesses: places for hidden words in a text.
        most_frequent_next: the bigram's guess after each token, and the unigram's after [MASK].

    Source: Devlin et al., 2019, https://arxiv.org/abs/1810.04805, section 3.1 and appendix A.2.
    """

    model: nn.Module
    optimizer: optax.GradientTransformation
    tokenizer: "Tokenizer"
    guesses: int
    most_frequent_next: Int[np.ndarray, " vocabulary"]

    def init(self, key: Key[Array, ""], batch: Batch) -> TrainState:
        """Initialises the network on the batch's shapes."""
        return TrainState.create(self.model.init(key, batch["tokens"]), self.optimizer)

    def train_step(
        self, state: TrainState, batch: Batch, key: Key[Array, ""]
    ) -> tuple[TrainState, Metrics]:
        """One update."""
        gradients, _, metrics = mean_gradients(
            self._loss, state.params, state.model_state, batch, key
        )
        return state.apply(gradients, self.optimizer), metrics

    def _loss(self, params, model_state, batch: Batch, key: Key[Array, ""]):
        mask_key, dropout_key = jax.random.split(key)
        masked = self.mask(batch, mask_key)
        metrics = self._measure(
            {"params": params},
            batch,
            masked,
            train=True,
            rngs={"dropout": piece_key(dropout_key, batch["row"])},
        )
        return metrics["loss"], (model_state, metrics)

    def mask(self, batch: Batch, key: Key[Array, ""]) -> MaskedTokens:
        """Hides words of a batch's texts; [CLS], [SEP] and padding are never chosen."""
        tokens = batch["tokens"]
        special = jnp.array([PAD, CLS, SEP])
        return mask_tokens(
            key,
            tokens,
            (tokens[:, :, None] != special[None, None]).all(-1),
            batch["row"],
            mask_id=MASK,
            vocabulary_size=self.tokenizer.get_vocab_size(),
            guesses=self.guesses,
        )

    def _answers(self, variables: Any, batch: Batch, masked: MaskedTokens, **apply: Any) -> Any:
        texts = masked.tokens, batch["tokens"] != PAD, batch["token_types"], masked.positions
        return self.model.apply(variables, *texts, **apply)

    def _measure(self, variables: Any, batch: Batch, masked: MaskedTokens, **apply: Any) -> Metrics:
        answers = self._answers(variables, batch, masked, **apply)
        words, pairs = (logits.astype(jnp.float32) for logits in answers)
        cross_entropy = optax.softmax_cross_entropy_with_integer_labels
        word_losses = cross_entropy(words, masked.targets)
        pair_losses = cross_entropy(pairs, batch["label"])
        weights = masked.weights * batch["mask"][:, None]
        share = masked.weights / jnp.maximum(masked.weights.sum(1, keepdims=True), 1.0)

        table = jnp.asarray(self.most_frequent_next)
        # No word that is hidden is the first token, which is [CLS].
        before = jnp.take_along_axis(masked.tokens, masked.positions - 1, axis=1)
        return {
            "loss": mean((word_losses * share).sum(1) + pair_losses, batch["mask"]),
            "word_loss": mean(word_losses, weights),
            "word_accuracy": mean(words.argmax(-1) == masked.targets, weights),
            "unigram_accuracy": mean(table[MASK] == masked.targets, weights),
            "bigram_accuracy": mean(table[before] == masked.targets, weights),
            "pair_accuracy": mean(pairs.argmax(-1) == batch["label"], batch["mask"]),
        }

    def eval_step(self, state: TrainState, batch: Batch, key: Key[Array, ""]) -> Metrics:
        """The same, without dropout; the same words are hidden at each evaluation."""
        return self._measure(state.variables, batch, self.mask(batch, key))

    def figures(self, state: TrainState, batch: Batch, key: Key[Array, ""]) -> "dict[str, Figure]":
        """Hidden words with what the network guessed, and where each head looks in one text."""
        from jdl.tasks.drawing import image_grid

        batch = jax.tree.map(lambda x: x[:8], batch)
        masked = self.mask(batch, key)
        answer = jax.jit(partial(self._answers, mutable="intermediates"))
        (words, pairs), sown = jax.device_get(answer(state.variables, batch, masked))
        passages = []
        for i, tokens in enumerate(np.asarray(batch["tokens"])):
            chosen = np.asarray(masked.weights[i]) > 0
            hidden = np.asarray(masked.positions[i])[chosen]
            guessed = dict(zip(hidden.tolist(), words[i].argmax(-1)[chosen].tolist()))
            passages.append(self._passage(tokens[tokens != PAD], guessed))
            right = pairs[i].argmax() == batch["label"][i]
            truth = ("follows", "does not follow")[int(batch["label"][i])]
            passages[-1].append((f"({truth})", "tab:green" if right else "tab:red"))
        length = int((batch["tokens"][0] != PAD).sum())
        weights = np.concatenate(
            [
                layer["attention"]["weights"][0][0, :, :length, :length]
                for name, layer in sown["intermediates"]["bert"].items()
                if name.startswith("encoder.layer.")
            ]
        )
        heads = self.model.num_heads  # type: ignore[attr-defined]
        return {
            "hidden_words": _written(passages),
            "attention": image_grid(
                (weights / weights.max((1, 2), keepdims=True))[..., None],
                columns=heads,
                titles=[f"{i // heads + 1}.{i % heads + 1}" for i in range(len(weights))],
                title="Where each layer's heads look: a row for each token of the first text",
            ),
        }

    def _passage(self, tokens: np.ndarray, guessed: dict[int, int]) -> list[tuple[str, str]]:
        """Words of a text with their colours: black, or green and red where one was hidden."""

        def name(token: int) -> str:
            return self.tokenizer.id_to_token(token) or "[UNK]"

        words = []
        for place, token in enumerate(tokens.tolist()):
            if place not in guessed:
                words.append((name(token), "black"))
            elif guessed[place] == token:
                words.append((name(token), "tab:green"))
            else:
                words.append((f"{name(token)}←{name(guessed[place])}", "tab:red"))
        return words


def _written(passages: list[list[tuple[str, str]]]) -> "Figure":
    """Writes coloured words, as many to a line as fit into 100 characters."""
    from matplotlib.figure import Figure

    placed, line = [], 0
    for passage in passages:
        column = 0
        for word, colour in passage:
            if column + len(word) > 100:
                column, line = 0, line + 1
            placed.append((column, line, word, colour))
            column += len(word) + 1
        line += 2
    figure = Figure(figsize=(10.5, 0.2 * line + 0.5))
    axes = figure.add_axes((0.01, 0.0, 0.98, 1 - 0.4 / (0.2 * line + 0.5)))
    axes.axis("off")
    axes.set(xlim=(0, 104), ylim=(line, 0))
    for column, row, word, colour in placed:
        axes.text(column, row + 0.5, word, color=colour, family="monospace", size=8, va="center")
    figure.suptitle("Hidden words: green was guessed, red was not (truth←guess)", fontsize=10)
    return figure
