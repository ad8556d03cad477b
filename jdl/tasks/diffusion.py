"""Denoising diffusion: a network learns to undo noise; samples are drawn by undoing all of it."""

import dataclasses
from collections.abc import Callable
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
from jdl.diffusion.denoisers import Denoiser, bounded, denoiser, guided
from jdl.diffusion.gaussian import Prediction, Weighting
from jdl.diffusion.interpolation import check_shape
from jdl.diffusion.losses import denoising_loss
from jdl.diffusion.processes import Process
from jdl.diffusion.samplers import Sampler, ddim
from jdl.errors import UserError
from jdl.ops.random import per_example_keys, piece_key
from jdl.tasks.captioning import agreement
from jdl.tasks.classification import to_float
from jdl.tasks.conditioning import ByClass, BySentence, Conditioning
from jdl.tasks.judge import Judge, judge_samples, judged_samples
from jdl.train.gradients import mean_gradients
from jdl.train.metrics import Metrics, mean
from jdl.train.state import TrainState
from jdl.train.task import Batch

if TYPE_CHECKING:
    from matplotlib.figure import Figure


# Images in [0, 1] → a sentence of each.
Captioner = Callable[[Float[np.ndarray, "count height width 3"]], list[str]]

GOLDEN_RATIO = 0.6180339887
STRIDES: Sampler = partial(ddim, steps=60, eta=1.0)


class DiffusionState(flax.struct.PyTreeNode):
    """A network, two averages of its parameters, and updates made.

    Samples are drawn with the latest average; the early one, if there is one, leads away from what
    a network does that has learned little.
    """

    network: TrainState
    average: PyTree
    early: PyTree
    step: PyTree


