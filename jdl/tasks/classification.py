"""Classification: softmax cross-entropy."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float, Int, Key, PyTree, Shaped

from jdl.data.augment import Augmentation, augment_batch
from jdl.data.mixing import Mixture, mix_batch
from jdl.errors import UserError
from jdl.ops.random import piece_key
from jdl.train.gradients import mean_gradients, sum_over_devices
from jdl.train.metrics import Metrics, mean
from jdl.train.state import AveragedState, TrainState
from jdl.train.task import Batch

# Images [batch, height, width, channels], or videos, signals or tokens with axes of their own.
Examples = Float[Array, "batch *example"] | Int[Array, "batch *example"]

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def to_float(images: Shaped[Array, "*shape"]) -> Shaped[Array, "*shape"]:
    """Brings 8-bit images to [0, 1]; what is no 8-bit image is left as it is.

    Example:
        >>> float(to_float(jnp.full((1, 1), 255, jnp.uint8))[0, 0])
        1.0
    """
    return images.astype(jnp.float32) / 255.0 if images.dtype == jnp.uint8 else images


def cross_entropy(
    logits: Float[Array, "batch classes"], targets: Float[Array, "batch classes"]
) -> Float[Array, " batch"]:
    """Returns −Σₖ qₖ log softmax(logits)ₖ of each example, in float32 and nats.

    Example:
        >>> cross_entropy(jnp.zeros((1, 2)), jnp.array([[0.5, 0.5]]))
        Array([0.6931472], dtype=float32)
    """
    return optax.softmax_cross_entropy(logits.astype(jnp.float32), targets)


@dataclasses.dataclass(frozen=True, eq=False)
class Classification:
    """Softmax cross-entropy with optional label smoothing.

        q = (1 − α)·onehot(y) + α/K                                                 (1)
        L = −Σₖ qₖ log softmax(f(x))ₖ − β Σⱼ Σₖ qₖ log softmax(gⱼ(x))ₖ               (2)

    with auxiliary heads gⱼ where the model, in training, returns (f(x), g₁(x), …). A batch has
    "image" [batch, height, width, channels] (8 bits, or floats in [0, 1]) and "label". With 1000
    classes or more, top-5 accuracy is measured too. Where the model takes videos, signals or
    tokens, they are what "image" holds.

    Args:
        model: images → logits.
        optimizer: an optax transformation.
        num_classes: K.
        augment: (key, image) → image in [0, 1], for one example; applied to training batches.
        label_smoothing: α.
        loss: (logits, q) → L of each example, where it is not (2).
        class_names: for predictions and figures; the numbers 0 … K − 1 when empty.
        microbatches: pieces into which a training batch is cut to fit in memory.
        normalize: what the network wants done to images in [0, 1], always, after augmentation.
        mix: of two normalised training images, one: `jdl.data.mixing`; their q are mixed alike.
        auxiliary_weight: β.
        ema: of the average of the variables that is measured instead of them (`AveragedState`).
        views: images → [views, batch, height, width, channels], over whose probabilities the test
            averages: `jdl.ops.images.ten_crop`.
        pretrained: parameters of some of the network's modules, by name, that training begins
            with; the others are drawn.
    """

    model: nn.Module
    optimizer: optax.GradientTransformation
    num_classes: int
    augment: Augmentation | None = None
    label_smoothing: float = 0.0
    loss: Callable[[Array, Array], Array] = cross_entropy
    class_names: Sequence[str] = ()
    microbatches: int = 1
    normalize: Callable[[Examples], Examples] | None = None
    mix: Mixture | None = None
    auxiliary_weight: float = 0.0
    ema: float | None = None
    views: Callable[[Examples], Float[Array, "views batch rows columns channels"]] | None = None
    pretrained: Mapping[str, PyTree] = dataclasses.field(default_factory=dict)

    def init(self, key: Key[Array, ""], batch: Batch) -> TrainState:
        """Initialises the network on the batch's shapes.

        Raises:
            UserError: what is pretrained is no part of it.
        """
        variables = self.model.init(key, to_float(batch["image"]))
        drawn = variables["params"]
        for name, part in self.pretrained.items():
            if jax.tree.map(jnp.shape, part) != jax.tree.map(jnp.shape, drawn.get(name)):
                raise UserError(
                    f"the pretrained parameters are not those of a {name!r} of this model"
                )
        variables = {**variables, "params": {**drawn, **self.pretrained}}
        kind = TrainState if self.ema is None else AveragedState
        return kind.create(variables, self.optimizer)

    def train_step(
        self, state: TrainState, batch: Batch, key: Key[Array, ""]
    ) -> tuple[TrainState, Metrics]:
        """One update on augmented images."""
        gradients, model_state, metrics = mean_gradients(
            self._loss, state.params, state.model_state, batch, key, self.microbatches
        )
        loss = sum_over_devices(metrics["loss"])
        state = state.apply(
            gradients, self.optimizer, value=loss.total / jnp.maximum(loss.count, 1)
        ).replace(model_state=model_state)
        if isinstance(state, AveragedState) and self.ema is not None:
            state = state.averaged(self.ema)
        return state, metrics

    def _loss(self, params, model_state, batch: Batch, key: Key[Array, ""]):
        augment_key, dropout_key, mix_key = jax.random.split(key, 3)
        images = to_float(batch["image"])
        if self.augment is not None:
            images = augment_batch(self.augment, augment_key, images, batch["row"])
        images, targets = self._normalized(images), self._targets(batch, self.label_smoothing)
        if self.mix is not None:
            images, targets = mix_batch(self.mix, mix_key, images, targets, batch["row"])
        outputs, updates = self.model.apply(
            {"params": params, **model_state},
            images,
            train=True,
            mutable=list(model_state),
            rngs={"dropout": piece_key(dropout_key, batch["row"])},
        )
        logits, *auxiliary = outputs if isinstance(outputs, tuple) else (outputs,)
        losses = self.loss(logits, targets)
        for head in auxiliary:
            losses += self.auxiliary_weight * self.loss(head, targets)
        loss = mean(losses, batch["mask"])
        return loss, (updates, {"loss": loss} | self._accuracies(logits, batch))

    def _normalized(self, images: Examples) -> Examples:
        return images if self.normalize is None else self.normalize(images)

    def _targets(self, batch: Batch, label_smoothing: float) -> Float[Array, "batch classes"]:
        return optax.smooth_labels(
            jax.nn.one_hot(batch["label"], self.num_classes), label_smoothing
        )

    def _accuracies(self, logits: Array, batch: Batch) -> Metrics:
        label = batch["label"]
        metrics = {"accuracy": mean(logits.argmax(-1) == label, batch["mask"])}
        if self.num_classes >= 1000:
            among = (jax.lax.top_k(logits, 5)[1] == label[:, None]).any(-1)
            metrics["top_5_accuracy"] = mean(among, batch["mask"])
        return metrics

    def _measure(self, logits: Array, batch: Batch) -> Metrics:
        losses = self.loss(logits, self._targets(batch, 0.0))
        return {"loss": mean(losses, batch["mask"])} | self._accuracies(logits, batch)

    def _logits(self, state: TrainState, images: Examples) -> Float[Array, "batch classes"]:
        """Logits of images in [0, 1]."""
        variables = state.average if isinstance(state, AveragedState) else state.variables
        return self.model.apply(variables, self._normalized(images)).astype(jnp.float32)

    def eval_step(self, state: TrainState, batch: Batch, key: Key[Array, ""]) -> Metrics:
        """The loss without smoothing (cross-entropy in nats) and top-1 accuracy."""
        return self._measure(self._logits(state, to_float(batch["image"])), batch)

    def test_step(self, state: TrainState, batch: Batch, key: Key[Array, ""]) -> Metrics:
        """The same of the mean probabilities over all views, where there are views."""
        return self._measure(self._view_logits(state, to_float(batch["image"])), batch)

    def _view_logits(self, state: TrainState, images: Examples) -> Float[Array, "batch classes"]:
        """Logits, or the logarithm of the probabilities' mean over all views."""
        if self.views is None:
            return self._logits(state, images)
        # One after the other: all at once would take as many times the memory.
        logits = jax.lax.map(partial(self._logits, state), self.views(images))
        return jax.nn.logsumexp(jax.nn.log_softmax(logits), axis=0) - np.log(len(logits))

    @partial(jax.jit, static_argnums=0)
    def probabilities(self, state: TrainState, images: Examples) -> Float[Array, "batch classes"]:
        """Class probabilities.

        Args:
            state: of this task.
            images: in [0, 1].

        Returns:
            softmax(f(x)), or its mean over all views of x.
        """
        return jax.nn.softmax(self._view_logits(state, images))

    def predict(self, state: TrainState, images: Examples) -> list[dict[str, float]]:
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
        drawn = {}
        if self.num_classes <= 100:  # More of them cannot be read.
            drawn["confusion"] = confusion_matrix(confusions, names)
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
