"""Multitask learning: several classifications by one network, each with a weight."""

import dataclasses
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, Key, PyTree

from jdl.data.augment import Augmentation, augment_batch
from jdl.errors import UserError
from jdl.ops.random import piece_key
from jdl.tasks.classification import Examples, to_float
from jdl.train.gradients import mean_gradients, sum_over_devices
from jdl.train.metrics import Mean, Metrics, mean
from jdl.train.state import TrainState
from jdl.train.task import Batch


@dataclasses.dataclass(frozen=True, eq=False)
class Multitask:
    """A weighted sum of cross-entropies, of examples of which not all labels need be known.

        L = Σₖ λₖ · 1/|Bₖ| Σ_{n ∈ Bₖ} −log softmax(zₖ(xₙ))_{yₖₙ}                     (1)

    over the examples Bₖ of a batch whose label of task k is known. A batch has "image", and the
    labels of each task under its name: integers, −1 where nobody knows.

    Args:
        model: images → logits by the name of the task: `jdl.layers.heads.SharedTrunk`.
        optimizer: an optax transformation.
        weights: λ by the name of the task; 0 for one that is measured only.
        augment: (key, image) → image in [0, 1], for one example; applied to training batches.

    Raises:
        UserError: in `init`, a task of the weights that model or batch do not know.

    Source: Caruana, 1997, https://doi.org/10.1023/A:1007379606734.
    """

    model: Any
    optimizer: optax.GradientTransformation
    weights: Mapping[str, float]
    augment: Augmentation | None = None

    def init(self, key: Key[Array, ""], batch: Batch) -> TrainState:
        """Initialises the network on the batch's shapes."""
        outputs, variables = self.model.init_with_output(key, to_float(batch["image"]))
        for name in self.weights:
            for where, known in (("network has no head", outputs), ("batch has no labels", batch)):
                if name not in known:
                    raise UserError(f"the {where} for the task {name!r}")
        return TrainState.create(variables, self.optimizer)

    def train_step(
        self, state: TrainState, batch: Batch, key: Key[Array, ""]
    ) -> tuple[TrainState, Metrics]:
        """One update on augmented images."""
        # What counts is known before the network is asked: each mean has its own examples.
        counts = sum_over_devices({name: self._known(batch, name).sum() for name in self.weights})

        def loss(params: PyTree, model_state: PyTree, batch: Batch, key: Key[Array, ""]):
            augment_key, dropout_key = jax.random.split(key)
            images = to_float(batch["image"])
            if self.augment is not None:
                images = augment_batch(self.augment, augment_key, images, batch["row"])
            outputs, updates = self.model.apply(
                {"params": params, **model_state},
                images,
                train=True,
                mutable=list(model_state),
                rngs={"dropout": piece_key(dropout_key, batch["row"])},
            )
            metrics = self._measure(outputs, batch)
            parts = [
                weight * metrics[f"{name}_loss"].total / jnp.maximum(counts[name], 1.0)
                for name, weight in self.weights.items()
            ]
            total = jnp.stack(parts).sum()
            # It is divided already: what the devices have of it adds up to one loss.
            whole = Mean(total, 1.0 / sum_over_devices(jnp.float32(1.0)))
            return whole, (updates, metrics | {"loss": whole})

        gradients, model_state, metrics = mean_gradients(
            loss, state.params, state.model_state, batch, key
        )
        told = sum_over_devices(metrics["loss"])
        state = state.apply(gradients, self.optimizer, value=told.total)
        return state.replace(model_state=model_state), metrics

    def eval_step(self, state: TrainState, batch: Batch, key: Key[Array, ""]) -> Metrics:
        """Cross-entropy in nats and accuracy of every task, over the examples with its label."""
        outputs = self.model.apply(state.variables, to_float(batch["image"]))
        return self._measure(outputs, batch)

    def _known(self, batch: Batch, name: str) -> Float[Array, " batch"]:
        return batch["mask"] * (batch[name] >= 0)

    def _measure(self, outputs: Mapping[str, Array], batch: Batch) -> Metrics:
        metrics = {}
        for name in self.weights:
            known, logits = self._known(batch, name), outputs[name].astype(jnp.float32)
            label = jnp.maximum(batch[name], 0)
            losses = optax.softmax_cross_entropy_with_integer_labels(logits, label)
            metrics[f"{name}_loss"] = mean(losses, known)
            metrics[f"{name}_accuracy"] = mean(logits.argmax(-1) == label, known)
        return metrics

    def probabilities(
        self, state: TrainState, images: Examples
    ) -> dict[str, Float[Array, "batch classes"]]:
        """Class probabilities of every task, by its name, of images in [0, 1]."""
        return {
            name: jax.nn.softmax(logits)
            for name, logits in self.model.apply(state.variables, images).items()
        }