@dataclasses.dataclass(frozen=True, eq=False)
class Diffusion:
    """Denoising diffusion (Ho et al., 2020, https://arxiv.org/abs/2006.11239, equation 14).

        t ~ U,  ε ~ N(0, I),  xₜ = a(t) x₀ + s(t) ε                                 (1)
        L = E w(t) ‖f(xₜ, t, c) − y‖²,  y one of ε, x₀, v and the score             (2)
        θ̄ ← d θ̄ + (1 − d) θ,  d = min(ε, (1 + n)/(10 + n)) at update n              (3)
        x̂ = x̂(xₜ, t, c; θ̄) + w · (x̂(xₜ, t, c; θ̄) − x̂(xₜ, t, ∅; θ̄))                  (4)
        x̂ = x̂(xₜ, t; θ̄) + w · (x̂(xₜ, t; θ̄) − x̂(xₜ, t; θ̄ₘ)),  θ̄ₘ the average at update m   (5)

    Samples of a condition c are drawn with (4), classifier-free guidance (Ho and Salimans, 2022,
    https://arxiv.org/abs/2207.12598): in training, c is left out of some examples, so that one
    network knows both. Without conditions there is (5): where the trained network and its own early
    version differ, the difference points to what training has improved, and going further that way
    leaves out what a small network still gets wrong (autoguidance: Karras et al., 2024,
    https://arxiv.org/abs/2406.02507, equation 3). Either costs a second pass through the network.

    The times t of a batch are spread evenly, by multiples of the golden ratio from a random start:
    each is uniform, and the loss of a batch varies less (as Kingma et al., 2021,
    https://arxiv.org/abs/2107.00630, appendix I.1, do by equal distances). A batch has "image"
    [batch, height, width, channels], and what the conditions are.

    Args:
        model: (images in [−1, 1], timesteps[, conditions], train) → prediction.
        optimizer: an optax transformation.
        process: gives a, s and the times.
        image_shape: of an image.
        judge: the classifier that measures samples; without it they are only looked at.
        captioner: images in [0, 1] → sentences; it reads samples of the conditioning's examples.
        prediction: what the network is asked for, y.
        weighting: w(t) of (2).
        conditioning: what the network is told beside the time.
        drop: how often it is not told, in training.
        augment: (key, image in [0, 1]) → image, for one example; applied to training batches.
        ema: ε.
        sampler: how samples are drawn.
        guidance: w of (4) or (5); 0 for none, and one pass.
        early_step: m; 0 for no second average.

    Raises:
        UserError: guidance, with neither conditions nor an early average to lead away from.
    """

    model: nn.Module
    optimizer: optax.GradientTransformation
    process: Process
    image_shape: tuple[int, int, int]
    judge: Judge | None = None
    captioner: Captioner | None = None
    prediction: Prediction = "noise"
    weighting: Weighting = "simple"
    conditioning: Conditioning | None = None
    drop: float = 0.1
    augment: Augmentation | None = None
    ema: float = 0.999
    sampler: Sampler = STRIDES
    guidance: float = 0.0
    early_step: int = 0

    def __post_init__(self):
        if self.guidance and self.conditioning is None and not self.early_step:
            raise UserError(
                f"guidance of {self.guidance:g} needs a model with conditions, or early_step, "
                "after which an average is kept to lead away from; this one has neither"
            )

    def init(self, key: Key[Array, ""], batch: Batch) -> DiffusionState:
        """Initialises the network on the batch's shapes."""
        images = to_float(batch["image"])
        variables = self.model.init(key, images, jnp.ones(len(images)), *self._told(batch))
        return DiffusionState(
            network=TrainState.create(variables, self.optimizer),
            # A copy of its own: the state is donated, and no buffer can be given away twice.
            average=jax.tree.map(jnp.copy, variables["params"]),
            early=jax.tree.map(jnp.copy, variables["params"]) if self.early_step else {},
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
        if self.early_step:
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
            self.scaled(images, per_example_keys(augment_key, batch["row"])),
            batch,
            self._told(batch, jax.random.fold_in(key, 3)),
            noise_key,
            train=True,
            rngs={"dropout": piece_key(dropout_key, batch["row"])},
        )
        return loss, (model_state, {"loss": loss})

    def scaled(
        self, images: Float[Array, "batch *shape"], keys: Key[Array, " batch"]
    ) -> Float[Array, "batch *shape"]:
        """Takes images in [0, 1] to [−1, 1]."""
        return 2 * images - 1

    def _told(self, batch: Batch, key: Key[Array, ""] | None = None) -> tuple[Array, ...]:
        """Returns the conditions, if there are any, as arguments; with a key, some are left out."""
        if self.conditioning is None:
            return ()
        conditions = batch[self.conditioning.key]
        if key is None:
            return (conditions,)
        keys = per_example_keys(key, batch["row"])
        left_out = jax.vmap(jax.random.uniform)(keys) < self.drop
        left_out = left_out.reshape(-1, *[1] * (conditions.ndim - 1))
        return (jnp.where(left_out, self.conditioning.nothing(conditions), conditions),)

    def _measure(self, variables, images, batch: Batch, told, key: Key[Array, ""], **apply: Any):
        time_key, noise_key = jax.random.split(key)
        spread = (jax.random.uniform(time_key) + batch["row"] * GOLDEN_RATIO) % 1.0
        keys = per_example_keys(noise_key, batch["row"])
        noise = jax.vmap(lambda key: jax.random.normal(key, images.shape[1:]))(keys)
        losses = denoising_loss(
            lambda noisy, t: self.model.apply(variables, noisy, t, *told, **apply),
            self.process,
            images,
            noise,
            self.process.at(spread),
            self.prediction,
            self.weighting,
        )
        return mean(losses, batch["mask"])

    def eval_step(self, state: DiffusionState, batch: Batch, key: Key[Array, ""]) -> Metrics:
        """The loss (2) of the averaged network; and of one that is not told the conditions."""
        images = self.scaled(to_float(batch["image"]), per_example_keys(key, batch["row"]))
        variables, told = {"params": state.average}, self._told(batch)
        metrics = {"loss": self._measure(variables, images, batch, told, key)}
        if self.conditioning is not None:
            nothing = (self.conditioning.nothing(told[0]),)
            metrics["loss_untold"] = self._measure(variables, images, batch, nothing, key)
        return metrics

    def test_step(self, state: DiffusionState, batch: Batch, key: Key[Array, ""]) -> Metrics:
        """The loss, and the judge's verdict on as many samples as the batch has examples.

        Samples of classes are of the examples' own, and "as_asked" is the share that the judge
        takes for the class that was asked for.
        """
        metrics = self.eval_step(state, batch, key)
        if self.judge is None:
            return metrics
        keys, told = per_example_keys(key, batch["row"]), self._told(batch)
        images = self._sample(state, self.process.prior(keys, self.image_shape), keys, *told)[0]
        if isinstance(self.conditioning, ByClass):
            right = self.judge(images).argmax(-1) == told[0]
            metrics["as_asked"] = mean(right, batch["mask"])
        real = to_float(batch["image"])
        return metrics | judge_samples(self.judge, images, real, batch["mask"])

    def denoiser(
        self, state: DiffusionState, *told: Array, guidance: float | Array | None = None
    ) -> Denoiser:
        """Makes the guided denoiser, (4) or (5), of the averaged network.

        Args:
            state: of this task.
            told: the conditions, one for each image, if the model takes any.
            guidance: w; the task's own when None.

        Returns:
            (xₜ, t) → x̂₀.
        """

        def of(params, *told):
            network = partial(self.model.apply, {"params": params})
            return denoiser(lambda x, t: network(x, t, *told), self.process, self.prediction)

        guidance = self.guidance if guidance is None else guidance
        best = of(state.average, *told)
        if self.conditioning is not None:
            return guided(best, of(state.average, self.conditioning.nothing(told[0])), guidance)
        return guided(best, of(state.early), guidance) if self.early_step else best

    @partial(jax.jit, static_argnums=0)
    def _sample(
        self,
        state: DiffusionState,
        start: Array,
        keys: Key[Array, " batch"],
        *told: Array,
        guidance: Array | None = None,
    ) -> tuple[Array, Array]:
        denoise = bounded(self.denoiser(state, *told, guidance=guidance))
        images, guesses = self.sampler(denoise, self.process, start, keys)
        return (images + 1) / 2, (guesses + 1) / 2

    def sample(
        self,
        state: DiffusionState,
        key: Key[Array, ""],
        num_samples: int,
        condition: str | None = None,
        latents: Float[Array, "..."] | None = None,
    ) -> Float[np.ndarray, "num_samples height width channels"]:
        """Draws images in [0, 1].

        Args:
            state: of this task.
            key: of the draws.
            num_samples: how many.
            condition: what they are to show, as a person writes it; otherwise one after the other
                of what the conditioning shows.
            latents: what to start with instead of draws, [num_samples, height, width, channels].

        Returns:
            The images.

        Raises:
            UserError: a condition that cannot be read, or for a model that takes none; latents of
                another shape.
        """
        keys = jax.random.split(key, num_samples)
        told: tuple[Array, ...] = ()
        if self.conditioning is not None:
            told = (jnp.asarray(self.conditioning.ask(condition, num_samples)),)
        elif condition is not None:
            raise UserError(f"this model takes no condition, and so not {condition!r}")
        if latents is None:
            latents = self.process.prior(keys, self.image_shape)
        check_shape(latents, (num_samples, *self.image_shape))
        return np.asarray(self._sample(state, latents, keys, *told)[0])

    def texts(self, state: DiffusionState, key: Key[Array, ""]) -> dict[str, str]:
        """How many samples the captioner reads as what was asked for, and every sentence."""
        if self.captioner is None or not isinstance(self.conditioning, BySentence):
            return {}
        asked = self.conditioning.examples
        read = self.captioner(self.sample(state, key, len(asked)))
        lines = [f"asked: {one}\nread:  {other}\n" for one, other in zip(asked, read)]
        return {"sentences": "\n".join([f"samples: {agreement(read, asked)}\n", *lines])}

    def progress(
        self, state: DiffusionState, batch: Batch, key: Key[Array, ""]
    ) -> "dict[str, Figure]":
        """Sixteen samples, whose noise is the same each time."""
        from jdl.tasks.drawing import image_grid

        return {"samples": image_grid(self.sample(state, key, 16), columns=8)}

    def figures(
        self, state: DiffusionState, batch: Batch, key: Key[Array, ""]
    ) -> "dict[str, Figure]":
        """Samples with the judge's verdicts, and what the network saw in the noise on the way."""
        from jdl.tasks.drawing import image_grid

        keys = jax.random.split(key, 96)
        told: tuple[Array, ...] = ()
        if self.conditioning is not None:
            told = (jnp.asarray(self.conditioning.ask(None, len(keys))),)
        start = self.process.prior(keys, self.image_shape)
        images, guesses = jax.device_get(self._sample(state, start, keys, *told))
        shown = np.linspace(0, len(guesses) - 1, 12).round().astype(int)
        trajectory = np.swapaxes(guesses[shown, :8], 0, 1).reshape(-1, *self.image_shape)
        steps = [f"{stride + 1}/{len(guesses)}" for stride in shown]
        drawn = {
            "samples": image_grid(images, columns=16, title="Samples")
            if self.judge is None
            else judged_samples(self.judge, images, "Samples, and the classifier's verdict"),
            "trajectory": image_grid(
                trajectory,
                columns=len(shown),
                titles=steps + [""] * (len(trajectory) - len(shown)),
                title="Denoising: the clean image that the network guesses at each stride",
            ),
        }
        if self.conditioning is not None:
            drawn["guidance"] = self._guidance_figure(state, start[:8], keys[:8], told[0][:8])
        return drawn

    def _guidance_figure(self, state, start, keys, conditions) -> "Figure":
        """Draws the same noise under the same conditions, guided by more and more."""
        from jdl.tasks.drawing import image_grid

        weights = (0.0, 1.0, 2.0, 4.0, 8.0)
        columns = [
            self._sample(state, start, keys, conditions, guidance=jnp.float32(w))[0]
            for w in weights
        ]
        images = np.stack([np.asarray(column) for column in columns], 1)
        return image_grid(
            images.reshape(-1, *self.image_shape),
            columns=len(weights),
            titles=[f"w = {w:g}" for w in weights] + [""] * (len(weights) * (len(start) - 1)),
            title="The same noise, guided",
        )
