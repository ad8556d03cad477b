"""Semantic segmentation: cross-entropy at every pixel, measured by intersection over union."""

import dataclasses
from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float, Int, Key

from jdl.errors import UserError
from jdl.ops.objects import trimap
from jdl.ops.random import piece_key
from jdl.tasks.classification import to_float
from jdl.train.gradients import mean_gradients
from jdl.train.metrics import Mean, Metrics, mean
from jdl.train.state import TrainState
from jdl.train.task import Batch

if TYPE_CHECKING:
    from matplotlib.figure import Figure

BAND = 2  # pixels on both sides of a boundary


def centre(images: Array) -> Float[Array, "*shape"]:
    """Brings images of 8 bits, or floats in [0, 1], to [−1, 1].

    Example:
        >>> centre(jnp.array([0, 255], jnp.uint8)).tolist()
        [-1.0, 1.0]
    """
    return 2 * to_float(images) - 1


def check_masks(batch: Batch, logits: Array) -> None:
    """Checks that there is a class for each pixel that a network answers for.

    Args:
        batch: with "image" and "mask_label".
        logits: [batch, rows, columns, classes].

    Raises:
        UserError: the masks are of another size.

    Example:
        >>> batch = {"image": jnp.zeros((1, 8, 8, 3)), "mask_label": jnp.zeros((1, 8, 6), int)}
        >>> check_masks(batch, jnp.zeros((1, 8, 8, 2)))
        Traceback (most recent call last):
        ...
        jdl.errors.UserError: images of 8×8 pixels are answered for 8×8, but their masks have 8×6
    """
    shapes = batch["image"].shape[1:3], logits.shape[1:3], batch["mask_label"].shape[1:]
    seen, answered, masked = ("×".join(map(str, shape)) for shape in shapes)
    if answered != masked:
        raise UserError(
            f"images of {seen} pixels are answered for {answered}, but their masks have {masked}"
        )


