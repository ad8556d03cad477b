"""Inception-v4: the same blocks throughout, and more of them."""

from functools import partial

import flax.linen as nn
import jax.numpy as jnp
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from jdl.layers.images import check_channels, check_smallest
from jdl.layers.inception import ConvNorm
from jdl.models.registry import image, register_model
from jdl.ops.pooling import avg_pool, global_pool, max_pool

Images = Float[Array, "batch height width channels"]

# The zeros around the map do not count, as in TensorFlow.
mean_pool = partial(avg_pool, window=3, stride=1, padding=1, count_padding=False)


class Block(nn.Module):
    """A part of the network: views of a map, side by side.

    Attributes:
        train: of the normalisation.
        dtype: of the computation.
    """

    train: bool
    dtype: DTypeLike | None = None

    def conv(self, features: int, kernel: int | tuple[int, int], name: str, **options) -> ConvNorm:
        """Returns a convolution of the block."""
        return ConvNorm(features, kernel, train=self.train, dtype=self.dtype, name=name, **options)


class Mixed3a(Block):
    """Halves the map (Szegedy et al., 2017, Figure 3)."""

    @nn.compact
    def __call__(self, x: Images) -> Array:
        """Applies the block."""
        y = self.conv(96, 3, "conv", stride=2, padded=False)(x)
        return jnp.concatenate([max_pool(x, 3, stride=2), y], -1)


class Mixed4a(Block):
    """3×3, once with and once without 7×7 in front (Figure 3)."""

    @nn.compact
    def __call__(self, x: Images) -> Array:
        """Applies the block."""
        a = self.conv(64, 1, "branch0.0")(x)
        a = self.conv(96, 3, "branch0.1", padded=False)(a)
        b = self.conv(64, 1, "branch1.0")(x)
        b = self.conv(64, (1, 7), "branch1.1")(b)
        b = self.conv(64, (7, 1), "branch1.2")(b)
        b = self.conv(96, 3, "branch1.3", padded=False)(b)
        return jnp.concatenate([a, b], -1)


class Mixed5a(Block):
    """Halves the map (Figure 3)."""

    @nn.compact
    def __call__(self, x: Images) -> Array:
        """Applies the block."""
        y = self.conv(192, 3, "conv", stride=2, padded=False)(x)
        return jnp.concatenate([y, max_pool(x, 3, stride=2)], -1)


class InceptionA(Block):
    """The block of the 35×35 map (Figure 4)."""

    @nn.compact
    def __call__(self, x: Images) -> Array:
        """Applies the block."""
        a = self.conv(96, 1, "branch0")(x)
        b = self.conv(64, 1, "branch1.0")(x)
        b = self.conv(96, 3, "branch1.1")(b)
        c = self.conv(64, 1, "branch2.0")(x)
        c = self.conv(96, 3, "branch2.1")(c)
        c = self.conv(96, 3, "branch2.2")(c)
        d = self.conv(96, 1, "branch3.1")(mean_pool(x))
        return jnp.concatenate([a, b, c, d], -1)


class ReductionA(Block):
    """Halves the 35×35 map (Figure 7)."""

    @nn.compact
    def __call__(self, x: Images) -> Array:
        """Applies the block."""
        a = self.conv(384, 3, "branch0", stride=2, padded=False)(x)
        b = self.conv(192, 1, "branch1.0")(x)
        b = self.conv(224, 3, "branch1.1")(b)
        b = self.conv(256, 3, "branch1.2", stride=2, padded=False)(b)
        return jnp.concatenate([a, b, max_pool(x, 3, stride=2)], -1)


class InceptionB(Block):
    """The block of the 17×17 map (Figure 5)."""

    @nn.compact
    def __call__(self, x: Images) -> Array:
        """Applies the block."""
        a = self.conv(384, 1, "branch0")(x)
        b = self.conv(192, 1, "branch1.0")(x)
        b = self.conv(224, (1, 7), "branch1.1")(b)
        b = self.conv(256, (7, 1), "branch1.2")(b)
        c = self.conv(192, 1, "branch2.0")(x)
        c = self.conv(192, (7, 1), "branch2.1")(c)
        c = self.conv(224, (1, 7), "branch2.2")(c)
        c = self.conv(224, (7, 1), "branch2.3")(c)
        c = self.conv(256, (1, 7), "branch2.4")(c)
        d = self.conv(128, 1, "branch3.1")(mean_pool(x))
        return jnp.concatenate([a, b, c, d], -1)


