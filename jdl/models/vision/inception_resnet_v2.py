"""Inception-ResNet-v2: Inception blocks that learn what to add."""

from functools import partial

import flax.linen as nn
import jax.numpy as jnp
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from jdl.layers.convolution import Conv
from jdl.layers.images import check_channels, check_smallest
from jdl.layers.inception import ConvNorm
from jdl.models.registry import image, register_model
from jdl.ops.pooling import avg_pool, global_pool, max_pool

Images = Float[Array, "batch height width channels"]


class Mixed5b(nn.Module):
    """The block in front of the residual ones.

    Attributes:
        train: of the normalisation.
        dtype: of the computation.
    """

    train: bool
    dtype: DTypeLike | None = None

    @nn.compact
    def __call__(self, x: Images) -> Array:
        """Applies the block."""
        conv = partial(ConvNorm, train=self.train, dtype=self.dtype)
        a = conv(96, 1, name="branch0")(x)
        b = conv(48, 1, name="branch1.0")(x)
        b = conv(64, 5, name="branch1.1")(b)
        c = conv(64, 1, name="branch2.0")(x)
        c = conv(96, 3, name="branch2.1")(c)
        c = conv(96, 3, name="branch2.2")(c)
        # The zeros around the map do not count, as in TensorFlow.
        d = avg_pool(x, 3, stride=1, padding=1, count_padding=False)
        d = conv(64, 1, name="branch3.1")(d)
        return jnp.concatenate([a, b, c, d], -1)


class Mixed6a(nn.Module):
    """Halves the 35×35 map (Szegedy et al., 2017, Figure 7).

    Attributes:
        train: of the normalisation.
        dtype: of the computation.
    """

    train: bool
    dtype: DTypeLike | None = None

    @nn.compact
    def __call__(self, x: Images) -> Array:
        """Applies the block."""
        conv = partial(ConvNorm, train=self.train, dtype=self.dtype)
        a = conv(384, 3, stride=2, padded=False, name="branch0")(x)
        b = conv(256, 1, name="branch1.0")(x)
        b = conv(256, 3, name="branch1.1")(b)
        b = conv(384, 3, stride=2, padded=False, name="branch1.2")(b)
        return jnp.concatenate([a, b, max_pool(x, 3, stride=2)], -1)


class Mixed7a(nn.Module):
    """Halves the 17×17 map (Figure 18).

    Attributes:
        train: of the normalisation.
        dtype: of the computation.
    """

    train: bool
    dtype: DTypeLike | None = None

    @nn.compact
    def __call__(self, x: Images) -> Array:
        """Applies the block."""
        conv = partial(ConvNorm, train=self.train, dtype=self.dtype)
        a = conv(256, 1, name="branch0.0")(x)
        a = conv(384, 3, stride=2, padded=False, name="branch0.1")(a)
        b = conv(256, 1, name="branch1.0")(x)
        b = conv(288, 3, stride=2, padded=False, name="branch1.1")(b)
        c = conv(256, 1, name="branch2.0")(x)
        c = conv(288, 3, name="branch2.1")(c)
        c = conv(320, 3, stride=2, padded=False, name="branch2.2")(c)
        return jnp.concatenate([a, b, c, max_pool(x, 3, stride=2)], -1)


# Channels of the convolutions of each branch, and their kernels.
BRANCHES: dict[int, list[list[tuple[int, int | tuple[int, int]]]]] = {
    35: [[(32, 1)], [(32, 1), (32, 3)], [(32, 1), (48, 3), (64, 3)]],
    17: [[(192, 1)], [(128, 1), (160, (1, 7)), (192, (7, 1))]],
    8: [[(192, 1)], [(192, 1), (224, (1, 3)), (256, (3, 1))]],
}


class Block(nn.Module):
    """A residual Inception block (Figures 16, 17 and 19).

        y = relu(x + s · W [branch₀(x), branch₁(x), ...] + s · b)                   (1)

    Attributes:
        size: of the map, which says which branches: 35, 17 or 8.
        scale: s; training was unstable without it (section 3.3).
        train: of the normalisation.
        relu: whether the sum is rectified.
        dtype: of the computation.
    """

    size: int
    scale: float
    train: bool
    relu: bool = True
    dtype: DTypeLike | None = None

    @nn.compact
    def __call__(self, x: Images) -> Array:
        """Applies equation (1)."""
        branches = []
        for i, layers in enumerate(BRANCHES[self.size]):
            y = x
            for j, (features, kernel) in enumerate(layers):
                name = f"branch{i}.{j}" if len(layers) > 1 else f"branch{i}"
                y = ConvNorm(features, kernel, train=self.train, dtype=self.dtype, name=name)(y)
            branches.append(y)
        y = jnp.concatenate(branches, -1)
        y = Conv(x.shape[-1], (1, 1), dtype=self.dtype, name="conv2d")(y)
        y = x + self.scale * y
        return nn.relu(y) if self.relu else y


class InceptionResNetV2(nn.Module):
    """Inception-ResNet-v2 (Szegedy et al., 2017, https://arxiv.org/abs/1602.07261, Figure 15).

    The stem is that of Inception-v3, as in the authors' code and its weights; the paper draws that
    of Inception-v4.

    Layers carry timm's names. Intermediates: `stem`, `inception_a`, `reduction_a`, `inception_b`,
    `reduction_b`, `inception_c`, `features`, `pooled`.

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
        check_smallest(images, "Inception-ResNet-v2", 75)
        conv = partial(ConvNorm, train=train, dtype=self.dtype)
        x = conv(32, 3, stride=2, padded=False, name="conv2d_1a")(images)
        x = conv(32, 3, padded=False, name="conv2d_2a")(x)
        x = conv(64, 3, name="conv2d_2b")(x)
        x = max_pool(x, 3, stride=2)
        x = conv(80, 1, name="conv2d_3b")(x)
        x = conv(192, 3, padded=False, name="conv2d_4a")(x)
        x = max_pool(x, 3, stride=2)
        x = self._seen("stem", Mixed5b(train, self.dtype, name="mixed_5b")(x))

        block = partial(Block, train=train, dtype=self.dtype)
        for i in range(10):
            x = block(35, 0.17, name=f"repeat.{i}")(x)
        self._seen("inception_a", x)
        x = self._seen("reduction_a", Mixed6a(train, self.dtype, name="mixed_6a")(x))
        for i in range(20):
            x = block(17, 0.1, name=f"repeat_1.{i}")(x)
        self._seen("inception_b", x)
        x = self._seen("reduction_b", Mixed7a(train, self.dtype, name="mixed_7a")(x))
        for i in range(9):
            x = block(8, 0.2, name=f"repeat_2.{i}")(x)
        x = self._seen("inception_c", block(8, 1.0, relu=False, name="block8")(x))
        x = self._seen("features", conv(1536, 1, name="conv2d_7b")(x))

        x = self._seen("pooled", global_pool(x, self.global_pool))
        x = nn.Dropout(self.dropout_rate, deterministic=not train)(x)
        return nn.Dense(self.num_classes, dtype=self.dtype, name="classif")(x)

    def _seen(self, name: str, x: Array) -> Array:
        self.sow("intermediates", name, x)
        return x


PAPER = "Szegedy et al., 2017, https://arxiv.org/abs/1602.07261"


@register_model(
    example=image(299, 299, 3),
    paper=PAPER,
    params=55_843_464,
    reference="timm:inception_resnet_v2",
)
def inception_resnet_v2(**overrides) -> InceptionResNetV2:
    """Inception-ResNet-v2."""
    return InceptionResNetV2(**overrides)
