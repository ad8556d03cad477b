"""Variational autoencoding: a bound on the likelihood of binary images."""

import dataclasses
from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float, Key

from jdl.data.augment import Augmentation, augment_batch
from jdl.ops.random import per_example_keys
from jdl.tasks.classification import to_float
from jdl.train.gradients import mean_gradients
from jdl.train.metrics import Mean, Metrics, mean
from jdl.train.state import TrainState
from jdl.train.task import Batch

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def binarize(images: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
    """Cuts images in [0, 1] at one half: 0 or 1, so that a Bernoulli decoder gives a likelihood.

    Example:
        >>> binarize(jnp.array([0.2, 0.7])).tolist()
        [0.0, 1.0]
    """
    return (images > 0.5).astype(jnp.float32)


@dataclasses.dataclass(frozen=True, eq=False)
class Variational:
    """The evidence lower bound of a Bernoulli decoder (Kingma and Welling, 2014, equation 10).

        −ELBO = −E_q[log p(x|z)] + KL(q(z|x) ‖ N(0, I))                             (1)
        KL = −½ Σⱼ (1 + log σⱼ² − μⱼ² − σⱼ²)                                        (2)

    in nats per image. A batch has "image" [batch, height, width, channels], which is binarised.

    Args:
        model: with `encode`, `decode`, and (images, key) → (logits, mean, log_variance).
        optimizer: an optax transformation.
        latent_size: numbers in a code.
        augment: (key, image) → image in [0, 1], for one example; applied to training batches.
        baselines: negative log-likelihoods of other models in nats per test image, by name, to
            be reported beside the bound.
    """

    model: nn.Module
    optimizer: optax.GradientTransformation
    latent_size: int
    augment: Augmentation | None = None
    baselines: Mapping[str, float] = dataclasses.field(default_factory=dict)

    def init(self, key: Key[Array, ""], batch: Batch) -> TrainState:
        """Initialises the network on the batch's shapes."""
        variables = self.model.init(key, to_float(batch["image"]), key)
        return TrainState.create(variables, self.optimizer)

    def train_step(
        self, state: TrainState, batch: Batch, key: Key[Array, ""]
    ) -> tuple[TrainState, Metrics]:
        """One update on augmented, binarised images."""
        gradients, _, metrics = mean_gradients(
            self._loss, state.params, state.model_state, batch, key
        )
        return state.apply(gradients, self.optimizer), metrics

    def _loss(self, params, model_state, batch: Batch, key: Key[Array, ""]):
        augment_key, code_key = jax.random.split(key)
        images = to_float(batch["image"])
        if self.augment is not None:
            images = augment_batch(self.augment, augment_key, images, batch["row"])
        metrics = self._measure({"params": params}, images, batch, code_key)
        return metrics["loss"], (model_state, metrics)

    def _measure(self, variables, images: Array, batch: Batch, key: Key[Array, ""]) -> Metrics:
        images = binarize(images)
        logits, mu, log_variance = self.model.apply(
            variables, images, per_example_keys(key, batch["row"])
        )
        reconstruction = optax.sigmoid_binary_cross_entropy(logits, images).sum((1, 2, 3))
        divergence = -0.5 * (1 + log_variance - mu**2 - jnp.exp(log_variance)).sum(-1)
        return {
            "loss": mean(reconstruction + divergence, batch["mask"]),
            "reconstruction": mean(reconstruction, batch["mask"]),
            "divergence": mean(divergence, batch["mask"]),
        }

    def eval_step(self, state: TrainState, batch: Batch, key: Key[Array, ""]) -> Metrics:
        """−ELBO (1) in nats per image, and its two parts."""
        return self._measure(state.variables, to_float(batch["image"]), batch, key)

    def test_step(self, state: TrainState, batch: Batch, key: Key[Array, ""]) -> Metrics:
        """The same, beside the baselines."""
        count = batch["mask"].sum()
        baselines = {name: Mean(nats * count, count) for name, nats in self.baselines.items()}
        return self.eval_step(state, batch, key) | baselines

    @partial(jax.jit, static_argnums=0)
    def decode(
        self, state: TrainState, latents: Float[Array, "batch latent"]
    ) -> Float[Array, "batch height width channels"]:
        """The probability of white of every pixel."""
        return jax.nn.sigmoid(self.model.apply(state.variables, latents, method="decode"))

    @partial(jax.jit, static_argnums=0)
    def encode(
        self, state: TrainState, images: Float[Array, "batch height width channels"]
    ) -> Float[Array, "batch latent"]:
        """The mean code of images in [0, 1]."""
        return self.model.apply(state.variables, binarize(images), method="encode")[0]

    def sample(
        self, state: TrainState, key: Key[Array, ""], num_samples: int
    ) -> Float[np.ndarray, "num_samples height width channels"]:
        """Decodes codes drawn from the prior: images in [0, 1]."""
        latents = jax.random.normal(key, (num_samples, self.latent_size))
        return np.asarray(self.decode(state, latents))

    def figures(self, state: TrainState, batch: Batch, key: Key[Array, ""]) -> "dict[str, Figure]":
        """Samples, reconstructions, and the manifold spanned by two principal axes of the codes."""
        from jdl.tasks.drawing import image_grid

        images = to_float(batch["image"])
        codes = np.asarray(self.encode(state, images))
        shown = min(20, len(images))
        rebuilt = np.asarray(self.decode(state, codes[:shown]))
        pairs = np.concatenate([np.asarray(binarize(images[:shown])), rebuilt])
        return {
            "samples": image_grid(
                self.sample(state, key, 100), columns=20, title="Decoded draws from the prior"
            ),
            "reconstructions": image_grid(
                pairs, columns=shown, title="Test images, and their reconstructions below"
            ),
            "manifold": image_grid(
                np.asarray(self.decode(state, manifold(codes, 15))),
                columns=15,
                title="The manifold: decoded codes along the first two principal axes",
            ),
        }


def manifold(codes: Float[np.ndarray, "count latent"], side: int) -> np.ndarray:
    """Lays a square grid of codes over the two directions in which codes vary most.

    Args:
        codes: of real images; their mean is the grid's centre.
        side: points on a side.

    Returns:
        [side², latent], row by row, from −2 to 2 standard deviations along both axes.

    Example:
        >>> manifold(np.eye(3, dtype=np.float32), 5).shape
        (25, 3)
    """
    centre = codes.mean(0)
    _, scales, axes = np.linalg.svd(codes - centre, full_matrices=False)
    steps = np.linspace(-2, 2, side)
    scales = scales[:2] / np.sqrt(max(len(codes) - 1, 1))
    y, x = np.meshgrid(steps, steps, indexing="ij")
    grid = y[..., None] * scales[0] * axes[0] + x[..., None] * scales[1] * axes[1]
    return (centre + grid.reshape(side * side, -1)).astype(np.float32)
