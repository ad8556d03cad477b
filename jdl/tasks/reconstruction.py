"""Reconstruction: an autoencoder brings back the image that it was shown, or what was behind it."""

import dataclasses
from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float, Key

from jdl.data.augment import Augmentation, augment_batch
from jdl.ops.interpolation import linear_path
from jdl.tasks.classification import to_float
from jdl.train.gradients import mean_gradients
from jdl.train.metrics import Mean, Metrics, mean
from jdl.train.state import TrainState
from jdl.train.task import Batch

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Images = Float[Array, "batch height width channels"]
ACTIVE = 0.01


@dataclasses.dataclass(frozen=True, eq=False)
class Reconstruction:
    """Autoencoding, with noise on the image and a price on the code if wanted.

        x̃ = T(x),  a = encode(x̃)                                                    (1)
        gaussian:   L = ‖decode(a) − x‖² + λ Σⱼ |aⱼ|                                 (2)
        bernoulli:  L = −Σᵢ (xᵢ log x̂ᵢ + (1 − xᵢ) log(1 − x̂ᵢ)) + λ Σⱼ |aⱼ|,          (3)
                    x̂ = sigmoid(decode(a))

    of each image. Without T the image itself is encoded; with it, the autoencoder is a denoising
    one, and is measured on images with noise, too. A batch has "image" [batch, height, width,
    channels], 8 bits or in [0, 1].

    Args:
        model: images → (reconstructions, codes), with `encode` and `decode`.
        optimizer: an optax transformation.
        likelihood: which of (2) and (3).
        sparsity: λ.
        corruption: T, (key, image) → image.
        baselines: mean squared errors of other methods by name, to be reported beside.

    Source: Vincent et al., 2010, https://jmlr.org/papers/v11/vincent10a.html, sections 2.2 and 3;
    (2) with λ is the sparse autoencoder of Ng, 2011, with an absolute value for a price.
    """

    model: Any
    optimizer: optax.GradientTransformation
    likelihood: Literal["gaussian", "bernoulli"] = "bernoulli"
    sparsity: float = 0.0
    corruption: Augmentation | None = None
    baselines: Mapping[str, float] = dataclasses.field(default_factory=dict)

    @property
    def latent_size(self) -> int:
        """Numbers in a code."""
        return self.model.latent_size

    def init(self, key: Key[Array, ""], batch: Batch) -> TrainState:
        """Initialises the network on the batch's shapes."""
        return TrainState.create(self.model.init(key, to_float(batch["image"])), self.optimizer)

    def train_step(
        self, state: TrainState, batch: Batch, key: Key[Array, ""]
    ) -> tuple[TrainState, Metrics]:
        """One update."""
        gradients, _, metrics = mean_gradients(
            self._loss, state.params, state.model_state, batch, key
        )
        return state.apply(gradients, self.optimizer), metrics

    def _loss(self, params, model_state, batch: Batch, key: Key[Array, ""]):
        metrics = self._measure({"params": params}, batch, key)
        return metrics["loss"], (model_state, metrics)

    def _measure(self, variables, batch: Batch, key: Key[Array, ""]) -> Metrics:
        images, mask = to_float(batch["image"]), batch["mask"]
        outputs, codes = self.model.apply(variables, self.corrupted(images, batch["row"], key))
        if self.likelihood == "bernoulli":
            errors = optax.sigmoid_binary_cross_entropy(outputs, images).sum((1, 2, 3))
        else:
            errors = jnp.square(outputs - images).sum((1, 2, 3))
        squared = jnp.square(self._pixels(outputs) - images).mean((1, 2, 3))
        return {
            "loss": mean(errors + self.sparsity * jnp.abs(codes).sum(-1), mask),
            "mean_squared_error": mean(squared, mask),
            "active_code": mean((jnp.abs(codes) > ACTIVE).mean(-1), mask),
        }

    def corrupted(self, images: Images, rows: Array, key: Key[Array, ""]) -> Images:
        """Images in [0, 1] as the encoder sees them (1)."""
        if self.corruption is None:
            return images
        return augment_batch(self.corruption, key, images, rows)

    def _pixels(self, outputs: Images) -> Images:
        return jax.nn.sigmoid(outputs) if self.likelihood == "bernoulli" else outputs

    def eval_step(self, state: TrainState, batch: Batch, key: Key[Array, ""]) -> Metrics:
        """The loss, the squared error of a pixel, and the share of the code that is not zero."""
        return self._measure(state.variables, batch, key)

    def test_step(self, state: TrainState, batch: Batch, key: Key[Array, ""]) -> Metrics:
        """The same, beside the baselines."""
        count = batch["mask"].sum()
        baselines = {name: Mean(error * count, count) for name, error in self.baselines.items()}
        return self.eval_step(state, batch, key) | baselines

    @partial(jax.jit, static_argnums=0)
    def decode(self, state: TrainState, latents: Float[Array, "batch latent"]) -> Images:
        """Images of codes, in [0, 1] if pixels are probabilities."""
        return self._pixels(self.model.apply(state.variables, latents, method="decode"))

    @partial(jax.jit, static_argnums=0)
    def encode(self, state: TrainState, images: Images) -> Float[Array, "batch latent"]:
        """Codes of images in [0, 1]."""
        return self.model.apply(state.variables, images, method="encode")

    @partial(jax.jit, static_argnums=0)
    def reconstruct(self, state: TrainState, images: Images) -> Images:
        """What comes back of images in [0, 1], or of noisy ones."""
        return self.decode(state, self.encode(state, images))

    def figures(self, state: TrainState, batch: Batch, key: Key[Array, ""]) -> "dict[str, Figure]":
        """Reconstructions, what single numbers of the code stand for, and walks between images."""
        from jdl.tasks.drawing import image_grid

        images = to_float(batch["image"])[:20]
        seen = self.corrupted(images, batch["row"][:20], key)
        rebuilt = self.reconstruct(state, seen)
        rows = [images, rebuilt] if self.corruption is None else [images, seen, rebuilt]
        codes = self.encode(state, to_float(batch["image"]))
        ends = codes[: min(12, len(codes) // 2 * 2)]
        walks = linear_path(ends[::2], ends[1::2], 10)
        # A step of one deviation up in each number of the mean code, for those that vary most.
        most = jnp.argsort(-codes.std(0))[:32]
        centre = codes.mean(0)[None]
        steps = jax.nn.one_hot(most, codes.shape[1]) * codes.std(0)[None]
        changes = self.decode(state, centre + steps) - self.decode(state, centre)
        changes = np.asarray(changes) / max(float(jnp.abs(changes).max()), 1e-9)
        title = "Images, " + ("" if self.corruption is None else "noise, ") + "reconstructions"
        return {
            "reconstructions": image_grid(
                np.clip(np.concatenate(rows), 0, 1), columns=len(images), title=title
            ),
            "code": image_grid(
                changes, columns=8, signed=True, title="What one deviation of a number changes"
            ),
            "walks": image_grid(
                np.clip(np.asarray(self.decode(state, walks.reshape(-1, codes.shape[1]))), 0, 1),
                columns=10,
                title="Straight walks between the codes of two images",
            ),
        }
