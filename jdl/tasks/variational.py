"""Variational autoencoding: a bound on the likelihood of images."""

import dataclasses
from collections.abc import Mapping
from functools import partial
from statistics import NormalDist
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float, Key

from jdl.data.augment import Augmentation, augment_batch
from jdl.ops.divergences import Divergence, from_standard, kullback_leibler
from jdl.ops.interpolation import linear_path, spherical_path
from jdl.ops.likelihood import (
    bits_per_dimension,
    dequantize,
    importance_weighted_bound,
    normal_log_density,
)
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
    """The evidence lower bound (Kingma and Welling, 2014, equation 10).

        −ELBO = −E_q[log p(x|z)] + KL(q(z|x) ‖ N(0, I))                             (1)
        L = −E_q[log p(x|z)] + β D(q(z|x), N(0, I))                                 (2)
        log p(x) ≥ log (1/K) Σₖ p(x|zₖ) p(zₖ)/q(zₖ|x),  zₖ ~ q(z|x)                  (3)

    in nats per image. What is minimised is (2), which is (1) unless β or D is another. A batch has
    "image" [batch, height, width, channels], which is binarised for a Bernoulli decoder and
    dequantised, from 8 bits, for a Gaussian one.

    Args:
        model: with `likelihood`, `encode`, `decode`, and (images, key) → (what `decode` gives,
            mean, log_variance); a Gaussian `decode` gives the pixels' means, and behind them as
            many logarithms of variances.
        optimizer: an optax transformation.
        latent_size: numbers in a code.
        augment: (key, image) → image in [0, 1], for one example; applied to training batches.
        baselines: negative log-likelihoods of other models in nats per test image, by name, to
            be reported beside the bound.
        beta: β (Higgins et al., 2017, https://openreview.net/forum?id=Sy2fzU9gl, equation 4).
        divergence: D, of `jdl.ops.divergences`.
        importance_samples: K of the bound (3), measured on the test split; 0 leaves it out.
    """

    model: Any
    optimizer: optax.GradientTransformation
    latent_size: int
    augment: Augmentation | None = None
    baselines: Mapping[str, float] = dataclasses.field(default_factory=dict)
    beta: float = 1.0
    divergence: Divergence = kullback_leibler
    importance_samples: int = 0

    def init(self, key: Key[Array, ""], batch: Batch) -> TrainState:
        """Initialises the network on the batch's shapes."""
        variables = self.model.init(key, to_float(batch["image"]), key)
        return TrainState.create(variables, self.optimizer)

    def train_step(
        self, state: TrainState, batch: Batch, key: Key[Array, ""]
    ) -> tuple[TrainState, Metrics]:
        """One update on augmented images."""
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
        keys = per_example_keys(key, batch["row"])
        images = self._observed(images, keys)
        outputs, mu, log_variance = self.model.apply(variables, images, keys)
        reconstruction = -self._log_likelihood(outputs, images)
        divergence = from_standard(self.divergence, mu, log_variance)
        return {
            "loss": mean(reconstruction + self.beta * divergence, batch["mask"]),
            "reconstruction": mean(reconstruction, batch["mask"]),
            "divergence": mean(divergence, batch["mask"]),
        }

    def _observed(self, images: Array, keys: Key[Array, " batch"]) -> Array:
        """What the likelihood is of: images of 0 and 1, or dequantised ones."""
        if self.model.likelihood == "bernoulli":
            return binarize(images)
        # Other draws than those of the codes, which are made with the keys themselves.
        return dequantize(jax.vmap(partial(jax.random.fold_in, data=1))(keys), images)

    def _log_likelihood(self, outputs: Array, images: Array) -> Float[Array, " batch"]:
        """Returns log p(x|z), in nats, of what the decoder made of z."""
        if self.model.likelihood == "bernoulli":
            return -optax.sigmoid_binary_cross_entropy(outputs, images).sum((1, 2, 3))
        flat = (x.reshape(len(x), -1) for x in (images, *jnp.split(outputs, 2, -1)))
        return normal_log_density(*flat)

    def eval_step(self, state: TrainState, batch: Batch, key: Key[Array, ""]) -> Metrics:
        """The loss (2) in nats per image, and its two parts."""
        return self._measure(state.variables, to_float(batch["image"]), batch, key)

    def test_step(self, state: TrainState, batch: Batch, key: Key[Array, ""]) -> Metrics:
        """The same, the bound (3) as a negative log-likelihood, and the baselines.

        The bound is also told in bits a dimension where images are of 8 bits.
        """
        metrics = self.eval_step(state, batch, key)
        if self.importance_samples:
            bound = self.log_likelihood_bound(state, batch, key)
            metrics["negative_log_likelihood"] = mean(-bound, batch["mask"])
            if self.model.likelihood == "gaussian":
                bits = bits_per_dimension(bound, batch["image"][0].size)
                metrics["bits_per_dimension"] = mean(bits, batch["mask"])
        count = batch["mask"].sum()
        baselines = {name: Mean(nats * count, count) for name, nats in self.baselines.items()}
        return metrics | baselines

    def log_likelihood_bound(
        self, state: TrainState, batch: Batch, key: Key[Array, ""]
    ) -> Float[Array, " batch"]:
        """The importance-weighted bound (3) of each image, in nats."""
        keys = per_example_keys(key, batch["row"])
        images = self._observed(to_float(batch["image"]), keys)
        mu, log_variance = self.model.apply(state.variables, images, method="encode")

        def log_weight(number):
            noise = jax.vmap(
                lambda key: jax.random.normal(jax.random.fold_in(key, number), mu.shape[1:])
            )(keys)
            z = mu + jnp.exp(log_variance / 2) * noise
            outputs = self.model.apply(state.variables, z, method="decode")
            prior = normal_log_density(z, jnp.zeros_like(z), jnp.zeros_like(z))
            posterior = normal_log_density(z, mu, log_variance)
            return self._log_likelihood(outputs, images) + prior - posterior

        # One sample of all images after the other: all at once would take as many times the memory.
        samples = 2 + jnp.arange(self.importance_samples)
        return importance_weighted_bound(jax.lax.map(log_weight, samples))

    @partial(jax.jit, static_argnums=0)
    def decode(
        self, state: TrainState, latents: Float[Array, "batch latent"]
    ) -> Float[Array, "batch height width channels"]:
        """The probability of white of every pixel, or its mean."""
        outputs = self.model.apply(state.variables, latents, method="decode")
        if self.model.likelihood == "bernoulli":
            return jax.nn.sigmoid(outputs)
        return jnp.split(outputs, 2, -1)[0]

    @partial(jax.jit, static_argnums=0)
    def encode(
        self, state: TrainState, images: Float[Array, "batch height width channels"]
    ) -> Float[Array, "batch latent"]:
        """The mean code of images in [0, 1]."""
        images = binarize(images) if self.model.likelihood == "bernoulli" else images
        return self.model.apply(state.variables, images, method="encode")[0]

    def sample(
        self, state: TrainState, key: Key[Array, ""], num_samples: int
    ) -> Float[np.ndarray, "num_samples height width channels"]:
        """Decodes codes drawn from the prior: images in [0, 1]."""
        latents = jax.random.normal(key, (num_samples, self.latent_size))
        return np.clip(np.asarray(self.decode(state, latents)), 0, 1)

    def progress(self, state: TrainState, batch: Batch, key: Key[Array, ""]) -> "dict[str, Figure]":
        """Twenty samples, of the same codes each time."""
        from jdl.tasks.drawing import image_grid

        return {"samples": image_grid(self.sample(state, key, 20), columns=10)}

    def figures(self, state: TrainState, batch: Batch, key: Key[Array, ""]) -> "dict[str, Figure]":
        """Samples, reconstructions, walks between images, and the manifold of the codes.

        Codes of two numbers are shown over all of their prior, others over the two axes along which
        they vary most.
        """
        from jdl.tasks.drawing import image_grid

        images = to_float(batch["image"])
        codes = self.encode(state, images)
        shown = min(20, len(images))
        rebuilt = self.decode(state, codes[:shown])
        seen = images[:shown]
        if self.model.likelihood == "bernoulli":
            seen = binarize(seen)
        ends = codes[: min(8, len(codes) // 2 * 2)]
        paths = (linear_path, spherical_path)
        walks = jnp.stack([path(ends[::2], ends[1::2], 12) for path in paths], 1)
        if self.latent_size == 2:
            grid, over = prior_manifold(15), "all of the prior, at equal steps of probability"
        else:
            grid, over = manifold(np.asarray(codes), 15), "the first two principal axes"

        def draw(pixels: Any, columns: int, title: str) -> "Figure":
            return image_grid(np.clip(np.asarray(pixels), 0, 1), columns=columns, title=title)

        return {
            "samples": draw(self.sample(state, key, 100), 20, "Decoded draws from the prior"),
            "reconstructions": draw(
                jnp.concatenate([seen, rebuilt]),
                shown,
                "Test images, and their reconstructions below",
            ),
            "walks": draw(
                self.decode(state, walks.reshape(-1, codes.shape[1])),
                12,
                "From one test image to another: straight, and below along the sphere",
            ),
            "manifold": draw(
                self.decode(state, jnp.asarray(grid)),
                15,
                f"The manifold: decoded codes over {over}",
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


def prior_manifold(side: int) -> Float[np.ndarray, "count 2"]:
    """Lays a square grid over all codes of two numbers, at equal steps of their probability.

        zᵢ = Φ⁻¹((i − ½)/n),  i = 1 … n                                             (1)

    Args:
        side: n.

    Returns:
        [n², 2], row by row.

    Example:
        >>> [round(z, 2) for z in prior_manifold(3)[:3, 1].tolist()]
        [-0.97, 0.0, 0.97]

    Source: Kingma and Welling, 2014, appendix A.
    """
    steps = [NormalDist().inv_cdf((i + 0.5) / side) for i in range(side)]
    y, x = np.meshgrid(steps, steps, indexing="ij")
    return np.stack([y.ravel(), x.ravel()], -1).astype(np.float32)