@dataclasses.dataclass(frozen=True, eq=False)
class Segmentation:
    """Softmax cross-entropy at every pixel, weighted so that a rare class counts as a common one.

        L = −Σᵢ w(yᵢ) log softmax(f(x))ᵢ,yᵢ / Σᵢ w(yᵢ)                              (1)
        IoUₖ = |{i: ŷᵢ = k} ∩ {i: yᵢ = k}| / |{i: ŷᵢ = k} ∪ {i: yᵢ = k}|            (2)

    over the pixels i of the whole split, and again over those within two pixels of another class
    (`boundary_iou`), of which a coarse answer gets fewer right. A batch has "image" [batch, height,
    width, channels] and "mask_label" [batch, height, width], the class of each pixel, for as many
    pixels as the network answers for.

    Source: Ronneberger et al., 2015, https://arxiv.org/abs/1505.04597, section 3, of whose weight
    map (its equation 2) this is the balance of classes.

    Args:
        model: images in [−1, 1] → logits of each pixel.
        optimizer: an optax transformation.
        class_names: one per class.
        class_weights: w, one per class; all 1 when empty. Only training is weighted.
        microbatches: pieces into which a training batch is cut to fit in memory.
    """

    model: nn.Module
    optimizer: optax.GradientTransformation
    class_names: Sequence[str]
    class_weights: Sequence[float] = ()
    microbatches: int = 1

    def init(self, key: Key[Array, ""], batch: Batch) -> TrainState:
        """Initialises the network on the batch's shapes."""
        variables = self.model.init(key, centre(batch["image"]))
        return TrainState.create(variables, self.optimizer)

    def train_step(
        self, state: TrainState, batch: Batch, key: Key[Array, ""]
    ) -> tuple[TrainState, Metrics]:
        """One update."""
        gradients, model_state, metrics = mean_gradients(
            self._loss, state.params, state.model_state, batch, key, self.microbatches
        )
        state = state.apply(gradients, self.optimizer).replace(model_state=model_state)
        return state, metrics

    def _loss(self, params, model_state, batch: Batch, key: Key[Array, ""]):
        logits, updates = self.model.apply(
            {"params": params, **model_state},
            centre(batch["image"]),
            train=True,
            mutable=list(model_state),
            rngs={"dropout": piece_key(key, batch["row"])},
        )
        loss, metrics = self._measure(logits, batch, self.class_weights)
        return loss, (updates, metrics)

    def _measure(
        self, logits: Array, batch: Batch, class_weights: Sequence[float]
    ) -> tuple[Mean, Metrics]:
        check_masks(batch, logits)
        truth = batch["mask_label"].astype(jnp.int32)
        pixels = jnp.broadcast_to(batch["mask"][:, None, None], truth.shape)
        losses = optax.softmax_cross_entropy_with_integer_labels(logits.astype(jnp.float32), truth)
        weights = pixels * jnp.asarray(class_weights)[truth] if class_weights else pixels
        loss = mean(losses, weights)
        return loss, {"loss": loss, "pixel_accuracy": mean(logits.argmax(-1) == truth, pixels)}

    def eval_step(self, state: TrainState, batch: Batch, key: Key[Array, ""]) -> Metrics:
        """Cross-entropy in nats per pixel, pixel accuracy, and the IoU (2) of each class."""
        logits = self.model.apply(state.variables, centre(batch["image"]))
        metrics = self._measure(logits, batch, ())[1]
        real = (batch["mask"] > 0)[:, None, None]
        predicted, truth = logits.argmax(-1), batch["mask_label"].astype(jnp.int32)
        return metrics | {
            "iou": self._overlap(predicted, truth, real),
            "boundary_iou": self._overlap(predicted, truth, real & trimap(truth, BAND)),
        }

    def _overlap(self, predicted: Array, truth: Array, counted: Array) -> Mean:
        both, either = [], []
        # One class at a time: a one-hot of every pixel would not fit in cache.
        for k in range(len(self.class_names)):
            p, t = (predicted == k) & counted, (truth == k) & counted
            both.append((p & t).sum(dtype=jnp.float32))
            either.append((p | t).sum(dtype=jnp.float32))
        return Mean(jnp.stack(both), jnp.stack(either))

    @partial(jax.jit, static_argnums=0)
    def segment(
        self, state: TrainState, images: Float[Array, "batch height width channels"]
    ) -> Int[Array, "batch height width"]:
        """The most probable class of each pixel, for images in [0, 1]."""
        return self.model.apply(state.variables, centre(images)).argmax(-1)

    def predict(
        self, state: TrainState, images: Float[Array, "batch height width channels"]
    ) -> list[dict[str, float]]:
        """The share of the image that each class covers, largest first."""
        predictions = []
        for classes in np.asarray(self.segment(state, images)):
            shares = np.bincount(classes.ravel(), minlength=len(self.class_names)) / classes.size
            order = [k for k in np.argsort(-shares) if shares[k] > 0]
            predictions.append({self.class_names[k]: float(shares[k]) for k in order})
        return predictions

    def figures(self, state: TrainState, batch: Batch, key: Key[Array, ""]) -> "dict[str, Figure]":
        """Some scenes beside their true and their predicted classes."""
        from matplotlib import colormaps
        from matplotlib.figure import Figure
        from matplotlib.patches import Patch

        from jdl.tasks.drawing import show_image

        count = min(8, len(batch["image"]))
        images = to_float(batch["image"][:count])
        predicted = np.asarray(self.segment(state, images))
        truth = np.asarray(batch["mask_label"][:count])
        colours = np.concatenate([[[0.12, 0.12, 0.12]], colormaps["tab10"](np.arange(10))[:, :3]])
        colours = colours[np.arange(len(self.class_names)) % len(colours)]
        width = min(10.8 / count, 2.7)
        height = width * images.shape[1] / images.shape[2]
        figure = Figure(figsize=(width * count, 3 * height + 0.85), layout="constrained")
        rows = (np.asarray(images), colours[truth], colours[predicted])
        grid = figure.subplots(3, count, squeeze=False)
        for axes_row, pictures, label in zip(grid, rows, ("image", "truth", "prediction")):
            for axes, picture in zip(axes_row, pictures):
                show_image(axes, picture)
            axes_row[0].text(
                -0.08, 0.5, label, rotation=90, va="center", ha="right",
                transform=axes_row[0].transAxes,
            )  # fmt: skip
        figure.legend(
            handles=[Patch(color=c, label=n) for c, n in zip(colours, self.class_names)],
            loc="outside lower center",
            ncols=len(self.class_names),
            frameon=False,
            fontsize=8,
            handlelength=1,
        )
        return {"segmentation": figure}
