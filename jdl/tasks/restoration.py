"""Restoration: photographs brought back from what noise, blur or few pixels left of them."""

import dataclasses
from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Literal

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float, Key

from jdl.data.augment import Augmentation, augment_batch
from jdl.ops.bicubic import resize_bicubic
from jdl.ops.image_quality import psnr, ssim
from jdl.ops.images import Images
from jdl.ops.random import per_example_keys, piece_key
from jdl.tasks.classification import to_float
from jdl.train.gradients import mean_gradients
from jdl.train.metrics import Mean, Metrics, mean
from jdl.train.state import TrainState
from jdl.train.task import Batch

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Photograph = Float[np.ndarray, "height width channels"]
# What has learned nothing: of the key that the photograph was degraded with, which tells how, and
# of what is left of it.
Classical = Callable[[Key[Array, ""], Photograph], Photograph]


@dataclasses.dataclass(frozen=True, eq=False)
class Restoration:
    """Restoration of images by a network, beside what classical methods make of the same ones.

        y = D(x),  u = y, enlarged bicubically to the size of x                     (1)
        residual:  x̂ = u + f(y)                                                     (2)
        direct:    x̂ = f(y)                                                         (3)
        L = mean |x̂ − x|                                                            (4)

    of each image; y may have gone through a method without learning before (`undo`). A network that
    answers with a pyramid, its finest picture first, has (2) to (4) at every scale, with u and x
    resized, and L is their mean. A batch has "image" [batch, height, width, channels], 8 bits or in
    [0, 1].

    Source: (2) against (3) as in He et al., 2016, https://arxiv.org/abs/1512.03385, section 3.1,
    and Zhang et al., 2017, https://arxiv.org/abs/1608.03981, section III; (4) as in Zhao et al.,
    2017, https://arxiv.org/abs/1511.08861, who find it better than its square even by (1) of
    `psnr`.

    Args:
        model: y → a picture of the size of x, or a pyramid of them.
        optimizer: an optax transformation.
        degrade: D, (key, image) → image.
        pictures: 8 bits, what all methods are compared on when training has ended.
        prediction: which of (2) and (3).
        scale: by how much D makes images smaller.
        enlarged: show the network u instead of y.
        augment: of the images in training, before D; none when None.
        border: pixels at the edge that no measure counts, for what is beyond them is not known.
        classical: other methods by name.
        undo: what y goes through before the network, (key, image) → image, with the key of D, which
            tells what was done to the image; nothing when None.
    """

    model: nn.Module
    optimizer: optax.GradientTransformation
    degrade: Augmentation
    pictures: np.ndarray
    prediction: Literal["residual", "direct"] = "residual"
    scale: int = 1
    enlarged: bool = False
    augment: Augmentation | None = None
    border: int = 0
    classical: Mapping[str, Classical] = dataclasses.field(default_factory=dict)
    undo: Augmentation | None = None

    def init(self, key: Key[Array, ""], batch: Batch) -> TrainState:
        """Initialises the network on the batch's shapes."""
        degraded = self._given(to_float(batch["image"]), batch["row"], key)
        return TrainState.create(self.model.init(key, self._shown(degraded)), self.optimizer)

    def train_step(
        self, state: TrainState, batch: Batch, key: Key[Array, ""]
    ) -> tuple[TrainState, Metrics]:
        """One update."""
        gradients, model_state, metrics = mean_gradients(
            self._loss, state.params, state.model_state, batch, key
        )
        state = state.apply(gradients, self.optimizer).replace(model_state=model_state)
        return state, metrics

    def _loss(self, params, model_state, batch: Batch, key: Key[Array, ""]):
        augment_key, degrade_key, dropout_key = jax.random.split(key, 3)
        clean = to_float(batch["image"])
        if self.augment is not None:
            clean = augment_batch(self.augment, augment_key, clean, batch["row"])
        degraded = self._given(clean, batch["row"], degrade_key)
        answer, updates = self.model.apply(
            {"params": params, **model_state},
            self._shown(degraded),
            train=True,
            mutable=list(model_state),
            rngs={"dropout": piece_key(dropout_key, batch["row"])},
        )
        loss = self._distance(self._pyramid(answer, degraded), clean, batch["mask"])
        return loss, (updates, {"loss": loss})

    def degraded(
        self, images: Images, rows: Array, key: Key[Array, ""]
    ) -> Float[Array, "batch rows columns channels"]:
        """What is left of images in [0, 1] (1), each with a key of its own."""
        return augment_batch(self.degrade, key, images, rows)

    def undone(
        self, degraded: Images, rows: Array, key: Key[Array, ""]
    ) -> Float[Array, "batch rows columns channels"]:
        """What the network goes on from, of images degraded with the same key."""
        return degraded if self.undo is None else augment_batch(self.undo, key, degraded, rows)

    def _given(
        self, images: Images, rows: Array, key: Key[Array, ""]
    ) -> Float[Array, "batch rows columns channels"]:
        return self.undone(self.degraded(images, rows, key), rows, key)

    def enlarge(self, degraded: Images) -> Float[Array, "batch rows columns channels"]:
        """Brings what is left of images to their size, u of (1)."""
        height, width = degraded.shape[1:3]
        return resize_bicubic(degraded, self.scale * height, self.scale * width)

    def _shown(self, degraded: Images) -> Float[Array, "batch rows columns channels"]:
        return self.enlarge(degraded) if self.enlarged else degraded

    def _pyramid(self, answer: Array | tuple[Array, ...], degraded: Images) -> tuple[Array, ...]:
        """What the network's answer stands for (2, 3), the finest picture first."""
        pictures = answer if isinstance(answer, tuple) else (answer,)
        if self.prediction == "direct":
            return pictures
        start = self.enlarge(degraded)
        return tuple(resize_bicubic(start, *p.shape[1:3]) + p for p in pictures)

    def _distance(self, pyramid: tuple[Array, ...], clean: Images, mask: Array) -> Mean:
        """The distance (4) of every image, the mean over the scales."""
        distances = [
            jnp.abs(picture - resize_bicubic(clean, *picture.shape[1:3])).mean((1, 2, 3))
            for picture in pyramid
        ]
        return mean(jnp.stack(distances).mean(0), mask)

    def eval_step(self, state: TrainState, batch: Batch, key: Key[Array, ""]) -> Metrics:
        """The loss, the peak signal-to-noise ratio in decibels, and structural similarity."""
        clean, mask = to_float(batch["image"]), batch["mask"]
        degraded = self._given(clean, batch["row"], key)
        answer = self.model.apply(state.variables, self._shown(degraded))
        pyramid = self._pyramid(answer, degraded)
        quality = self.quality(pyramid[0], clean)
        return {"loss": self._distance(pyramid, clean, mask)} | {
            name: mean(values, mask) for name, values in quality.items()
        }

    @partial(jax.jit, static_argnums=0)
    def quality(self, images: Images, clean: Images) -> dict[str, Float[Array, " batch"]]:
        """Both measures of each image, cut to [0, 1] and without the border."""
        b = self.border
        height, width = clean.shape[1:3]
        inner = (slice(None), slice(b, height - b), slice(b, width - b))
        x, y = jnp.clip(images, 0, 1)[inner], clean[inner]
        # As of a copy in 8 bits: no image is better than that.
        return {"psnr": jnp.minimum(psnr(x, y), 58.9), "ssim": ssim(x, y)}

    @partial(jax.jit, static_argnums=0)
    def restore(
        self, state: TrainState, degraded: Images
    ) -> Float[Array, "batch rows columns channels"]:
        """Images of their former size, from what is left of them, `undone`."""
        answer = self.model.apply(state.variables, self._shown(degraded))
        return self._pyramid(answer, degraded)[0]

    def compare(
        self, state: TrainState, pictures: np.ndarray, key: Key[Array, ""]
    ) -> dict[str, Images]:
        """The same pictures clean, degraded, and restored in every way.

        Args:
            state: of the network.
            pictures: 8 bits.
            key: of the degradation.

        Returns:
            Images by the name of what made them.
        """
        clean, rows = to_float(jnp.asarray(pictures)), jnp.arange(len(pictures))
        degraded = self.degraded(clean, rows, key)
        left = np.asarray(degraded)
        keys = per_example_keys(key, rows)
        start = "degraded" if self.scale == 1 else "bicubic"
        found = {"clean": clean, start: self.enlarge(degraded)}
        for name, method in self.classical.items():
            found[name] = jnp.stack([jnp.asarray(method(k, y)) for k, y in zip(keys, left)])
        found["network"] = self.restore(state, self.undone(degraded, rows, key))
        return found

    def texts(self, state: TrainState, key: Key[Array, ""]) -> dict[str, str]:
        """A table of what each way reaches on the same pictures."""
        found = self.compare(state, self.pictures, key)
        clean = found.pop("clean")
        lines = [f"{'':24}{'PSNR':>9}{'SSIM':>9}"]
        for name, images in found.items():
            means = {k: float(v.mean()) for k, v in self.quality(images, clean).items()}
            lines.append(f"{name:24}{means['psnr']:6.2f} dB{means['ssim']:9.4f}")
        return {"image_quality": "\n".join(lines)}

    def figures(self, state: TrainState, batch: Batch, key: Key[Array, ""]) -> "dict[str, Figure]":
        """Some pictures in all the ways of `compare`, each with its signal-to-noise ratio."""
        from matplotlib.figure import Figure

        from jdl.tasks.drawing import show_image

        chosen = np.linspace(0, len(self.pictures) - 1, min(6, len(self.pictures))).astype(int)
        found = self.compare(state, self.pictures[chosen], key)
        clean = found["clean"]
        figure = Figure(figsize=(1.5 * len(found) + 0.1, 1.68 * len(chosen)), layout="constrained")
        grid = figure.subplots(len(chosen), len(found), squeeze=False)
        for column, (name, images) in zip(grid.T, found.items()):
            ratios = self.quality(images, clean)["psnr"]
            for axes, image, ratio in zip(column, np.asarray(images), ratios):
                show_image(axes, image)
                if name != "clean":
                    axes.set_title(f"{ratio:.1f} dB", fontsize=7, pad=2)
            heading = name if name == "clean" else f"{name}\n{ratios[0]:.1f} dB"
            column[0].set_title(heading, fontsize=8, pad=2)
        return {"restoration": figure}
