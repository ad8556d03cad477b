"""DenseNet: every layer sees the maps of all layers before it."""

from collections.abc import Sequence
from functools import partial

import flax.linen as nn
import jax.numpy as jnp
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from jdl.layers.convolution import Conv
from jdl.layers.images import check_channels
from jdl.layers.normalization import BatchNorm
from jdl.models.registry import image, register_model
from jdl.ops.pooling import avg_pool, global_pool, max_pool

he_init = nn.initializers.variance_scaling(2.0, "fan_in", "normal")


class DenseLayer(nn.Module):
    """What a dense block adds to its maps: BN, ReLU, convolution (Huang et al., 2017, section 3).

    Attributes:
        growth_rate: channels of the result.
        bottleneck: a 1×1 convolution to four times as many channels comes first.
        dropout_rate: of the result.
        dtype: of the computation.
    """

    growth_rate: int
    bottleneck: bool
    dropout_rate: float
    dtype: DTypeLike | None

    @nn.compact
    def __call__(self, x: Array, *, train: bool) -> Array:
        """Computes new maps from all maps before."""
        conv = partial(Conv, use_bias=False, kernel_init=he_init, dtype=self.dtype)
        norm = partial(BatchNorm, train=train, dtype=self.dtype)
        x = nn.relu(norm(name="norm1")(x))
        if self.bottleneck:
            x = conv(4 * self.growth_rate, (1, 1), name="conv1")(x)
            x = nn.relu(norm(name="norm2")(x))
        x = conv(self.growth_rate, (3, 3), padding=1, name=f"conv{1 + self.bottleneck}")(x)
        return nn.Dropout(self.dropout_rate, deterministic=not train)(x)


class DenseNet(nn.Module):
    """Densely connected network (Huang et al., 2017, https://arxiv.org/abs/1608.06993, Table 1).

    A stem, dense blocks with transitions between them that halve the size, the mean over all
    pixels, and one dense layer. The form for CIFAR (section 4.2) has a 3×3 stem without norm and
    pooling.

    Intermediates: `stem`, `denseblock1`, `transition1`, `denseblock2`, ..., `pooled`.

    Attributes:
        block_sizes: layers in each block.
        num_classes: number of logits.
        in_channels: channels of the images.
        growth_rate: channels that each layer adds.
        stem_features: channels of the stem.
        bottleneck: layers have a 1×1 convolution before the 3×3 (the paper's "B").
        compression: share of its channels that a transition keeps (a half is the paper's "C").
        dropout_rate: after each dense layer; the paper's is 0.2 where images are not augmented.
        small_images: the stem for CIFAR.
        global_pool: "avg", "max" or "avgmax", of all pixels at the end.
        dtype: of the computation; parameters stay float32.
    """

    block_sizes: Sequence[int]
    num_classes: int = 1000
    in_channels: int = 3
    growth_rate: int = 32
    stem_features: int = 64
    bottleneck: bool = True
    compression: float = 0.5
    dropout_rate: float = 0.0
    small_images: bool = False
    global_pool: str = "avg"
    dtype: DTypeLike | None = None

    @nn.compact
    def __call__(
        self, images: Float[Array, "batch height width channels"], *, train: bool = False
    ) -> Float[Array, "batch num_classes"]:
        """Classifies images.

        Args:
            images: of 29 pixels or more (8 in the form for CIFAR), normalised by ImageNet's mean
                and deviation for its weights.
            train: drop activations, normalise with the batch's statistics and update the running
                ones.

        Returns:
            Logits.

        Raises:
            UserError: the images have another number of channels; or no such pooling.
        """
        check_channels(images, self.in_channels)
        conv = partial(Conv, use_bias=False, kernel_init=he_init, dtype=self.dtype)
        norm = partial(BatchNorm, train=train, dtype=self.dtype)
        if self.small_images:
            x = conv(self.stem_features, (3, 3), padding=1, name="features.conv0")(images)
        else:
            x = conv(self.stem_features, (7, 7), (2, 2), padding=3, name="features.conv0")(images)
            x = nn.relu(norm(name="features.norm0")(x))
            x = max_pool(x, 3, stride=2, padding=1)
        self.sow("intermediates", "stem", x)
        for block, size in enumerate(self.block_sizes, start=1):
            if block > 1:
                name = f"transition{block - 1}"
                x = nn.relu(norm(name=f"features.{name}.norm")(x))
                features = int(x.shape[-1] * self.compression)
                x = avg_pool(conv(features, (1, 1), name=f"features.{name}.conv")(x))
                self.sow("intermediates", name, x)
            for i in range(1, size + 1):
                new = DenseLayer(
                    growth_rate=self.growth_rate,
                    bottleneck=self.bottleneck,
                    dropout_rate=self.dropout_rate,
                    dtype=self.dtype,
                    name=f"features.denseblock{block}.denselayer{i}",
                )(x, train=train)
                x = jnp.concatenate([x, new], axis=-1)
            self.sow("intermediates", f"denseblock{block}", x)
        # Called 5 in the reference, behind four blocks, however many there are.
        x = nn.relu(norm(name="features.norm5")(x))
        x = global_pool(x, self.global_pool)
        self.sow("intermediates", "pooled", x)
        return nn.Dense(self.num_classes, dtype=self.dtype, name="classifier")(x)


