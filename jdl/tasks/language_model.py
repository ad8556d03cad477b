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

from jdl.data.text import CharacterTokenizer
from jdl.ops.random import piece_key
from jdl.train.gradients import mean_gradients
from jdl.train.metrics import Metrics, mean
from jdl.train.state import TrainState
from jdl.train.task import Batch

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclasses.dataclass(frozen=True, eq=False)
class LanguageModel:
    """The mean negative log-likelihood of each token given those before it.

        L = −(1/T) Σₜ log p(xₜ₊₁ | x₁ … xₜ)                                         (1)

    in nats per token. A batch has "tokens" [batch, time + 1] and "token_mask" [batch, time].

    Args:
        model: (tokens, carry) → (logits, carry), with `initial_carry(batch)`, as a recurrent
            network has.
        optimizer: an optax transformation.
        tokenizer: between text and tokens.
        sample_length: characters of a sample.
        temperature: divides the logits when sampling; below 1 it prefers the likely.
    """

    model: nn.Module
    optimizer: optax.GradientTransformation
    tokenizer: CharacterTokenizer
    sample_length: int = 500
    temperature: float = 0.8

    def init(self, key: Key[Array, ""], batch: Batch) -> TrainState:
        """Initialises the network on the batch's shapes."""
        variables = self.model.init(key, batch["tokens"][:, :-1])
        return TrainState.create(variables, self.optimizer)

    def train_step(
        self, state: TrainState, batch: Batch, key: Key[Array, ""]
    ) -> tuple[TrainState, Metrics]:
        """One update, back-propagated through the whole window."""
        gradients, _, metrics = mean_gradients(
            self._loss, state.params, state.model_state, batch, key
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
        logits, _ = self.model.apply(variables, tokens[:, :-1], **apply)
        return optax.softmax_cross_entropy_with_integer_labels(
            logits.astype(jnp.float32), tokens[:, 1:]
        )

    def eval_step(self, state: TrainState, batch: Batch, key: Key[Array, ""]) -> Metrics:
        """Nats and bits per token; every window begins with an empty memory."""
        losses = self._token_losses(state.variables, batch)
        mask = batch["token_mask"] * batch["mask"][:, None]
        return {"loss": mean(losses, mask), "bits_per_token": mean(losses / np.log(2), mask)}

    @partial(jax.jit, static_argnums=(0, 3, 4))
    def _generate(
        self, state: TrainState, key: Key[Array, ""], num_samples: int, length: int
    ) -> Int[Array, "num_samples length"]:
        def step(carry, key):
            memory, token = carry
            logits, memory = self.model.apply(state.variables, token[:, None], memory)
            token = jax.random.categorical(key, logits[:, -1] / self.temperature)
            return (memory, token), token

        newline = jnp.full((num_samples,), self.tokenizer.encode("\n")[0], jnp.int32)
        memory = self.model.initial_carry(num_samples)
        _, tokens = jax.lax.scan(step, (memory, newline), jax.random.split(key, length))
        return tokens.T

    def sample(self, state: TrainState, key: Key[Array, ""], num_samples: int) -> list[str]:
        """Draws texts, one token after the other, beginning after a line break.

        Args:
            state: of this task.
            key: for the draws.
            num_samples: how many texts.

        Returns:
            Texts of `sample_length` characters.
        """
        tokens = self._generate(state, key, num_samples, self.sample_length)
        return [self.tokenizer.decode(row) for row in np.asarray(tokens)]

    def texts(self, state: TrainState, key: Key[Array, ""]) -> dict[str, str]:
        """One sample."""
        return {"sample": self.sample(state, key, 1)[0]}

    def figures(self, state: TrainState, batch: Batch, key: Key[Array, ""]) -> "dict[str, Figure]":
        """A passage, each character coloured by how much it surprised the model."""
        from matplotlib import colormaps
        from matplotlib.figure import Figure

        losses = np.asarray(
            self._token_losses(state.variables, jax.tree.map(lambda x: x[:1], batch))
        )
        text = self.tokenizer.decode(np.asarray(batch["tokens"][0, 1:]))
        lines: list[list[tuple[str, float]]] = [[]]
        for character, loss in zip(text, losses[0]):
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
            f"Surprise: white was expected, red was not (mean {losses.mean():.2f} nats/character)",
            fontsize=10,
        )
        return {"surprise": figure}


def _cell(x: int, y: int, colour: Any) -> Any:
    from matplotlib.patches import Rectangle

    return Rectangle((x, y), 1, 1, color=colour, linewidth=0)
