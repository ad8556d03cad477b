"""GoogLeNet as published: 5×5 convolutions and local response normalisation."""

from functools import partial

import flax.linen as nn
import jax.numpy as jnp
from einops import rearrange
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from jdl.layers.convolution import Conv
from jdl.layers.images import check_channels, check_smallest
from jdl.models.registry import image, register_model
from jdl.ops.normalization import local_response_norm
from jdl.ops.pooling import avg_pool, max_pool

Images = Float[Array, "batch height width channels"]
Logits = Float[Array, "batch num_classes"]

# Table 1: channels of 1×1; of 3×3, before and in it; of 5×5, likewise; behind the pooling.
BLOCKS = {
    "3a": (64, (96, 128), (16, 32), 32),
    "3b": (128, (128, 192), (32, 96), 64),
    "4a": (192, (96, 208), (16, 48), 64),
    "4b": (160, (112, 224), (24, 64), 64),
    "4c": (128, (128, 256), (24, 64), 64),
    "4d": (112, (144, 288), (32, 64), 64),
    "4e": (256, (160, 320), (32, 128), 128),
    "5a": (256, (160, 320), (32, 128), 128),
    "5b": (384, (192, 384), (48, 128), 128),
}
POOLED = ("3b", "4e")
AUXILIARY = {"4a": "aux1", "4d": "aux2"}

glorot_init = nn.initializers.xavier_uniform()


class ConvReLU(nn.Module):
    """A convolution that keeps the size, and a ReLU.

    Attributes:
        features: channels of the result.
        kernel: height and width of the kernel.
        stride: of the convolution.
        dtype: of the computation.
    """

    features: int
    kernel: int
    stride: int = 1
    dtype: DTypeLike | None = None

    @nn.compact
    def __call__(self, x: Images) -> Array:
        """Applies both."""
        conv = Conv(
            self.features,
            (self.kernel, self.kernel),
            (self.stride, self.stride),
            padding=self.kernel // 2,
            kernel_init=glorot_init,
            dtype=self.dtype,
            name="conv",
        )
        return nn.relu(conv(x))


class Inception(nn.Module):
    """An Inception block (Szegedy et al., 2015, Figure 2b): four views, side by side.

    Attributes:
        single: channels of the 1×1 convolution.
        triple: channels before and in the 3×3 convolution.
        quintuple: channels before and in the 5×5 convolution.
        pool: channels behind the max-pooling.
        dtype: of the computation.
    """

    single: int
    triple: tuple[int, int]
    quintuple: tuple[int, int]
    pool: int
    dtype: DTypeLike | None

    @nn.compact
    def __call__(self, x: Images) -> Array:
        """Applies the block."""
        conv = partial(ConvReLU, dtype=self.dtype)
        single = conv(self.single, 1, name="branch1")(x)
        triple = conv(self.triple[0], 1, name="branch2.0")(x)
        triple = conv(self.triple[1], 3, name="branch2.1")(triple)
        quintuple = conv(self.quintuple[0], 1, name="branch3.0")(x)
        quintuple = conv(self.quintuple[1], 5, name="branch3.1")(quintuple)
        pooled = conv(self.pool, 1, name="branch4.1")(max_pool(x, 3, stride=1, padding=1))
        return jnp.concatenate([single, triple, quintuple, pooled], -1)


class AuxiliaryHead(nn.Module):
    """A classifier of a map in the middle, so that the gradient has less far to go (section 5).

    Attributes:
        num_classes: number of logits.
        dropout_rate: before the last layer.
        dtype: of the computation.
    """

    num_classes: int
    dropout_rate: float
    dtype: DTypeLike | None

    @nn.compact
    def __call__(self, x: Images, *, train: bool) -> Logits:
        """Classifies a map; of 14×14, when the images have 224 pixels."""
        dense = partial(nn.Dense, kernel_init=glorot_init, dtype=self.dtype)
        x = ConvReLU(128, 1, dtype=self.dtype, name="conv")(avg_pool(x, 5, 3))
        x = rearrange(x, "b h w c -> b (c h w)")
        x = nn.relu(dense(1024, name="fc1")(x))
        x = nn.Dropout(self.dropout_rate, deterministic=not train)(x)
        return dense(self.num_classes, name="fc2")(x)


class GoogLeNet2014(nn.Module):
    """GoogLeNet (Szegedy et al., 2015, https://arxiv.org/abs/1409.4842, Table 1).

    Layers carry torchvision's names. Intermediates: `stem`, `block3a` to `block5b`, `pooled`.

    Attributes:
        num_classes: number of logits.
        in_channels: channels of the images.
        aux_heads: with the two auxiliary heads, behind blocks 4a and 4d. In training, the paper
            adds 0.3 times their losses.
        dropout_rate: before the last layer.
        aux_dropout_rate: before the last layers of the auxiliary heads.
        dtype: of the computation; parameters stay float32.
    """

    num_classes: int = 1000
    in_channels: int = 3
    aux_heads: bool = False
    dropout_rate: float = 0.4
    aux_dropout_rate: float = 0.7
    dtype: DTypeLike | None = None

    @nn.compact
    def __call__(self, images: Images, *, train: bool = False) -> Logits | tuple[Logits, ...]:
        """Classifies images.

        Args:
            images: of 15 pixels or more, 224 in the paper, the mean subtracted.
            train: drop activations.

        Returns:
            Logits; when training with auxiliary heads, (logits, those of the first head, of the
            second).

        Raises:
            UserError: the images have another number of channels, or are smaller.
        """
        check_channels(images, self.in_channels)
        check_smallest(images, "GoogLeNet", 15)
        conv = partial(ConvReLU, dtype=self.dtype)
        x = conv(64, 7, stride=2, name="conv1")(images)
        x = local_response_norm(max_pool(x, 3, stride=2, ceil_mode=True))
        x = conv(192, 3, name="conv3")(conv(64, 1, name="conv2")(x))
        x = max_pool(local_response_norm(x), 3, stride=2, ceil_mode=True)
        self.sow("intermediates", "stem", x)
        aux = []
        for block, channels in BLOCKS.items():
            x = Inception(*channels, dtype=self.dtype, name=f"inception{block}")(x)
            self.sow("intermediates", f"block{block}", x)
            if block in AUXILIARY and self.aux_heads and (train or self.is_initializing()):
                head = AuxiliaryHead(
                    self.num_classes, self.aux_dropout_rate, self.dtype, name=AUXILIARY[block]
                )
                aux.append(head(x, train=train))
            if block in POOLED:
                x = max_pool(x, 3, stride=2, ceil_mode=True)
        x = x.mean((1, 2))
        self.sow("intermediates", "pooled", x)
        x = nn.Dropout(self.dropout_rate, deterministic=not train)(x)
        dense = nn.Dense(self.num_classes, kernel_init=glorot_init, dtype=self.dtype, name="fc")
        return (dense(x), *aux) if self.aux_heads and train else dense(x)


@register_model(
    example=image(224, 224, 3),
    paper="Szegedy et al., 2015, https://arxiv.org/abs/1409.4842",
    params=6_998_552,
)
def googlenet_2014(**overrides) -> GoogLeNet2014:
    """GoogLeNet of the paper; 13,378,280 parameters with its auxiliary heads."""
    return GoogLeNet2014(**overrides)
