"""Classification: softmax cross-entropy."""

import dataclasses
from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float, Key, UInt8

from jdl.data.augment import Augmentation, augment_batch
from jdl.ops.random import piece_key
from jdl.train.gradients import mean_gradients
from jdl.train.metrics import Metrics, mean
from jdl.train.state import TrainState
from jdl.train.task import Batch

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def to_float(images: UInt8[Array, "*shape"] | Float[Array, "*shape"]) -> Float[Array, "*shape"]:
    """Brings 8-bit images to [0, 1]; images that are floats already are left as they are.

    Example:
        >>> float(to_float(jnp.full((1, 1), 255, jnp.uint8))[0, 0])
        1.0
    """
    return images.astype(jnp.float32) / 255.0 if images.dtype == jnp.uint8 else images


@dataclasses.dataclass(frozen=True, eq=False)
class Classification:
    """Softmax cross-entropy with optional label smoothing.

        q = (1 − α)·onehot(y) + α/K                                                 (1)
        L = −Σₖ qₖ log softmax(f(x))ₖ                                               (2)

    A batch has "image" [batch, height, width, channels] (8 bits, or floats in [0, 1]) and "label".
    Where the model takes videos or signals, they are what "image" holds.

    Args:
        model: images → logits.
        optimizer: an optax transformation.
        num_classes: K.
        augment: (key, image) → image in [0, 1], for one example; applied to training batches.
        label_smoothing: α.
        loss: (logits, q) → L of each example, where it is not (2).
        class_names: for predictions and figures; the numbers 0 … K − 1 when empty.
        microbatches: pieces into which a training batch is cut to fit in memory.
    """

    model: nn.Module
    optimizer: optax.GradientTransformation
    num_classes: int
    augment: Augmentation | None = None
    label_smoothing: float = 0.0
    loss: Callable[[Array, Array], Array] = optax.softmax_cross_entropy
    class_names: Sequence[str] = ()
    microbatches: int = 1

    def init(self, key: Key[Array, ""], batch: Batch) -> TrainState:
        """Initialises the network on the batch's shapes."""
        variables = self.model.init(key, to_float(batch["image"]))
        return TrainState.create(variables, self.optimizer)

    def train_step(
        self, state: TrainState, batch: Batch, key: Key[Array, ""]
    ) -> tuple[TrainState, Metrics]:
        """One update on augmented images."""
        gradients, model_state, metrics = mean_gradients(
            self._loss, state.params, state.model_state, batch, key, self.microbatches
        )
        state = state.apply(gradients, self.optimizer).replace(model_state=model_state)
        return state, metrics

    def _loss(self, params, model_state, batch: Batch, key: Key[Array, ""]):
        augment_key, dropout_key = jax.random.split(key)
        images = to_float(batch["image"])
        if self.augment is not None:
            images = augment_batch(self.augment, augment_key, images, batch["row"])
        logits, updates = self.model.apply(
            {"params": params, **model_state},
            images,
            train=True,
            mutable=list(model_state),
            rngs={"dropout": piece_key(dropout_key, batch["row"])},
        )
        loss, metrics = self._measure(logits, batch, self.label_smoothing)
        return loss, (updates, metrics)

    def _measure(self, logits: Array, batch: Batch, label_smoothing: float):
        targets = optax.smooth_labels(
            jax.nn.one_hot(batch["label"], self.num_classes), label_smoothing
        )
        losses = self.loss(logits.astype(jnp.float32), targets)
        loss = mean(losses, batch["mask"])
        correct = logits.argmax(-1) == batch["label"]
        return loss, {"loss": loss, "accuracy": mean(correct, batch["mask"])}

    def eval_step(self, state: TrainState, batch: Batch, key: Key[Array, ""]) -> Metrics:
        """The loss without smoothing (cross-entropy in nats) and top-1 accuracy."""
        logits = self.model.apply(state.variables, to_float(batch["image"]))
        return self._measure(logits, batch, 0.0)[1]

    @partial(jax.jit, static_argnums=0)
    def probabilities(
        self, state: TrainState, images: Float[Array, "batch height width channels"]
    ) -> Float[Array, "batch classes"]:
        """Class probabilities.

        Args:
            state: of this task.
            images: in [0, 1].

        Returns:
            softmax(f(x)).
        """
        return jax.nn.softmax(self.model.apply(state.variables, images).astype(jnp.float32))

    def predict(
        self, state: TrainState, images: Float[Array, "batch height width channels"]
    ) -> list[dict[str, float]]:
        """The probability of each class, most probable first, for each image in [0, 1]."""
        names = self._names()
        return [
            {names[k]: float(p[k]) for k in np.argsort(-p)}
            for p in np.asarray(self.probabilities(state, images))
        ]

    def figures(self, state: TrainState, batch: Batch, key: Key[Array, ""]) -> "dict[str, Figure]":
        """First-layer filters, the confusion matrix, and the mistakes made with most confidence."""
        from jdl.tasks.drawing import confusion_matrix, first_filters, image_grid, stills

        images = to_float(batch["image"])
        probabilities = np.asarray(self.probabilities(state, images))
        labels, real = np.asarray(batch["label"]), np.asarray(batch["mask"]) > 0
        predicted = probabilities.argmax(-1)
        confusions = np.zeros((self.num_classes, self.num_classes), int)
        np.add.at(confusions, (labels[real], predicted[real]), 1)
        wrong = np.flatnonzero(real & (predicted != labels))
        wrong = wrong[np.argsort(-probabilities[wrong, predicted[wrong]])][:24]
        names = self._names()
        drawn = {"confusion": confusion_matrix(confusions, names)}
        if wrong.size and images.ndim > 3:  # not signals
            drawn["mistakes"] = image_grid(
                stills(np.asarray(images)[wrong]),
                columns=8,
                titles=[
                    f"{names[labels[i]]} → {names[predicted[i]]} ({probabilities[i].max():.0%})"
                    for i in wrong
                ],
                title="Mistakes made with most confidence: truth → prediction",
            )
        filters = first_filters(jax.device_get(state.params), images.shape[1:])
        if filters is not None:
            drawn["filters"] = image_grid(
                filters,
                columns=8,
                signed=True,
                title="First-layer filters (red positive, blue negative)",
            )
        return drawn

    def _names(self) -> Sequence[str]:
        return self.class_names or [str(k) for k in range(self.num_classes)]
