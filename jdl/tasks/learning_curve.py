"""Classifiers fitted to more and more examples: how fast each kind learns."""

import dataclasses
from collections.abc import Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float, Key

from jdl.tasks.classification import to_float
from jdl.train.gradients import mean_gradients
from jdl.train.metrics import Mean, Metrics
from jdl.train.state import TrainState
from jdl.train.task import Batch

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclasses.dataclass(frozen=True, eq=False)
class LearningCurve:
    """Softmax regression, once for each size of the training set, all at once.

        log p_s(y|x) = (W_s x + b_s)_y − log Σₖ exp (W_s x + b_s)ₖ                   (1)
        L = Σ_s (1/n_s) (Σ_{i in s} −log p_s(yᵢ|xᵢ) + ‖W_s‖²/(2 τ²))                 (2)

    where s has the first `sizes[s]` examples of each class, n_s in all, and the weights a normal
    prior of deviation τ. A batch is the whole training set: "image" [batch, height, width,
    channels], "label", and "rank", the example's number in its class. Other classifiers may have
    learned from the same examples; what they reached is told and drawn beside it.

    Args:
        optimizer: an optax transformation; the sizes have nothing in common, and it must give
            each parameter its own step, as Adam does.
        sizes: examples of each class, in ascending order; the last are all.
        num_classes: K.
        prior_deviation: τ.
        others: accuracy on the test split of other classifiers by name, one number a size.
    """

    optimizer: optax.GradientTransformation
    sizes: Sequence[int]
    num_classes: int
    prior_deviation: float
    others: Mapping[str, Float[np.ndarray, " sizes"]] = dataclasses.field(default_factory=dict)

    def init(self, key: Key[Array, ""], batch: Batch) -> TrainState:
        """Starts with weights of zero; the objective is convex."""
        pixels, classes = batch["image"][0].size, self.num_classes
        params = {
            "weights": jnp.zeros((len(self.sizes), pixels, classes)),
            "biases": jnp.zeros((len(self.sizes), classes)),
        }
        return TrainState.create({"params": params}, self.optimizer)

    def train_step(
        self, state: TrainState, batch: Batch, key: Key[Array, ""]
    ) -> tuple[TrainState, Metrics]:
        """One update of all regressions."""
        gradients, _, metrics = mean_gradients(
            self._loss, state.params, state.model_state, batch, key
        )
        return state.apply(gradients, self.optimizer), metrics

    def _loss(self, params, model_state, batch: Batch, key: Key[Array, ""]):
        losses = optax.softmax_cross_entropy_with_integer_labels(
            self._logits(params, batch["image"]),
            jnp.broadcast_to(batch["label"][None], (len(self.sizes), len(batch["label"]))),
        )
        sizes = jnp.array(self.sizes)
        seen = (batch["rank"][None] < sizes[:, None]) * batch["mask"][None]
        examples = sizes * self.num_classes
        fits = ((losses * seen).sum(1) / examples).sum()
        prior = (jnp.square(params["weights"]).sum((1, 2)) / examples).sum()
        # The share of the training set that this piece of the batch is; 1 when it is not cut.
        share = batch["mask"].sum() / examples[-1]
        loss = Mean(fits + share * prior / (2 * self.prior_deviation**2), share)
        return loss, (model_state, {"loss": loss})

    def _logits(self, params, images: Array) -> Float[Array, "sizes batch classes"]:
        pixels = to_float(images).reshape(len(images), -1)
        return jnp.einsum("nd,sdk->snk", pixels, params["weights"]) + params["biases"][:, None]

    def eval_step(self, state: TrainState, batch: Batch, key: Key[Array, ""]) -> Metrics:
        """Top-1 accuracy for each size."""
        correct = self._logits(state.params, batch["image"]).argmax(-1) == batch["label"][None]
        count = jnp.full(len(self.sizes), batch["mask"].sum())
        return {"softmax": Mean((correct * batch["mask"][None]).sum(1), count)}

    def test_step(self, state: TrainState, batch: Batch, key: Key[Array, ""]) -> Metrics:
        """The same, beside the other classifiers."""
        found = self.eval_step(state, batch, key)
        count = found["softmax"].count
        others = {
            name: Mean(jnp.asarray(accuracies, jnp.float32) * count, count)
            for name, accuracies in self.others.items()
        }
        return found | others

    @partial(jax.jit, static_argnums=0)
    def _test(self, state: TrainState, batch: Batch) -> Metrics:
        return self.test_step(state, batch, jax.random.key(0))

    def figures(self, state: TrainState, batch: Batch, key: Key[Array, ""]) -> "dict[str, Figure]":
        """Accuracy against the number of examples, and the same numbers as a table."""
        from matplotlib.figure import Figure

        found = jax.device_get(self._test(state, batch))
        curves = {name: mean.total / mean.count for name, mean in found.items()}
        examples = self.num_classes * np.array(self.sizes)
        figure = Figure(figsize=(6.4, 6.4), layout="constrained")
        axes, below = figure.subplots(2, height_ratios=(3, 1))
        for name, accuracies in curves.items():
            style = "o-" if name == "softmax" else "s--"
            axes.plot(examples, accuracies, style, ms=4, label=name.replace("_", " "))
        axes.set(xscale="log", xlabel="training examples", ylabel="test accuracy")
        axes.grid(alpha=0.3)
        axes.legend(frameon=False)
        below.axis("off")
        below.table(
            [[f"{a:.1%}" for a in accuracies] for accuracies in curves.values()],
            rowLabels=[name.replace("_", " ") for name in curves],
            colLabels=[str(n) for n in examples],
            loc="center",
        )
        return {"accuracy": figure, "weights": self._weights(state, batch["image"].shape[1:])}

    def _weights(self, state: TrainState, shape: tuple[int, ...]) -> "Figure":
        from jdl.tasks.drawing import image_grid

        weights = np.asarray(state.params["weights"])[[0, -1]]
        images = np.moveaxis(weights, 1, -1).reshape(-1, *shape)
        return image_grid(
            images / np.abs(images).max((1, 2, 3), keepdims=True),
            columns=self.num_classes,
            signed=True,
            title=f"Weights learned from {self.sizes[0]} and from {self.sizes[-1]} of each class",
        )
