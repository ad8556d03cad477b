"""GoogLeNet as the world's weights have it: Inception blocks with batch normalisation."""

from functools import partial

import flax.linen as nn
import jax
import jax.numpy as jnp
from einops import rearrange
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from jdl.layers.images import check_channels, check_smallest
from jdl.layers.inception import ConvNorm, from_imagenet_to_unit_range
from jdl.models.registry import image, register_model
from jdl.ops.pooling import adaptive_avg_pool, max_pool

Images = Float[Array, "batch height width channels"]
Logits = Float[Array, "batch num_classes"]

# Channels of 1×1; of 3×3, before and in it; of what was 5×5, likewise; behind the pooling.
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
# The pooling windows behind the last blocks of a stage: stride 2, rounded up.
POOLS = {"3b": 3, "4e": 2}
AUXILIARY = {"4a": "aux1", "4d": "aux2"}


class Inception(nn.Module):
    """An Inception block (Szegedy et al., 2015, Figure 2b): four views, side by side.

    Attributes:
        single: channels of the 1×1 convolution.
        double: channels before and in the 3×3 convolution.
        wide: channels before and in the convolution that is 5×5 in the paper, and 3×3 here.
        pool: channels behind the max-pooling.
        dtype: of the computation.
    """

    single: int
    double: tuple[int, int]
    wide: tuple[int, int]
    pool: int
    dtype: DTypeLike | None

    @nn.compact
    def __call__(self, x: Images, *, train: bool) -> Array:
        """Applies the block."""
        conv = partial(ConvNorm, train=train, dtype=self.dtype)
        single = conv(self.single, 1, name="branch1")(x)
        double = conv(self.double[0], 1, name="branch2.0")(x)
        double = conv(self.double[1], 3, name="branch2.1")(double)
        wide = conv(self.wide[0], 1, name="branch3.0")(x)
        wide = conv(self.wide[1], 3, name="branch3.1")(wide)
        pooled = conv(self.pool, 1, name="branch4.1")(max_pool(x, 3, stride=1, padding=1))
        return jnp.concatenate([single, double, wide, pooled], -1)


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
        """Classifies a map."""
        x = ConvNorm(128, 1, train=train, dtype=self.dtype, name="conv")(adaptive_avg_pool(x, 4, 4))
        x = rearrange(x, "b h w c -> b (c h w)")
        x = nn.relu(nn.Dense(1024, dtype=self.dtype, name="fc1")(x))
        x = nn.Dropout(self.dropout_rate, deterministic=not train)(x)
        return nn.Dense(self.num_classes, dtype=self.dtype, name="fc2")(x)


class GoogLeNet(nn.Module):
    """GoogLeNet (Szegedy et al., 2015, https://arxiv.org/abs/1409.4842) in torchvision's form.

    Batch normalisation and no biases, 3×3 convolutions where the paper has 5×5, and no local
    response normalisation; `googlenet_2014` is the network of the paper.

    Intermediates: `stem`, `block3a` to `block5b`, `pooled`.

    Attributes:
        num_classes: number of logits.
        in_channels: channels of the images.
        width: multiplies the channels of all layers but the auxiliary heads'.
        stem_stride: of the first convolution; 1 suits images of 28 to 64 pixels.
        aux_heads: with the two auxiliary heads, behind blocks 4a and 4d.
        transform_input: shift images normalised for ImageNet to −1 to 1, as torchvision's
            published weights want it.
        dropout_rate: before the last layer.
        aux_dropout_rate: before the last layers of the auxiliary heads.
        dtype: of the computation; parameters stay float32.
    """

    num_classes: int = 1000
    in_channels: int = 3
    width: float = 1.0
    stem_stride: int = 2
    aux_heads: bool = False
    transform_input: bool = False
    dropout_rate: float = 0.2
    aux_dropout_rate: float = 0.7
    dtype: DTypeLike | None = None

    @nn.compact
    def __call__(self, images: Images, *, train: bool = False) -> Logits | tuple[Logits, ...]:
        """Classifies images.

        Args:
            images: of 15 pixels or more; for its weights, from −1 to 1, or with `transform_input`
                normalised by ImageNet's mean and deviation.
            train: drop activations, normalise with the batch's statistics and update the running
                ones.

        Returns:
            Logits; when training with auxiliary heads, (logits, those of the first head, of the
            second). torchvision hands the heads out the other way around.

        Raises:
            UserError: the images have another number of channels, or are smaller.
        """
        check_channels(images, self.in_channels)
        check_smallest(images, "GoogLeNet", 15)
        x = from_imagenet_to_unit_range(images) if self.transform_input else images
        conv = partial(ConvNorm, train=train, dtype=self.dtype)
        stem = [int(self.width * channels) for channels in (64, 64, 192)]
        x = conv(stem[0], 7, stride=self.stem_stride, name="conv1")(x)
        x = max_pool(x, 3, stride=2, ceil_mode=True)
        x = conv(stem[1], 1, name="conv2")(x)
        x = conv(stem[2], 3, name="conv3")(x)
        x = max_pool(x, 3, stride=2, ceil_mode=True)
        self.sow("intermediates", "stem", x)
        aux = []
        for block, channels in BLOCKS.items():
            channels = jax.tree.map(lambda size: int(self.width * size), channels)
            inception = Inception(*channels, dtype=self.dtype, name=f"inception{block}")
            x = inception(x, train=train)
            self.sow("intermediates", f"block{block}", x)
            if block in AUXILIARY and self.aux_heads and (train or self.is_initializing()):
                head = AuxiliaryHead(
                    self.num_classes, self.aux_dropout_rate, self.dtype, name=AUXILIARY[block]
                )
                aux.append(head(x, train=train))
            if block in POOLS:
                x = max_pool(x, POOLS[block], stride=2, ceil_mode=True)
        x = x.mean((1, 2))
        self.sow("intermediates", "pooled", x)
        x = nn.Dropout(self.dropout_rate, deterministic=not train)(x)
        logits = nn.Dense(self.num_classes, dtype=self.dtype, name="fc")(x)
        return (logits, *aux) if self.aux_heads and train else logits


PAPER = "Szegedy et al., 2015, https://arxiv.org/abs/1409.4842"


@register_model(
    example=image(224, 224, 3), paper=PAPER, params=6_624_904, reference="torchvision:googlenet"
)
def googlenet(**overrides) -> GoogLeNet:
    """GoogLeNet with batch normalisation; 13,004,888 parameters with its auxiliary heads."""
    return GoogLeNet(**overrides)
