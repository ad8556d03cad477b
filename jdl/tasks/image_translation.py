"""Image translation: one image is drawn from another, so that a discriminator believes the pair."""

import dataclasses
from functools import partial
from typing import TYPE_CHECKING

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float, Key, PyTree

from jdl.data.augment import Augmentation
from jdl.ops.adversarial import GeneratorLoss
from jdl.ops.random import piece_key
from jdl.tasks.adversarial import AdversarialState, Game
from jdl.tasks.classification import to_float
from jdl.train.metrics import Metrics, mean
from jdl.train.state import TrainState
from jdl.train.task import Batch

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclasses.dataclass(frozen=True, eq=False)
class ImageTranslation(Game):
    """Pix2pix (Isola et al., 2017, https://arxiv.org/abs/1611.07004, equations 1, 3 and 4).

        L_D = ½ E[−log D(s, y) − log(1 − D(s, G(s, z)))]                            (1)
        L_G = E[−log D(s, G(s, z))] + λ E‖y − G(s, z)‖₁                             (2)

    of a source s and the image y that belongs to it, with D a mean over patches, and z the
    generator's dropout. Dropout and the batch's own statistics stay on at test time, where a
    batch is one image (section 3.3). ‖·‖₁ is the mean over pixels and channels.

    A batch has "source" and "image" [batch, height, width, channels].

    Args:
        generator: (images in [−1, 1], train) → images in [−1, 1], with dropout.
        discriminator: (source and image along the channels, train) → logits [batch, ...].
        generator_optimizer: an optax transformation.
        discriminator_optimizer: an optax transformation.
        distance_weight: λ.
        adversarial_weight: what the discriminator's part of (2) counts; 0 leaves the distance.
        augment: of real and drawn images before the discriminator; the identity when None.
        ema: the share of the drawing average that an update keeps; 0 draws with the last weights.
        loss: of the generator, as in `jdl.tasks.adversarial.Adversarial`.
        penalty: of the discriminator's gradient, likewise.
    """

    generator: nn.Module
    discriminator: nn.Module
    generator_optimizer: optax.GradientTransformation
    discriminator_optimizer: optax.GradientTransformation
    distance_weight: float = 100.0
    adversarial_weight: float = 1.0
    augment: Augmentation | None = None
    ema: float = 0.0
    loss: GeneratorLoss = "non-saturating"
    penalty: float = 0.0

    def init(self, key: Key[Array, ""], batch: Batch) -> AdversarialState:
        """Initialises both networks on the batch's shapes."""
        keys = jax.random.split(key)
        source, image = (2 * to_float(batch[name]) - 1 for name in ("source", "image"))
        return self._first_state(
            self.generator.init(keys[0], source),
            self.discriminator.init(keys[1], jnp.concatenate([source, image], axis=-1)),
        )

    def _generate(
        self, generator: TrainState, batch: Batch, key: Key[Array, ""]
    ) -> tuple[Array, PyTree]:
        return self.generator.apply(
            generator.variables,
            2 * to_float(batch["source"]) - 1,
            train=True,
            mutable=["batch_stats"],
            rngs={"dropout": piece_key(key, batch["row"])},
        )

    def _judge(self, variables: PyTree, images: Array, batch: Batch) -> tuple[Array, PyTree]:
        pair = jnp.concatenate([2 * to_float(batch["source"]) - 1, images], axis=-1)
        return self.discriminator.apply(variables, pair, train=True, mutable=["batch_stats"])

    def _weights(self) -> tuple[float, float]:
        return 0.5, self.adversarial_weight

    def _further_loss(self, images: Array, batch: Batch) -> Float[Array, " batch"]:
        return self.distance_weight * _distance(images, batch)

    def eval_step(self, state: AdversarialState, batch: Batch, key: Key[Array, ""]) -> Metrics:
        """The distance of what is drawn to what should be, in [0, 1] per pixel and channel."""
        drawn = self.translate(state, to_float(batch["source"]), key)
        return {"distance": mean(_distance(2 * drawn - 1, batch) / 2, batch["mask"])}

    @partial(jax.jit, static_argnums=0)
    def translate(
        self,
        state: AdversarialState,
        sources: Float[Array, "batch height width channels"],
        key: Key[Array, ""],
    ) -> Float[Array, "batch height width drawn"]:
        """Draws an image for each source, one by one: images in [0, 1]."""
        variables = state.generator.replace(params=state.average).variables

        def one(inputs):
            source, key = inputs
            drawn, _ = self.generator.apply(
                variables,
                2 * source[None] - 1,
                train=True,
                mutable=["batch_stats"],
                rngs={"dropout": key},
            )
            return (drawn[0] + 1) / 2

        return jax.lax.map(one, (sources, jax.random.split(key, len(sources))))

    def progress(
        self, state: AdversarialState, batch: Batch, key: Key[Array, ""]
    ) -> "dict[str, Figure]":
        """What is drawn from ten sources, with the same dropout each time."""
        from jdl.tasks.drawing import image_grid

        drawn = self.translate(state, to_float(batch["source"])[:10], key)
        return {"translations": image_grid(np.asarray(drawn), columns=10)}

    def figures(
        self, state: AdversarialState, batch: Batch, key: Key[Array, ""]
    ) -> "dict[str, Figure]":
        """Sources, what is drawn from them twice, and what belongs to them."""
        from jdl.tasks.drawing import image_grid

        sources = to_float(batch["source"])[:10]
        drawn = [self.translate(state, sources, k) for k in jax.random.split(key)]
        rows = [sources, *drawn, to_float(batch["image"])[:10]]
        rows = [jnp.broadcast_to(row, (*row.shape[:3], drawn[0].shape[-1])) for row in rows]
        title = "Sources, what is drawn from them, the same with other dropout, and the truth"
        return {
            "translations": image_grid(
                np.concatenate([np.asarray(row) for row in rows]), columns=10, title=title
            )
        }


def _distance(images: Array, batch: Batch) -> Float[Array, " batch"]:
    return jnp.abs(images - (2 * to_float(batch["image"]) - 1)).mean((1, 2, 3))
