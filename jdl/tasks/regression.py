"""Regression: the squared error of what is answered after a signal's last steps."""

import dataclasses
from functools import partial
from typing import TYPE_CHECKING

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float, Key, PyTree

from jdl.ops.random import piece_key
from jdl.train.gradients import mean_gradients
from jdl.train.metrics import Metrics, mean
from jdl.train.state import TrainState
from jdl.train.task import Batch

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclasses.dataclass(frozen=True, eq=False)
class Regression:
    """The mean squared error of a network that reads signals.

        L = mean (f(x)_t − y_t)² over the last s steps t                            (1)

    A batch has "inputs" x [batch, time, channels] and "target" y [batch, s, outputs].

    Args:
        model: signals → answers [batch, time, outputs], each from the steps so far.
        optimizer: an optax transformation.
    """

    model: nn.Module
    optimizer: optax.GradientTransformation

    def init(self, key: Key[Array, ""], batch: Batch) -> TrainState:
        """Initialises the network on the batch's shapes."""
        return TrainState.create(self.model.init(key, batch["inputs"]), self.optimizer)

    def train_step(
        self, state: TrainState, batch: Batch, key: Key[Array, ""]
    ) -> tuple[TrainState, Metrics]:
        """One update."""
        gradients, _, metrics = mean_gradients(
            self._loss, state.params, state.model_state, batch, key
        )
        return state.apply(gradients, self.optimizer), metrics

    def _loss(self, params: PyTree, model_state: PyTree, batch: Batch, key: Key[Array, ""]):
        rngs = {"dropout": piece_key(key, batch["row"])}
        errors = self._errors({"params": params, **model_state}, batch, train=True, rngs=rngs)
        loss = mean(jnp.square(errors).mean((1, 2)), batch["mask"])
        return loss, (model_state, {"loss": loss})

    def _errors(
        self, variables: PyTree, batch: Batch, **apply
    ) -> Float[Array, "batch steps outputs"]:
        target = batch["target"]
        answers = self.model.apply(variables, batch["inputs"], **apply)
        return answers[:, -target.shape[1] :].astype(jnp.float32) - target

    def eval_step(self, state: TrainState, batch: Batch, key: Key[Array, ""]) -> Metrics:
        """The mean squared error, and the mean absolute one."""
        errors = self._errors(state.variables, batch)
        return {
            "loss": mean(jnp.square(errors).mean((1, 2)), batch["mask"]),
            "absolute_error": mean(jnp.abs(errors).mean((1, 2)), batch["mask"]),
        }

    @partial(jax.jit, static_argnums=0)
    def answers(
        self, state: TrainState, inputs: Float[Array, "batch time channels"]
    ) -> Float[Array, "batch time outputs"]:
        """What the network answers after every step of each signal."""
        return self.model.apply(state.variables, inputs).astype(jnp.float32)

    def figures(self, state: TrainState, batch: Batch, key: Key[Array, ""]) -> "dict[str, Figure]":
        """The answers after the last step against the truth."""
        from matplotlib.figure import Figure

        real = np.asarray(batch["mask"]) > 0
        truth = np.asarray(batch["target"])[real, -1]
        found = np.asarray(self.answers(state, batch["inputs"]))[real, -1]
        figure = Figure(figsize=(4.5, 4.5), layout="constrained")
        axes = figure.add_subplot()
        limits = [min(truth.min(), found.min()), max(truth.max(), found.max())]
        axes.plot(limits, limits, color="0.7", linewidth=1)
        axes.scatter(truth, found, s=9, alpha=0.6)
        axes.set(xlabel="truth", ylabel="answer", title="Answers after the last step")
        return {"answers": figure}
