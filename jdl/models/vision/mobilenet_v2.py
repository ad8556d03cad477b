"""MobileNetV2: thin maps between blocks, wide ones only inside, where each channel is filtered."""

from functools import partial

import flax.linen as nn
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from jdl.layers.convolution import Conv
from jdl.layers.images import check_channels
from jdl.layers.normalization import BatchNorm
from jdl.models.registry import image, register_model
from jdl.ops.pooling import global_pool

he_init = nn.initializers.variance_scaling(2.0, "fan_out", "normal")

# Expansion, channels, blocks, stride of the first block (Table 2).
STAGES = (
    (1, 16, 1, 1),
    (6, 24, 2, 2),
    (6, 32, 3, 2),
    (6, 64, 4, 2),
    (6, 96, 3, 1),
    (6, 160, 3, 2),
    (6, 320, 1, 1),
)


def round_channels(channels: float) -> int:
    """Rounds to a multiple of eight, but never down by more than a tenth.

    Args:
        channels: a number that a width multiplier gave.

    Returns:
        The nearest multiple of eight, or the next one.

    Example:
        >>> round_channels(16 * 1.4), round_channels(8.9), round_channels(11.0)
        (24, 16, 16)
    """
    rounded = max(8, int(channels + 4) // 8 * 8)
    return rounded + 8 if rounded < 0.9 * channels else rounded


class InvertedResidual(nn.Module):
    """1×1 up, 3×3 for each channel, 1×1 down without activation (Sandler et al., 2018, Figure 3d).

    Attributes:
        features: channels of the result.
        expansion: how many times wider the maps are inside.
        stride: of the 3×3 convolution.
        dtype: of the computation.
    """

    features: int
    expansion: int
    stride: int
    dtype: DTypeLike | None

    @nn.compact
    def __call__(self, x: Array, *, train: bool) -> Array:
        """Applies the block; adds its input where the shape stays."""
        conv = partial(Conv, use_bias=False, kernel_init=he_init, dtype=self.dtype)
        norm = partial(BatchNorm, train=train, dtype=self.dtype)
        inside = x.shape[-1] * self.expansion
        y, layer = x, 0
        if self.expansion > 1:
            y = conv(inside, (1, 1), name="conv.0.0")(y)
            y = nn.relu6(norm(name="conv.0.1")(y))
            layer = 1
        y = conv(
            inside,
            (3, 3),
            (self.stride, self.stride),
            padding=1,
            feature_group_count=inside,
            name=f"conv.{layer}.0",
        )(y)
        y = nn.relu6(norm(name=f"conv.{layer}.1")(y))
        y = conv(self.features, (1, 1), name=f"conv.{layer + 1}")(y)
        y = norm(name=f"conv.{layer + 2}")(y)
        return x + y if x.shape == y.shape else y


class MobileNetV2(nn.Module):
    """MobileNetV2 (Sandler et al., 2018, https://arxiv.org/abs/1801.04381, Table 2).

    A 3×3 stem, seven stages of inverted residuals, a 1×1 convolution, the mean over all pixels, and
    one dense layer.

    Intermediates: `stem`, `stage1`, ..., `stage7`, `head`, `pooled`.

    Attributes:
        num_classes: number of logits.
        in_channels: channels of the images.
        width: multiplies the channels of all layers, but of the last convolution only when
            above 1.
        stem_stride: of the first convolution; 1 suits images of 28 to 64 pixels.
        dropout_rate: before the dense layer.
        global_pool: "avg", "max" or "avgmax", of all pixels at the end.
        dtype: of the computation; parameters stay float32.
    """

    num_classes: int = 1000
    in_channels: int = 3
    width: float = 1.0
    stem_stride: int = 2
    dropout_rate: float = 0.2
    global_pool: str = "avg"
    dtype: DTypeLike | None = None

    @nn.compact
    def __call__(
        self, images: Float[Array, "batch height width channels"], *, train: bool = False
    ) -> Float[Array, "batch num_classes"]:
        """Classifies images.

        Args:
            images: of any size, normalised by ImageNet's mean and deviation for its weights.
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
        features = round_channels(32 * self.width)
        x = conv(features, (3, 3), (self.stem_stride,) * 2, padding=1, name="features.0.0")(images)
        x = self._seen("stem", nn.relu6(norm(name="features.0.1")(x)))
        block = 0
        for stage, (expansion, channels, size, stride) in enumerate(STAGES, start=1):
            for i in range(size):
                block += 1
                x = InvertedResidual(
                    features=round_channels(channels * self.width),
                    expansion=expansion,
                    stride=stride if i == 0 else 1,
                    dtype=self.dtype,
                    name=f"features.{block}",
                )(x, train=train)
            x = self._seen(f"stage{stage}", x)
        features = round_channels(1280 * max(1.0, self.width))
        x = conv(features, (1, 1), name=f"features.{block + 1}.0")(x)
        x = self._seen("head", nn.relu6(norm(name=f"features.{block + 1}.1")(x)))
        x = self._seen("pooled", global_pool(x, self.global_pool))
        x = nn.Dropout(self.dropout_rate, deterministic=not train)(x)
        return nn.Dense(
            self.num_classes,
            kernel_init=nn.initializers.normal(0.01),
            dtype=self.dtype,
            name="classifier.1",
        )(x)

    def _seen(self, name: str, x: Array) -> Array:
        self.sow("intermediates", name, x)
        return x


PAPER = "Sandler et al., 2018, https://arxiv.org/abs/1801.04381"
IMAGENET = image(224, 224, 3)


@register_model(
    example=IMAGENET, paper=PAPER, params=3_504_872, reference="torchvision:mobilenet_v2"
)
def mobilenet_v2(**overrides) -> MobileNetV2:
    """MobileNetV2."""
    return MobileNetV2(**overrides)


@register_model(example=IMAGENET, paper=PAPER, params=6_108_776, reference="timm:mobilenetv2_140")
def mobilenetv2_140(**overrides) -> MobileNetV2:
    """MobileNetV2 with 1.4 times the channels."""
    return MobileNetV2(**{"width": 1.4, **overrides})
