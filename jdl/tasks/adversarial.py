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
from jaxtyping import Array, Float, Key, PyTree, Shaped

from jdl.data.augment import Augmentation, augment_batch
from jdl.layers.images import check_latents
from jdl.ops.adversarial import GeneratorLoss, discriminator_loss, generator_loss
from jdl.ops.interpolation import spherical_path
from jdl.ops.random import per_example_keys, piece_key
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


class Game:
    """What all adversarial training shares: who plays, and how both are updated.

    The game itself is told by `_generate`, `_judge`, `_weights` and `_further_loss`; the fields are
    those of `Adversarial`.
    """

    generator: nn.Module
    discriminator: nn.Module
    generator_optimizer: optax.GradientTransformation
    discriminator_optimizer: optax.GradientTransformation
    augment: Augmentation | None
    ema: float
    loss: GeneratorLoss
    penalty: float

    def _generate(
        self, generator: TrainState, batch: Batch, key: Key[Array, ""]
    ) -> tuple[Array, PyTree]:
        """Draws images for a batch; returns them, and what else the generator has learned of it."""
        raise NotImplementedError

    def _judge(self, variables: PyTree, images: Array, batch: Batch) -> tuple[Array, PyTree]:
        """Logits of being real, and what else the discriminator has learned of the batch."""
        raise NotImplementedError

    def _weights(self) -> tuple[float, float]:
        """What the discriminator's loss counts, and that of the generator against it."""
        return 1.0, 1.0

    def _further_loss(self, images: Array, batch: Batch) -> Float[Array, " batch"]:
        """What the generator minimises besides."""
        return jnp.zeros(len(images))

    def _first_state(self, generator: PyTree, discriminator: PyTree) -> AdversarialState:
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

        def of_discriminator(params, model_state, batch, key):
            latent_key, real_key, fake_key, _ = jax.random.split(key, 4)
            fakes, _ = self._generate(state.generator, batch, latent_key)
            real = self._augment(2 * to_float(batch["image"]) - 1, batch, real_key)
            fake = self._augment(fakes, batch, fake_key)
            variables = {"params": params, **model_state}
            losses = jnp.zeros(len(real))

            def score(images):
                logits, model_state = self._judge(variables, images, batch)
                return logits.sum(), (logits, model_state)

            if self.penalty:
                slopes, (real_logits, model_state) = jax.grad(score, has_aux=True)(real)
                losses += self.penalty / 2 * jnp.square(slopes).sum((1, 2, 3))
            else:
                _, (real_logits, model_state) = score(real)
            fake_logits, model_state = self._judge({"params": params, **model_state}, fake, batch)
            losses += self._weights()[0] * _mean(discriminator_loss(real_logits, fake_logits))
            loss = mean(losses, batch["mask"])
            metrics = {
                "discriminator_loss": loss,
                "real_accepted": mean(_mean(real_logits > 0), batch["mask"]),
                "fake_accepted": mean(_mean(fake_logits > 0), batch["mask"]),
            }
            return loss, (model_state, metrics)

        gradients, model_state, d_metrics = mean_gradients(
            of_discriminator,
            state.discriminator.params,
            state.discriminator.model_state,
            batch,
            key,
        )
        discriminator = state.discriminator.apply(gradients, self.discriminator_optimizer)
        discriminator = discriminator.replace(model_state=model_state)

        def of_generator(params, model_state, batch, key):
            latent_key, _, _, fake_key = jax.random.split(key, 4)
            generator = state.generator.replace(params=params, model_state=model_state)
            fakes, model_state = self._generate(generator, batch, latent_key)
            fake = self._augment(fakes, batch, fake_key)
            logits, _ = self._judge(discriminator.variables, fake, batch)
            losses = self._weights()[1] * _mean(generator_loss(logits, self.loss))
            loss = mean(losses + self._further_loss(fakes, batch), batch["mask"])
            return loss, (model_state, {"generator_loss": loss})

        gradients, model_state, g_metrics = mean_gradients(
            of_generator, state.generator.params, state.generator.model_state, batch, key
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

    def _augment(self, images: Array, batch: Batch, key: Key[Array, ""]) -> Array:
        if self.augment is None:
            return images
        return augment_batch(self.augment, key, images, batch["row"])


def _mean(values: Shaped[Array, "batch ..."]) -> Float[Array, " batch"]:
    """Averages over all but the examples: a discriminator may give many logits of each."""
    return values.reshape(len(values), -1).mean(-1)


@dataclasses.dataclass(frozen=True, eq=False)
class Adversarial(Game):
    """A game of two networks (Goodfellow et al., 2014, https://arxiv.org/abs/1406.2661).

        L_D = −E[log D(T(x))] − E[log(1 − D(T(G(z))))] + γ/2 E‖∇ₓ D(x)‖²             (1)
        L_G = −E[log D(T(G(z)))],  or E[log(1 − D(T(G(z))))] of the minimax game    (2)
        θ̄ ← d θ̄ + (1 − d) θ_G,  d = min(ε, (1 + n)/(10 + n)) at update n            (3)
        x = Ḡ(z_j),  j = argmax over 1 ≤ j ≤ m of D(Ḡ(z_j)),  z_j from the prior    (4)

    with the same kind of random augmentation T before the discriminator in both, so that it cannot
    learn a small training set by heart and yet never teaches the generator to augment (Zhao et al.,
    2020, https://arxiv.org/abs/2006.10738). A sample (4) is the one of m that the discriminator
    takes most for real: it still knows some of what the generator gets wrong (after Azadi et al.,
    2019, https://arxiv.org/abs/1810.06758). The gradient penalty, R1, is that of the logits
    (Mescheder et al., 2018, https://arxiv.org/abs/1801.04406, equation 9).

    A batch has "image" [batch, height, width, channels], and where both networks are told a class
    ("conditional", Mirza and Osindero, 2014, https://arxiv.org/abs/1411.1784), "label" [batch].

    Args:
        generator: (latents, train) → images in [−1, 1], drawing noise from "noise" if it has any;
            with classes (latents, labels, train).
        discriminator: (images, train) → logits of being real; with classes (images, labels, train).
        generator_optimizer: an optax transformation.
        discriminator_optimizer: an optax transformation.
        prior: key → one latent code.
        judge: the classifier that measures samples.
        augment: T, (key, image in [−1, 1]) → image, differentiable; the identity when None.
        ema: ε.
        candidates: m.
        loss: which of (2).
        penalty: γ; there is none when it is 0.
        num_classes: classes to condition on, if any.
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
    loss: GeneratorLoss = "non-saturating"
    penalty: float = 0.0
    num_classes: int | None = None

    def init(self, key: Key[Array, ""], batch: Batch) -> AdversarialState:
        """Initialises both networks on the batch's shapes."""
        generator_key, discriminator_key = jax.random.split(key)
        images = to_float(batch["image"])
        latents = jax.vmap(self.prior)(jax.random.split(key, len(images)))
        labels = self._labels(batch)
        generator = self.generator.init(generator_key, latents, *labels)
        discriminator = self.discriminator.init(discriminator_key, images, *labels)
        return self._first_state(generator, discriminator)

    def _labels(self, batch: Batch) -> tuple[Array, ...]:
        return () if self.num_classes is None else (batch["label"],)

    def _generate(self, generator: TrainState, batch: Batch, key: Key[Array, ""]):
        keys = per_example_keys(key, batch["row"])
        latents = jax.vmap(self.prior)(keys)
        return self.generator.apply(
            generator.variables,
            latents,
            *self._labels(batch),
            train=True,
            mutable=list(generator.model_state),
            rngs={"noise": piece_key(jax.random.fold_in(key, 1), batch["row"])},
        )

    def _judge(self, variables: PyTree, images: Array, batch: Batch) -> tuple[Array, PyTree]:
        """Logits of being real, and what else the discriminator has learned of the batch."""
        labels = self._labels(batch)
        return self.discriminator.apply(
            variables, images, *labels, train=True, mutable=["batch_stats"]
        )

    def eval_step(self, state: AdversarialState, batch: Batch, key: Key[Array, ""]) -> Metrics:
        """Draws as many samples as the batch has examples, and asks the judge.

        With classes, "obeyed" is the share of samples that the judge puts in the class they were
        asked to be of: that of the example in the same row.
        """
        labels = self._labels(batch)
        samples = self._sample(state, per_example_keys(key, batch["row"]), *labels)
        metrics = judge_samples(self.judge, samples, to_float(batch["image"]), batch["mask"])
        if labels:
            obeyed = self.judge(samples).argmax(-1) == batch["label"]
            metrics["obeyed"] = mean(obeyed, batch["mask"])
        return metrics

    @partial(jax.jit, static_argnums=0)
    def decode(
        self, state: AdversarialState, latents: Float[Array, "batch latent"], *labels: Array
    ) -> Float[Array, "batch height width channels"]:
        """Images in [0, 1] of latent codes, by the averaged generator (3); labels of their classes.

        Raises:
            UserError: the codes are not of the prior's size.
        """
        (size,) = jax.eval_shape(self.prior, jax.random.key(0)).shape
        check_latents(latents, size)
        variables = state.generator.replace(params=state.average).variables
        # The same noise for all, if any: what differs are the codes.
        drawn = self.generator.apply(variables, latents, *labels, rngs={"noise": jax.random.key(0)})
        # A last layer without tanh may go beyond.
        return jnp.clip((drawn + 1) / 2, 0, 1)

    @partial(jax.jit, static_argnums=0)
    def _sample(self, state: AdversarialState, keys: Key[Array, " batch"], *labels: Array) -> Array:
        """Draws one sample (4) for each key."""
        candidate_keys = jax.vmap(lambda key: jax.random.split(key, self.candidates))(keys)
        latents = jax.vmap(self.prior)(candidate_keys.ravel())
        labels = tuple(label.repeat(self.candidates) for label in labels)
        images = self.decode(state, latents, *labels)
        logits = self.discriminator.apply(state.discriminator.variables, 2 * images - 1, *labels)
        best = logits.reshape(-1, self.candidates).argmax(-1)
        return images[jnp.arange(len(keys)) * self.candidates + best]

    def sample(
        self, state: AdversarialState, key: Key[Array, ""], num_samples: int
    ) -> Float[np.ndarray, "num_samples height width channels"]:
        """Draws samples (4), of all classes in turn: images in [0, 1]."""
        labels = () if self.num_classes is None else (jnp.arange(num_samples) % self.num_classes,)
        return np.asarray(self._sample(state, jax.random.split(key, num_samples), *labels))

    def progress(
        self, state: AdversarialState, batch: Batch, key: Key[Array, ""]
    ) -> "dict[str, Figure]":
        """Twenty samples, of the same codes each time."""
        from jdl.tasks.drawing import image_grid

        return {"samples": image_grid(self.sample(state, key, 20), columns=10)}

    def figures(
        self, state: AdversarialState, batch: Batch, key: Key[Array, ""]
    ) -> "dict[str, Figure]":
        """Samples with the judge's verdicts, and walks between latent codes."""
        from jdl.tasks.drawing import image_grid

        ends = jax.vmap(self.prior)(jax.random.split(key, 12))
        # Along the sphere, because a normal code keeps close to that of radius √d.
        walk = spherical_path(ends[:6], ends[6:], 12)
        labels = () if self.num_classes is None else (jnp.arange(6).repeat(12) % self.num_classes,)
        walk = self.decode(state, walk.reshape(-1, walk.shape[-1]), *labels)
        samples = self.sample(state, key, 96)
        return {
            "samples": judged_samples(self.judge, samples, "Samples, and the classifier's verdict"),
            "walks": image_grid(np.asarray(walk), columns=12, title="Walks between latent codes"),
        }