class ReductionB(Block):
    """Halves the 17×17 map (Figure 8)."""

    @nn.compact
    def __call__(self, x: Images) -> Array:
        """Applies the block."""
        a = self.conv(192, 1, "branch0.0")(x)
        a = self.conv(192, 3, "branch0.1", stride=2, padded=False)(a)
        b = self.conv(256, 1, "branch1.0")(x)
        b = self.conv(256, (1, 7), "branch1.1")(b)
        b = self.conv(320, (7, 1), "branch1.2")(b)
        b = self.conv(320, 3, "branch1.3", stride=2, padded=False)(b)
        return jnp.concatenate([a, b, max_pool(x, 3, stride=2)], -1)


class InceptionC(Block):
    """The block of the 8×8 map (Figure 6)."""

    @nn.compact
    def __call__(self, x: Images) -> Array:
        """Applies the block."""
        a = self.conv(256, 1, "branch0")(x)
        b = self.conv(384, 1, "branch1_0")(x)
        c = self.conv(384, 1, "branch2_0")(x)
        c = self.conv(448, (3, 1), "branch2_1")(c)
        c = self.conv(512, (1, 3), "branch2_2")(c)
        parts = [
            a,
            self.conv(256, (1, 3), "branch1_1a")(b),
            self.conv(256, (3, 1), "branch1_1b")(b),
            self.conv(256, (1, 3), "branch2_3a")(c),
            self.conv(256, (3, 1), "branch2_3b")(c),
            self.conv(256, 1, "branch3.1")(mean_pool(x)),
        ]
        return jnp.concatenate(parts, -1)


BLOCKS = (
    (Mixed3a, Mixed4a, Mixed5a)
    + (InceptionA,) * 4
    + (ReductionA,)
    + (InceptionB,) * 7
    + (ReductionB,)
    + (InceptionC,) * 3
)


class InceptionV4(nn.Module):
    """Inception-v4 (Szegedy et al., 2017, https://arxiv.org/abs/1602.07261, Figure 9).

    Layers carry timm's names: 22 parts, of which three are convolutions. Intermediates:
    `layer0` to `layer21`, `pooled`.

    Attributes:
        num_classes: number of logits.
        in_channels: channels of the images.
        dropout_rate: before the last layer.
        global_pool: "avg", "max" or "avgmax", of all pixels at the end.
        dtype: of the computation; parameters stay float32.
    """

    num_classes: int = 1000
    in_channels: int = 3
    dropout_rate: float = 0.2
    global_pool: str = "avg"
    dtype: DTypeLike | None = None

    @nn.compact
    def __call__(self, images: Images, *, train: bool = False) -> Float[Array, "batch num_classes"]:
        """Classifies images.

        Args:
            images: of 75 pixels or more, from −1 to 1 for ImageNet's weights.
            train: drop activations, normalise with the batch's statistics and update the running
                ones.

        Returns:
            Logits.

        Raises:
            UserError: the images have another number of channels, or are smaller; no such pooling.
        """
        check_channels(images, self.in_channels)
        check_smallest(images, "Inception-v4", 75)
        conv = partial(ConvNorm, train=train, dtype=self.dtype)
        parts = [
            partial(conv, 32, 3, stride=2, padded=False),
            partial(conv, 32, 3, padded=False),
            partial(conv, 64, 3),
            *(partial(block, train=train, dtype=self.dtype) for block in BLOCKS),
        ]
        x = images
        for i, part in enumerate(parts):
            x = part(name=f"features.{i}")(x)
            self.sow("intermediates", f"layer{i}", x)
        x = global_pool(x, self.global_pool)
        self.sow("intermediates", "pooled", x)
        x = nn.Dropout(self.dropout_rate, deterministic=not train)(x)
        return nn.Dense(self.num_classes, dtype=self.dtype, name="last_linear")(x)


PAPER = "Szegedy et al., 2017, https://arxiv.org/abs/1602.07261"


@register_model(
    example=image(299, 299, 3), paper=PAPER, params=42_679_816, reference="timm:inception_v4"
)
def inception_v4(**overrides) -> InceptionV4:
    """Inception-v4."""
    return InceptionV4(**overrides)
