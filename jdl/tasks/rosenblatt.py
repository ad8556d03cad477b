"""Rosenblatt's rule: the perceptron learns from its mistakes, one example after another."""

import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Key

from jdl.ops.perceptron import rosenblatt_epoch
from jdl.tasks.classification import to_float
from jdl.train.metrics import Mean, Metrics, mean
from jdl.train.state import TrainState
from jdl.train.task import Batch

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclasses.dataclass(frozen=True, eq=False)
class Rosenblatt:
    """One perceptron a class, each of which tells its class from all others.

        yₖ = 1 where the label is k, else −1                                        (1)
        ŷₖ = sign(wₖ·x + bₖ);  where ŷₖ ≠ yₖ:  wₖ ← wₖ + yₖ x,  bₖ ← bₖ + yₖ        (2)

    There is no rate and no gradient. A batch is seen example by example, so that its size changes
    nothing but the speed. An image's class is that of the largest sum.

    Args:
        num_classes: K.

    Source: Rosenblatt, 1958, https://doi.org/10.1037/h0042519.
    """

    num_classes: int

    def init(self, key: Key[Array, ""], batch: Batch) -> TrainState:
        """Starts with weights of zero."""
        pixels = batch["image"][0].size
        params = {
            "weights": jnp.zeros((self.num_classes, pixels)),
            "biases": jnp.zeros(self.num_classes),
        }
        return TrainState(params=params, model_state={}, optimizer_state=())

    def train_step(
        self, state: TrainState, batch: Batch, key: Key[Array, ""]
    ) -> tuple[TrainState, Metrics]:
        """Shows a batch to all perceptrons; the loss is the share of wrong answers (2)."""
        inputs = self._inputs(batch)
        labels = 2 * jax.nn.one_hot(batch["label"], self.num_classes, axis=0, dtype=jnp.int32) - 1
        learn = jax.vmap(rosenblatt_epoch, in_axes=(0, 0, None, 0))
        weights, biases, mistakes = learn(*self._units(state), inputs, labels)
        state = state.replace(params={"weights": weights, "biases": biases})
        return state, {"loss": Mean(mistakes.sum(dtype=jnp.float32), jnp.float32(labels.size))}

    def eval_step(self, state: TrainState, batch: Batch, key: Key[Array, ""]) -> Metrics:
        """Share of wrong answers (2), and top-1 accuracy by the largest sum."""
        sums = self.sums(state, batch["image"])
        right = jax.nn.one_hot(batch["label"], self.num_classes) > 0
        wrong = ((sums > 0) != right).mean(-1)
        correct = sums.argmax(-1) == batch["label"]
        return {"loss": mean(wrong, batch["mask"]), "accuracy": mean(correct, batch["mask"])}

    def sums(self, state: TrainState, images: Array) -> Float[Array, "batch classes"]:
        """Returns wₖ·x + bₖ of images in [0, 1], or of 8 bits."""
        weights, biases = self._units(state)
        return self._inputs({"image": images}) @ weights.T + biases[None]

    def predict(self, state: TrainState, images: Array) -> list[dict[str, float]]:
        """The sum of each class, largest first, for each image in [0, 1]."""
        sums = np.asarray(self.sums(state, images))
        return [{str(k): float(s[k]) for k in np.argsort(-s)} for s in sums]

    def figures(self, state: TrainState, batch: Batch, key: Key[Array, ""]) -> "dict[str, Figure]":
        """What each perceptron looks for, and the confusion matrix."""
        from jdl.tasks.drawing import confusion_matrix, image_grid

        names: Sequence[str] = [str(k) for k in range(self.num_classes)]
        labels, real = np.asarray(batch["label"]), np.asarray(batch["mask"]) > 0
        predicted = np.asarray(self.sums(state, batch["image"])).argmax(-1)
        confusions = np.zeros((self.num_classes, self.num_classes), int)
        np.add.at(confusions, (labels[real], predicted[real]), 1)
        weights = np.asarray(state.params["weights"]).reshape(
            self.num_classes, *batch["image"].shape[1:]
        )
        return {
            "confusion": confusion_matrix(confusions, names),
            "weights": image_grid(
                weights,
                columns=5,
                titles=names,
                signed=True,
                title="Weights of each class's perceptron (red for, blue against)",
            ),
        }

    def _units(self, state: TrainState) -> tuple[Array, Array]:
        return state.params["weights"], state.params["biases"]

    def _inputs(self, batch: Batch) -> Float[Array, "batch pixels"]:
        images = to_float(batch["image"])
        return images.reshape(len(images), -1)
