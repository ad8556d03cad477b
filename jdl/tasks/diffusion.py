"""Denoising diffusion: a network learns to undo noise; samples are drawn by undoing all of it."""

import dataclasses
from functools import partial
from typing import TYPE_CHECKING, Any

import flax.linen as nn
import flax.struct
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float, Key, PyTree

from jdl.data.augment import Augmentation, augment_batch
from jdl.diffusion.gaussian import Prediction, diffuse, target, to_image
from jdl.diffusion.samplers import ddim
from jdl.ops.random import per_example_keys, piece_key
from jdl.tasks.classification import to_float
from jdl.tasks.judge import Judge, judge_samples, judged_samples
from jdl.train.gradients import mean_gradients
from jdl.train.metrics import Metrics, mean
from jdl.train.state import TrainState
from jdl.train.task import Batch

if TYPE_CHECKING:
    from matplotlib.figure import Figure


GOLDEN_RATIO = 0.6180339887


class DiffusionState(flax.struct.PyTreeNode):
    """A network, two averages of its parameters, and updates made.

    Samples are drawn with the latest average; the early one, if there is guidance, leads away from
    what a network does that has learned little.
    """

    network: TrainState
    average: PyTree
    early: PyTree
    step: PyTree


@dataclasses.dataclass(frozen=True, eq=False)
class Diffusion:
    """Denoising diffusion (Ho et al., 2020, https://arxiv.org/abs/2006.11239, equation 14).

        t ~ U{1 … T},  ε ~ N(0, I),  xₜ = √ᾱₜ x₀ + √(1 − ᾱₜ) ε                      (1)
        L = E ‖f(xₜ, t) − y‖²,  y one of ε, x₀, v                                   (2)
        θ̄ ← d θ̄ + (1 − d) θ,  d = min(ε, (1 + n)/(10 + n)) at update n              (3)
        ŷ = f(xₜ, t; θ̄) + w · (f(xₜ, t; θ̄) − f(xₜ, t; θ̄ₘ)),  θ̄ₘ the average at update m   (4)

    Samples are drawn with (4): where the trained network and its own early version differ, the
    difference points to what training has improved, and going further that way leaves out what a
    small network still gets wrong (autoguidance: Karras et al., 2024,
    https://arxiv.org/abs/2406.02507, equation 3). It costs a second pass through the network.

    The steps t of a batch are spread evenly, by multiples of the golden ratio from a random start:
    each is uniform, and the loss of a batch varies less (as Kingma et al., 2021,
    https://arxiv.org/abs/2107.00630, appendix I.1, do by equal distances). A batch has "image"
    [batch, height, width, channels].

    Args:
        model: (images in [−1, 1], timesteps from 0, train) → prediction.
        optimizer: an optax transformation.
        alpha_bar: ᾱ₁ … ᾱ_T.
        image_shape: of an image.
        judge: the classifier that measures samples.
        prediction: what the network is asked for, y.
        augment: (key, image in [0, 1]) → image, for one example; applied to training batches.
        ema: ε.
        sampler_steps: strides of the sampler.
        eta: of the sampler: 0 deterministic, 1 ancestral.
        guidance: w; without it there is one pass, and no second average.
        early_step: m.
    """

    model: nn.Module
    optimizer: optax.GradientTransformation
    alpha_bar: Float[np.ndarray, " num_steps"]
    image_shape: tuple[int, int, int]
    judge: Judge
    prediction: Prediction = "noise"
    augment: Augmentation | None = None
    ema: float = 0.999
    sampler_steps: int = 60
    eta: float = 1.0
    guidance: float = 0.0
    early_step: int = 0

    def init(self, key: Key[Array, ""], batch: Batch) -> DiffusionState:
        """Initialises the network on the batch's shapes."""
        images = to_float(batch["image"])
        variables = self.model.init(key, images, jnp.zeros(len(images)))
        return DiffusionState(
            network=TrainState.create(variables, self.optimizer),
            # A copy of its own: the state is donated, and no buffer can be given away twice.
            average=jax.tree.map(jnp.copy, variables["params"]),
            early=jax.tree.map(jnp.copy, variables["params"]) if self.guidance else {},
            step=jnp.int32(0),
        )

    def train_step(
        self, state: DiffusionState, batch: Batch, key: Key[Array, ""]
    ) -> tuple[DiffusionState, Metrics]:
        """One update (2), and one of the average (3)."""
        gradients, _, metrics = mean_gradients(
            self._loss, state.network.params, state.network.model_state, batch, key
        )
        network = state.network.apply(gradients, self.optimizer)
        decay = jnp.minimum(self.ema, (1 + state.step) / (10 + state.step))
        average = optax.incremental_update(network.params, state.average, 1 - decay)
        early = state.early
        if self.guidance:
            is_early = state.step < self.early_step
            early = jax.tree.map(lambda new, old: jnp.where(is_early, new, old), average, early)
        state = DiffusionState(network=network, average=average, early=early, step=state.step + 1)
        return state, metrics

    def _loss(self, params, model_state, batch: Batch, key: Key[Array, ""]):
        augment_key, noise_key, dropout_key = jax.random.split(key, 3)
        images = to_float(batch["image"])
        if self.augment is not None:
            images = augment_batch(self.augment, augment_key, images, batch["row"])
        loss = self._measure(
            {"params": params},
            images,
            batch,
            noise_key,
            train=True,
            rngs={"dropout": piece_key(dropout_key, batch["row"])},
        )
        return loss, (model_state, {"loss": loss})

    def _measure(self, variables, images: Array, batch: Batch, key: Key[Array, ""], **apply: Any):
        time_key, noise_key = jax.random.split(key)
        images = 2 * images - 1
        spread = (jax.random.uniform(time_key) + batch["row"] * GOLDEN_RATIO) % 1.0
        t = (spread * len(self.alpha_bar)).astype(jnp.int32)
        keys = per_example_keys(noise_key, batch["row"])
        noise = jax.vmap(lambda key: jax.random.normal(key, images.shape[1:]))(keys)
        alpha_bar = jnp.asarray(self.alpha_bar)[t][:, None, None, None]
        noisy = diffuse(images, noise, alpha_bar)
        predicted = self.model.apply(variables, noisy, t.astype(jnp.float32), **apply)
        wanted = target(images, noise, alpha_bar, self.prediction)
        return mean(jnp.square(predicted - wanted).mean((1, 2, 3)), batch["mask"])

    def eval_step(self, state: DiffusionState, batch: Batch, key: Key[Array, ""]) -> Metrics:
        """The loss (2) of the averaged network."""
        images = to_float(batch["image"])
        return {"loss": self._measure({"params": state.average}, images, batch, key)}

    def test_step(self, state: DiffusionState, batch: Batch, key: Key[Array, ""]) -> Metrics:
        """The loss, and the judge's verdict on as many samples as the batch has examples."""
        images, _ = self._sample(state, per_example_keys(key, batch["row"]))
        verdict = judge_samples(self.judge, images, to_float(batch["image"]), batch["mask"])
        return self.eval_step(state, batch, key) | verdict

    @partial(jax.jit, static_argnums=0)
    def _sample(self, state: DiffusionState, keys: Key[Array, " batch"]):
        alpha_bar = jnp.asarray(self.alpha_bar)

        def denoise(noisy, t):
            predicted = self.model.apply({"params": state.average}, noisy, t.astype(jnp.float32))
            if self.guidance:
                early = self.model.apply({"params": state.early}, noisy, t.astype(jnp.float32))
                predicted += self.guidance * (predicted - early)
            image = to_image(predicted, noisy, alpha_bar[t][:, None, None, None], self.prediction)
            # Pixels are known to lie in [−1, 1]: early guesses would otherwise run away.
            return jnp.clip(image, -1, 1)

        images, guesses = ddim(
            denoise, keys, self.image_shape, self.alpha_bar, self.sampler_steps, self.eta
        )
        return (images + 1) / 2, (guesses + 1) / 2

    def sample(
        self, state: DiffusionState, key: Key[Array, ""], num_samples: int
    ) -> Float[np.ndarray, "num_samples height width channels"]:
        """Draws images in [0, 1]."""
        return np.asarray(self._sample(state, jax.random.split(key, num_samples))[0])

    def figures(
        self, state: DiffusionState, batch: Batch, key: Key[Array, ""]
    ) -> "dict[str, Figure]":
        """Samples with the judge's verdicts, and what the network saw in the noise on the way."""
        from jdl.tasks.drawing import image_grid

        images, guesses = jax.device_get(self._sample(state, jax.random.split(key, 96)))
        shown = np.linspace(0, self.sampler_steps - 1, 12).round().astype(int)
        trajectory = np.swapaxes(guesses[shown, :8], 0, 1).reshape(-1, *self.image_shape)
        steps = [f"{stride + 1}/{self.sampler_steps}" for stride in shown]
        return {
            "samples": judged_samples(self.judge, images, "Samples, and the classifier's verdict"),
            "trajectory": image_grid(
                trajectory,
                columns=len(shown),
                titles=steps + [""] * (len(trajectory) - len(shown)),
                title="Denoising: the clean image that the network guesses at each stride",
            ),
        }