PAPER = "Huang et al., 2017, https://arxiv.org/abs/1608.06993"
IMAGENET = image(224, 224, 3)
CIFAR = image(32, 32, 3)


@register_model(
    example=IMAGENET, paper=PAPER, params=7_978_856, reference="torchvision:densenet121"
)
def densenet121(**overrides) -> DenseNet:
    """DenseNet-121."""
    return DenseNet(**{"block_sizes": (6, 12, 24, 16), **overrides})


@register_model(
    example=IMAGENET, paper=PAPER, params=28_681_000, reference="torchvision:densenet161"
)
def densenet161(**overrides) -> DenseNet:
    """DenseNet-161, with a growth rate of 48."""
    return DenseNet(
        **{
            "block_sizes": (6, 12, 36, 24),
            "growth_rate": 48,
            "stem_features": 96,
            **overrides,
        }
    )


@register_model(
    example=IMAGENET, paper=PAPER, params=14_149_480, reference="torchvision:densenet169"
)
def densenet169(**overrides) -> DenseNet:
    """DenseNet-169."""
    return DenseNet(**{"block_sizes": (6, 12, 32, 32), **overrides})


@register_model(
    example=IMAGENET, paper=PAPER, params=20_013_928, reference="torchvision:densenet201"
)
def densenet201(**overrides) -> DenseNet:
    """DenseNet-201."""
    return DenseNet(**{"block_sizes": (6, 12, 48, 32), **overrides})


@register_model(example=IMAGENET, paper=PAPER, params=33_337_704)
def densenet264(**overrides) -> DenseNet:
    """DenseNet-264, whose layers are 265 when counted as those of the others."""
    return DenseNet(**{"block_sizes": (6, 12, 64, 48), **overrides})


@register_model(example=CIFAR, paper=PAPER, params=1_019_722)
def densenet40_12(**overrides) -> DenseNet:
    """DenseNet of 40 layers for CIFAR-10, without bottlenecks and compression."""
    return DenseNet(
        **{
            "block_sizes": (12, 12, 12),
            "num_classes": 10,
            "growth_rate": 12,
            "stem_features": 16,
            "bottleneck": False,
            "compression": 1.0,
            "small_images": True,
            **overrides,
        }
    )


@register_model(example=CIFAR, paper=PAPER, params=769_162)
def densenet_bc_100_12(**overrides) -> DenseNet:
    """DenseNet-BC of 100 layers for CIFAR-10."""
    return DenseNet(
        **{
            "block_sizes": (16, 16, 16),
            "num_classes": 10,
            "growth_rate": 12,
            "stem_features": 24,
            "small_images": True,
            **overrides,
        }
    )
