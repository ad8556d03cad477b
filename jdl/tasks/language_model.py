"""Language modelling: the cross-entropy of the next token, and text drawn from the model."""

import dataclasses
from functools import partial
from typing import TYPE_CHECKING, Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float, Int, Key

from jdl.data.text import BytePairTokenizer, CharacterTokenizer
from jdl.errors import UserError
from jdl.ops.random import piece_key
from jdl.ops.search import sample
from jdl.train.gradients import mean_gradients
from jdl.train.metrics import ExponentialMean, Mean, Metrics, mean
from jdl.train.state import TrainState
from jdl.train.task import Batch

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclasses.dataclass(frozen=True, eq=False)
class LanguageModel:
    """The mean negative log-likelihood of each token given those before it.

        L = −(1/T) Σₜ log p(xₜ₊₁ | x₁ … xₜ)                                         (1)

    in nats per token, and from it

        perplexity = exp L                                                          (2)
        bits per character = L · tokens / (characters · ln 2)                       (3)

    of which only the last can be compared between tokenizers. A batch has "tokens"
    [batch, time + 1] and "token_mask" [batch, time].

    Args:
        model: tokens → logits, with `initial_carry(batch)` and `extend(carry, tokens)`, as
            `jdl.models.sequence.gpt.GPT`; with `max_length`, if it has so many positions only.
        optimizer: an optax transformation.
        tokenizer: between text and tokens.
        sample_length: tokens of a sample.
        temperature: divides the logits when sampling; below 1 it prefers the likely.
        top_k: draw from so many tokens; from all when not given.
        top_p: draw from the likeliest tokens that reach this probability.
        microbatches: pieces into which a training batch is cut, to fit in memory or, on a CPU, to
            be worked on side by side.

    Raises:
        UserError: the tokenizer and the model have vocabularies of different sizes; or options of
            sampling that leave nothing to draw from.
    """

    model: nn.Module
    optimizer: optax.GradientTransformation
    tokenizer: CharacterTokenizer | BytePairTokenizer
    sample_length: int = 500
    temperature: float = 0.8
    top_k: int | None = None
    top_p: float | None = None
    microbatches: int = 1

    def __post_init__(self):
        theirs, ours = self.tokenizer.vocabulary_size, getattr(self.model, "vocabulary_size", None)
        if ours != theirs:
            raise UserError(f"the tokenizer has {theirs} tokens, but the model {ours}")
        if self.temperature <= 0:
            raise UserError(f"the temperature must be positive, not {self.temperature}")
        if self.top_k is not None and self.top_k < 1:
            raise UserError(f"top_k must be at least 1, not {self.top_k}")
        if self.top_p is not None and not 0 < self.top_p <= 1:
            raise UserError(f"top_p must lie in (0, 1], not {self.top_p}")

    def init(self, key: Key[Array, ""], batch: Batch) -> TrainState:
        """Initialises the network on the batch's shapes."""
        variables = self.model.init(key, batch["tokens"][:, :-1])
        return TrainState.create(variables, self.optimizer)

    def train_step(
        self, state: TrainState, batch: Batch, key: Key[Array, ""]
    ) -> tuple[TrainState, Metrics]:
        """One update, back-propagated through the whole window."""
        gradients, _, metrics = mean_gradients(
            self._loss, state.params, state.model_state, batch, key, self.microbatches
        )
        return state.apply(gradients, self.optimizer), metrics

    def _loss(self, params, model_state, batch: Batch, key: Key[Array, ""]):
        loss = mean(
            self._token_losses(
                {"params": params},
                batch,
                train=True,
                rngs={"dropout": piece_key(key, batch["row"])},
            ),
            batch["token_mask"] * batch["mask"][:, None],
        )
        return loss, (model_state, {"loss": loss})

    def _token_losses(
        self, variables: Any, batch: Batch, **apply: Any
    ) -> Float[Array, "batch time"]:
        tokens = batch["tokens"]
        logits = self.model.apply(variables, tokens[:, :-1], **apply)
        return optax.softmax_cross_entropy_with_integer_labels(
            logits.astype(jnp.float32), tokens[:, 1:]
        )

    def eval_step(self, state: TrainState, batch: Batch, key: Key[Array, ""]) -> Metrics:
        """Equations (1) to (3); every window begins with an empty memory."""
        losses = self._token_losses(state.variables, batch)
        mask = batch["token_mask"] * batch["mask"][:, None]
        loss = mean(losses, mask)
        lengths = jnp.asarray(self.tokenizer.token_lengths)[batch["tokens"][:, 1:]]
        return {
            "loss": loss,
            "perplexity": ExponentialMean(*loss),
            "bits_per_character": Mean(loss.total / np.log(2), (lengths * mask).sum()),
        }

    @partial(jax.jit, static_argnums=(0, 4))
    def _continue(
        self, state: TrainState, key: Key[Array, ""], text: Int[Array, "batch time"], length: int
    ) -> Int[Array, "batch {length}"]:
        """Draws the next tokens."""

        def extend(carry, tokens):
            return self.model.apply(state.variables, carry, tokens, method="extend")

        def step(carry, tokens):
            logits, carry = extend(carry, tokens[:, None])
            return logits[:, 0], carry

        carry = self.model.initial_carry(text.shape[0])
        if text.shape[1] > 1:
            _, carry = extend(carry, text[:, :-1])
        return sample(
            step,
            carry,
            text[:, -1],
            key,
            length=length,
            temperature=self.temperature,
            top_k=self.top_k,
            top_p=self.top_p,
        )

    def sample(self, state: TrainState, key: Key[Array, ""], num_samples: int) -> list[str]:
        """Draws texts, one token after the other, beginning after a line break.

        When a model's positions are full, it goes on from the later half of what it has written.

        Args:
            state: of this task.
            key: for the draws.
            num_samples: how many texts.

        Returns:
            Texts of `sample_length` tokens.
        """
        room = getattr(self.model, "max_length", self.sample_length)
        text = jnp.full((num_samples, 1), self.tokenizer.encode("\n")[0], jnp.int32)
        while text.shape[1] <= self.sample_length:
            context = text if text.shape[1] < room else text[:, -(room // 2) :]
            key, draws = jax.random.split(key)
            # The last of the context is read by the first step.
            more = self._continue(state, draws, context, room + 1 - context.shape[1])
            text = jnp.concatenate([text, more], axis=1)
        return [
            self.tokenizer.decode(row) for row in np.asarray(text[:, 1 : self.sample_length + 1])
        ]

    def texts(self, state: TrainState, key: Key[Array, ""]) -> dict[str, str]:
        """One sample."""
        return {"sample": self.sample(state, key, 1)[0]}

    def figures(self, state: TrainState, batch: Batch, key: Key[Array, ""]) -> "dict[str, Figure]":
        """A passage, each character coloured by how much its token surprised the model."""
        from matplotlib import colormaps
        from matplotlib.figure import Figure

        losses = np.asarray(
            self._token_losses(state.variables, jax.tree.map(lambda x: x[:1], batch))
        )
        pieces = [self.tokenizer.decode([token]) for token in np.asarray(batch["tokens"][0, 1:])]
        lines: list[list[tuple[str, float]]] = [[]]
        for character, loss in ((c, loss) for p, loss in zip(pieces, losses[0]) for c in p):
            if character == "\n" or len(lines[-1]) == 72:
                lines.append([])
            if character != "\n":
                lines[-1].append((character, loss))
        lines = lines[:16]
        figure = Figure(figsize=(9, 0.28 * len(lines) + 0.7))
        axes = figure.add_axes((0.01, 0.0, 0.98, 0.88))
        axes.axis("off")
        axes.set(xlim=(0, 72), ylim=(len(lines), 0))
        for y, line in enumerate(lines):
            for x, (character, loss) in enumerate(line):
                colour = colormaps["OrRd"](min(loss / 5, 1.0) * 0.8)
                axes.add_patch(_cell(x, y, colour))
                axes.text(x + 0.5, y + 0.52, character, family="monospace", size=9,
                          ha="center", va="center")  # fmt: skip
        figure.suptitle(
            f"Surprise: white was expected, red was not (mean {losses.mean():.2f} nats/token)",
            fontsize=10,
        )
        return {"surprise": figure}


def _cell(x: int, y: int, colour: Any) -> Any:
    from matplotlib.patches import Rectangle

    return Rectangle((x, y), 1, 1, color=colour, linewidth=0)
