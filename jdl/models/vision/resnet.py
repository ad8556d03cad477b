"""ResNet: convolutions learn what to add to their input."""

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
from jdl.ops.pooling import global_pool, max_pool

he_init = nn.initializers.variance_scaling(2.0, "fan_out", "normal")


class Block(nn.Module):
    """A residual block: y = relu(F(x) + shortcut(x)) (He et al., 2016, equations 1 and 2).

    Attributes:
        features: channels of the 3×3 convolutions.
        stride: of the block.
        dilation: pixels between the taps of the 3×3 convolutions.
        bottleneck: 1×1, 3×3, 1×1 with four times the channels at the end; else 3×3, 3×3.
        stride_in_1x1: a bottleneck strides in its first convolution, else in its second.
        shortcut: where the shape changes: "projection" by a 1×1 convolution (option B of section
            4.1), or "padding" with zeros (option A); or "none": the block is not residual at all.
        dtype: of the computation.
    """

    features: int
    stride: int
    dilation: int
    bottleneck: bool
    stride_in_1x1: bool
    shortcut: str
    dtype: DTypeLike | None

    @nn.compact
    def __call__(self, x: Array, *, train: bool) -> Array:
        """Applies the block."""
        conv = partial(Conv, use_bias=False, kernel_init=he_init, dtype=self.dtype)
        norm = partial(BatchNorm, train=train, dtype=self.dtype)
        strides = (self.stride, self.stride)
        conv3x3 = partial(
            conv, self.features, (3, 3), padding=self.dilation, kernel_dilation=self.dilation
        )
        if self.bottleneck:
            first, second = (strides, (1, 1)) if self.stride_in_1x1 else ((1, 1), strides)
            y = conv(self.features, (1, 1), first, name="conv1")(x)
            y = nn.relu(norm(name="bn1")(y))
            y = conv3x3(strides=second, name="conv2")(y)
            y = nn.relu(norm(name="bn2")(y))
            y = conv(4 * self.features, (1, 1), name="conv3")(y)
            y = norm(name="bn3")(y)
        else:
            y = conv3x3(strides=strides, name="conv1")(x)
            y = nn.relu(norm(name="bn1")(y))
            y = conv3x3(name="conv2")(y)
            y = norm(name="bn2")(y)
        if self.shortcut == "none":
            return nn.relu(y)
        if x.shape == y.shape:
            return nn.relu(x + y)
        if self.shortcut == "projection":
            x = conv(y.shape[-1], (1, 1), strides, name="downsample.0")(x)
            x = norm(name="downsample.1")(x)
        else:
            x = x[:, :: self.stride, :: self.stride]
            x = jnp.pad(x, [(0, 0)] * 3 + [(0, y.shape[-1] - x.shape[-1])])
        return nn.relu(x + y)


class ResNet(nn.Module):
    """Deep residual network (He et al., 2016, https://arxiv.org/abs/1512.03385, Table 1).

    A stem, stages of residual blocks that each halve the size and double the channels, the mean
    over all pixels, and one dense layer. The form for CIFAR (section 4.2) has a 3×3 stem without
    pooling, three stages of 16, 32 and 64 channels, and shortcuts padded with zeros.

    Intermediates: `stem`, `layer1`, `layer2`, ..., `pooled`.

    Attributes:
        stage_sizes: blocks in each stage.
        num_classes: number of logits; None for the last stage's map instead, which networks for
            other tasks are built on.
        in_channels: channels of the images.
        features: channels of the first stage.
        bottleneck: whether blocks are 1×1, 3×3, 1×1.
        stride_in_1x1: a bottleneck strides in its first convolution, as in the paper; else in its
            second, as torchvision's and everyone's weights since ("v1.5").
        shortcut: "projection", "padding" or "none", which gives the paper's plain networks.
        small_images: the stem for CIFAR.
        dilated_stages: how many of the last stages keep the size, and double the distance between
            the taps of their kernels instead (Yu and Koltun, 2016, https://arxiv.org/abs/1511.07122).
        global_pool: "avg", "max" or "avgmax", of all pixels at the end.
        dtype: of the computation; parameters stay float32.
    """

    stage_sizes: Sequence[int]
    num_classes: int | None = 1000
    in_channels: int = 3
    features: int = 64
    bottleneck: bool = False
    stride_in_1x1: bool = False
    shortcut: str = "projection"
    small_images: bool = False
    dilated_stages: int = 0
    global_pool: str = "avg"
    dtype: DTypeLike | None = None

    @nn.compact
    def __call__(
        self, images: Float[Array, "batch height width channels"], *, train: bool = False
    ) -> Float[Array, "batch *answer"]:
        """Classifies images.

        Args:
            images: of any size, normalised by ImageNet's mean and deviation for its weights.
            train: normalise with the batch's statistics and update the running ones.

        Returns:
            Logits, [batch, num_classes]; without classes, a map [batch, rows, columns, channels].

        Raises:
            UserError: the images have another number of channels; or no such pooling.
        """
        check_channels(images, self.in_channels)
        conv = partial(Conv, use_bias=False, kernel_init=he_init, dtype=self.dtype, name="conv1")
        if self.small_images:
            x = conv(self.features, (3, 3), padding=1)(images)
        else:
            x = conv(self.features, (7, 7), (2, 2), padding=3)(images)
        x = nn.relu(BatchNorm(train=train, dtype=self.dtype, name="bn1")(x))
        if not self.small_images:
            x = max_pool(x, 3, stride=2, padding=1)
        self.sow("intermediates", "stem", x)
        dilation = 1
        for stage, size in enumerate(self.stage_sizes):
            stride = 2 if stage else 1
            dilated = stage >= len(self.stage_sizes) - self.dilated_stages
            for i in range(size):
                x = Block(
                    features=self.features * 2**stage,
                    stride=1 if i or dilated else stride,
                    dilation=dilation,
                    bottleneck=self.bottleneck,
                    stride_in_1x1=self.stride_in_1x1,
                    shortcut=self.shortcut,
                    dtype=self.dtype,
                    name=f"layer{stage + 1}.{i}",
                )(x, train=train)
                # Not before: what the first block reads has not been spread out yet.
                if dilated and i == 0:
                    dilation *= stride
            self.sow("intermediates", f"layer{stage + 1}", x)
        if self.num_classes is None:
            return x
        x = global_pool(x, self.global_pool)
        self.sow("intermediates", "pooled", x)
        return nn.Dense(self.num_classes, dtype=self.dtype, name="fc")(x)


