"""Adversarial training: a generator and a discriminator, each with an optimiser of its own."""

import dataclasses
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

import flax.linen as nn
import flax.struct
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float, Key, PyTree

from jdl.data.augment import Augmentation, augment_batch
from jdl.ops.random import per_example_keys
from jdl.tasks.classification import to_float
from jdl.tasks.judge import Judge, judge_samples, judged_samples
from jdl.train.gradients import mean_gradients
from jdl.train.metrics import Metrics, mean
from jdl.train.state import TrainState
from jdl.train.task import Batch

if TYPE_CHECKING:
    from matplotlib.figure import Figure


Prior = Callable[[Key[Array, ""]], Float[Array, " latent"]]


def normal_prior(latent_size: int) -> Prior:
    """Draws latent codes from a standard normal.

    Example:
        >>> normal_prior(3)(jax.random.key(0)).shape
        (3,)
    """
    return lambda key: jax.random.normal(key, (latent_size,))


class AdversarialState(flax.struct.PyTreeNode):
    """Both networks, the average of the generator's parameters that draws, and updates made."""

    generator: TrainState
    discriminator: TrainState
    average: PyTree
    step: PyTree


@dataclasses.dataclass(frozen=True, eq=False)
class Adversarial:
    """The non-saturating game (Goodfellow et al., 2014, section 3).

        L_D = −E[log D(T(x))] − E[log(1 − D(T(G(z))))]                              (1)
        L_G = −E[log D(T(G(z)))]                                                    (2)
        θ̄ ← d θ̄ + (1 − d) θ_G,  d = min(ε, (1 + n)/(10 + n)) at update n            (3)
        x = Ḡ(z_j),  j = argmax over 1 ≤ j ≤ m of D(Ḡ(z_j)),  z_j from the prior    (4)

    with the same kind of random augmentation T before the discriminator in both, so that it cannot
    learn a small training set by heart and yet never teaches the generator to augment (Zhao et al.,
    2020, https://arxiv.org/abs/2006.10738). A sample (4) is the one of m that the discriminator
    takes most for real: it still knows some of what the generator gets wrong (after Azadi et al.,
    2019, https://arxiv.org/abs/1810.06758). A batch has "image" [batch, height, width, channels].

    Args:
        generator: (latents, train) → images in [−1, 1].
        discriminator: (images, train) → logits of being real.
        generator_optimizer: an optax transformation.
        discriminator_optimizer: an optax transformation.
        prior: key → one latent code.
        judge: the classifier that measures samples.
        augment: T, (key, image in [−1, 1]) → image, differentiable; the identity when None.
        ema: ε.
        candidates: m.
    """

    generator: nn.Module
    discriminator: nn.Module
    generator_optimizer: optax.GradientTransformation
    discriminator_optimizer: optax.GradientTransformation
    prior: Prior
    judge: Judge
    augment: Augmentation | None = None
    ema: float = 0.995
    candidates: int = 1

    def init(self, key: Key[Array, ""], batch: Batch) -> AdversarialState:
        """Initialises both networks on the batch's shapes."""
        generator_key, discriminator_key = jax.random.split(key)
        images = to_float(batch["image"])
        latents = jax.vmap(self.prior)(jax.random.split(key, len(images)))
        generator = self.generator.init(generator_key, latents)
        discriminator = self.discriminator.init(discriminator_key, images)
        return AdversarialState(
            generator=TrainState.create(generator, self.generator_optimizer),
            discriminator=TrainState.create(discriminator, self.discriminator_optimizer),
            # A copy of its own: the state is donated, and no buffer can be given away twice.
            average=jax.tree.map(jnp.copy, generator["params"]),
            step=jnp.int32(0),
        )

    def train_step(
        self, state: AdversarialState, batch: Batch, key: Key[Array, ""]
    ) -> tuple[AdversarialState, Metrics]:
        """One update of the discriminator (1), then one of the generator (2) against it.

        Both losses draw the same codes, so that the compiled step generates their images once.
        """

        def discriminator_loss(params, model_state, batch, key):
            latent_key, real_key, fake_key, _ = jax.random.split(key, 4)
            fakes, _ = self._generate(state.generator, batch, latent_key)
            real = self._augment(2 * to_float(batch["image"]) - 1, batch, real_key)
            fake = self._augment(fakes, batch, fake_key)
            apply = partial(self.discriminator.apply, train=True, mutable=list(model_state))
            real_logits, model_state = apply({"params": params, **model_state}, real)
            fake_logits, model_state = apply({"params": params, **model_state}, fake)
            losses = jax.nn.softplus(-real_logits) + jax.nn.softplus(fake_logits)
            loss = mean(losses, batch["mask"])
            metrics = {
                "discriminator_loss": loss,
                "real_accepted": mean(real_logits > 0, batch["mask"]),
                "fake_accepted": mean(fake_logits > 0, batch["mask"]),
            }
            return loss, (model_state, metrics)

        gradients, model_state, d_metrics = mean_gradients(
            discriminator_loss,
            state.discriminator.params,
            state.discriminator.model_state,
            batch,
            key,
        )
        discriminator = state.discriminator.apply(gradients, self.discriminator_optimizer)
        discriminator = discriminator.replace(model_state=model_state)

        def generator_loss(params, model_state, batch, key):
            latent_key, _, _, fake_key = jax.random.split(key, 4)
            generator = state.generator.replace(params=params, model_state=model_state)
            fakes, model_state = self._generate(generator, batch, latent_key)
            fake = self._augment(fakes, batch, fake_key)
            logits, _ = self.discriminator.apply(
                discriminator.variables, fake, train=True, mutable=["batch_stats"]
            )
            loss = mean(jax.nn.softplus(-logits), batch["mask"])
            return loss, (model_state, {"generator_loss": loss})

        gradients, model_state, g_metrics = mean_gradients(
            generator_loss, state.generator.params, state.generator.model_state, batch, key
        )
        generator = state.generator.apply(gradients, self.generator_optimizer)
        generator = generator.replace(model_state=model_state)
        decay = jnp.minimum(self.ema, (1 + state.step) / (10 + state.step))
        average = optax.incremental_update(generator.params, state.average, 1 - decay)
        state = AdversarialState(
            generator=generator,
            discriminator=discriminator,
            average=average,
            step=state.step + 1,
        )
        return state, d_metrics | g_metrics

    def _generate(self, generator: TrainState, batch: Batch, key: Key[Array, ""]):
        keys = per_example_keys(key, batch["row"])
        latents = jax.vmap(self.prior)(keys)
        return self.generator.apply(
            generator.variables, latents, train=True, mutable=list(generator.model_state)
        )

    def _augment(self, images: Array, batch: Batch, key: Key[Array, ""]) -> Array:
        if self.augment is None:
            return images
        return augment_batch(self.augment, key, images, batch["row"])

    def eval_step(self, state: AdversarialState, batch: Batch, key: Key[Array, ""]) -> Metrics:
        """Draws as many samples as the batch has examples, and asks the judge."""
        samples = self._sample(state, per_example_keys(key, batch["row"]))
        return judge_samples(self.judge, samples, to_float(batch["image"]), batch["mask"])

    @partial(jax.jit, static_argnums=0)
    def decode(
        self, state: AdversarialState, latents: Float[Array, "batch latent"]
    ) -> Float[Array, "batch height width channels"]:
        """Images in [0, 1] of latent codes, by the averaged generator (3)."""
        variables = state.generator.replace(params=state.average).variables
        return (self.generator.apply(variables, latents) + 1) / 2

    @partial(jax.jit, static_argnums=0)
    def _sample(self, state: AdversarialState, keys: Key[Array, " batch"]) -> Array:
        """Draws one sample (4) for each key."""
        candidate_keys = jax.vmap(lambda key: jax.random.split(key, self.candidates))(keys)
        latents = jax.vmap(self.prior)(candidate_keys.ravel())
        images = self.decode(state, latents)
        logits = self.discriminator.apply(state.discriminator.variables, 2 * images - 1)
        best = logits.reshape(-1, self.candidates).argmax(-1)
        return images[jnp.arange(len(keys)) * self.candidates + best]

    def sample(
        self, state: AdversarialState, key: Key[Array, ""], num_samples: int
    ) -> Float[np.ndarray, "num_samples height width channels"]:
        """Draws samples (4): images in [0, 1]."""
        return np.asarray(self._sample(state, jax.random.split(key, num_samples)))

    def figures(
        self, state: AdversarialState, batch: Batch, key: Key[Array, ""]
    ) -> "dict[str, Figure]":
        """Samples with the judge's verdicts, and straight walks between latent codes."""
        from jdl.tasks.drawing import image_grid

        ends = jax.vmap(self.prior)(jax.random.split(key, 12))
        start, end = ends[:6, None, :], ends[6:, None, :]
        t = jnp.linspace(0, 1, 12)[None, :, None]
        # Spherical, because a normal code keeps close to the sphere of radius √d.
        walk = jnp.sin((1 - t) * jnp.pi / 2) * start + jnp.sin(t * jnp.pi / 2) * end
        walk = self.decode(state, walk.reshape(-1, walk.shape[-1]))
        samples = self.sample(state, key, 96)
        return {
            "samples": judged_samples(self.judge, samples, "Samples, and the classifier's verdict"),
            "walks": image_grid(np.asarray(walk), columns=12, title="Walks between latent codes"),
        }