PAPER = "He et al., 2016, https://arxiv.org/abs/1512.03385"
IMAGENET = image(224, 224, 3)
CIFAR = image(32, 32, 3)


def _torchvision(stage_sizes: Sequence[int], bottleneck: bool, overrides: dict) -> ResNet:
    return ResNet(**{"stage_sizes": stage_sizes, "bottleneck": bottleneck, **overrides})


def _cifar(depth: int, overrides: dict) -> ResNet:
    # Two convolutions a block, three stages, and two layers more: depth = 6n + 2.
    return ResNet(
        **{
            "stage_sizes": ((depth - 2) // 6,) * 3,
            "num_classes": 10,
            "features": 16,
            "shortcut": "padding",
            "small_images": True,
            **overrides,
        }
    )


@register_model(example=IMAGENET, paper=PAPER, params=11_689_512, reference="torchvision:resnet18")
def resnet18(**overrides) -> ResNet:
    """ResNet-18."""
    return _torchvision((2, 2, 2, 2), False, overrides)


@register_model(example=IMAGENET, paper=PAPER, params=21_797_672, reference="torchvision:resnet34")
def resnet34(**overrides) -> ResNet:
    """ResNet-34."""
    return _torchvision((3, 4, 6, 3), False, overrides)


@register_model(example=IMAGENET, paper=PAPER, params=25_557_032, reference="torchvision:resnet50")
def resnet50(**overrides) -> ResNet:
    """ResNet-50 with the stride in the 3×3 convolutions, as the world's weights have it."""
    return _torchvision((3, 4, 6, 3), True, overrides)


@register_model(example=IMAGENET, paper=PAPER, params=44_549_160, reference="torchvision:resnet101")
def resnet101(**overrides) -> ResNet:
    """ResNet-101."""
    return _torchvision((3, 4, 23, 3), True, overrides)


@register_model(example=IMAGENET, paper=PAPER, params=60_192_808, reference="torchvision:resnet152")
def resnet152(**overrides) -> ResNet:
    """ResNet-152."""
    return _torchvision((3, 8, 36, 3), True, overrides)


@register_model(example=IMAGENET, paper=PAPER, params=25_557_032)
def resnet50_v1(**overrides) -> ResNet:
    """ResNet-50 with the stride in the first 1×1 convolution of a block, as in the paper."""
    return resnet50(**{"stride_in_1x1": True, **overrides})


@register_model(example=IMAGENET, paper=PAPER, params=44_549_160)
def resnet101_v1(**overrides) -> ResNet:
    """ResNet-101 with the stride in the first 1×1 convolution of a block, as in the paper."""
    return resnet101(**{"stride_in_1x1": True, **overrides})


@register_model(example=IMAGENET, paper=PAPER, params=60_192_808)
def resnet152_v1(**overrides) -> ResNet:
    """ResNet-152 with the stride in the first 1×1 convolution of a block, as in the paper."""
    return resnet152(**{"stride_in_1x1": True, **overrides})


@register_model(example=CIFAR, paper=PAPER, params=269_722)
def resnet20_cifar(**overrides) -> ResNet:
    """ResNet-20 for CIFAR-10."""
    return _cifar(20, overrides)


@register_model(example=CIFAR, paper=PAPER, params=464_154)
def resnet32_cifar(**overrides) -> ResNet:
    """ResNet-32 for CIFAR-10."""
    return _cifar(32, overrides)


@register_model(example=CIFAR, paper=PAPER, params=658_586)
def resnet44_cifar(**overrides) -> ResNet:
    """ResNet-44 for CIFAR-10."""
    return _cifar(44, overrides)


@register_model(example=CIFAR, paper=PAPER, params=853_018)
def resnet56_cifar(**overrides) -> ResNet:
    """ResNet-56 for CIFAR-10."""
    return _cifar(56, overrides)


@register_model(example=CIFAR, paper=PAPER, params=1_727_962)
def resnet110_cifar(**overrides) -> ResNet:
    """ResNet-110 for CIFAR-10."""
    return _cifar(110, overrides)
