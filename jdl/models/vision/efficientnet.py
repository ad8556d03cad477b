"""EfficientNet: one small network, and a rule for how to make it larger."""

import math
from collections.abc import Callable
from functools import partial

import flax.linen as nn
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from jdl.layers.convolution import Conv
from jdl.layers.images import check_channels
from jdl.layers.normalization import BatchNorm
from jdl.models.registry import image, register_model
from jdl.models.vision.mobilenet_v2 import round_channels
from jdl.ops.pooling import global_pool

he_init = nn.initializers.variance_scaling(2.0, "fan_out", "normal")
# Uniform in ±1/√outputs.
head_init = nn.initializers.variance_scaling(1 / 3, "fan_out", "uniform")

# Expansion, kernel, stride of the first block, channels, blocks (Table 1).
STAGES = (
    (1, 3, 1, 16, 1),
    (6, 3, 2, 24, 2),
    (6, 5, 2, 40, 2),
    (6, 3, 2, 80, 3),
    (6, 5, 1, 112, 3),
    (6, 5, 2, 192, 4),
    (6, 3, 1, 320, 1),
)


def compound_scaling(
    phi: float, alpha: float = 1.2, beta: float = 1.1, gamma: float = 1.15
) -> tuple[float, float, float]:
    """Says how much deeper, wider and finer a network becomes with 2^φ times the computation.

        depth = α^φ,  width = β^φ,  resolution = γ^φ                                (1)

    Computation grows with α·β²·γ², which the paper's grid search kept near 2. EfficientNet-B1 to B7
    are φ = 0.5, 1, 2, ..., 6, rounded by hand.

    Args:
        phi: φ, of what is available.
        alpha: α, 1 or more.
        beta: β, 1 or more.
        gamma: γ, 1 or more.

    Returns:
        Multipliers of depth, width and resolution.

    Example:
        >>> depth, width, resolution = compound_scaling(2.0)
        >>> round(depth, 3), round(width, 3), round(224 * resolution)
        (1.44, 1.21, 296)

    Source: Tan and Le, 2019, https://arxiv.org/abs/1905.11946, equation 3.
    """
    return alpha**phi, beta**phi, gamma**phi


class SqueezeExcitation(nn.Module):
    """Multiplies each channel by what the means of all channels say (Hu et al., 2018, section 3).

    Attributes:
        squeezed: channels in between.
        dtype: of the computation.
    """

    squeezed: int
    dtype: DTypeLike | None

    @nn.compact
    def __call__(self, x: Array) -> Array:
        """Scales the channels."""
        conv = partial(Conv, kernel_size=(1, 1), kernel_init=he_init, dtype=self.dtype)
        y = nn.silu(conv(self.squeezed, name="fc1")(x.mean((1, 2), keepdims=True)))
        return x * nn.sigmoid(conv(x.shape[-1], name="fc2")(y))


class MBConv(nn.Module):
    """An inverted residual with squeeze-and-excitation (Tan and Le, 2019, section 4).

    Attributes:
        features: channels of the result.
        expansion: how many times wider the maps are inside.
        kernel: of the convolution of each channel.
        stride: of that convolution.
        squeeze: whether there is squeeze-and-excitation, to a quarter of the block's own channels.
        activation: after all convolutions but the last.
        drop_rate: of whole residuals, by example.
        norm: the normalisation.
        dtype: of the computation.
    """

    features: int
    expansion: int
    kernel: int
    stride: int
    squeeze: bool
    activation: Callable[[Array], Array]
    drop_rate: float
    norm: Callable[..., nn.Module]
    dtype: DTypeLike | None

    @nn.compact
    def __call__(self, x: Array, *, train: bool) -> Array:
        """Applies the block; adds its input where the shape stays."""
        conv = partial(Conv, use_bias=False, kernel_init=he_init, dtype=self.dtype)
        inside = x.shape[-1] * self.expansion
        y, layer = x, 0
        if self.expansion > 1:
            y = conv(inside, (1, 1), name="block.0.0")(y)
            y = self.activation(self.norm(name="block.0.1")(y))
            layer = 1
        y = conv(
            inside,
            (self.kernel, self.kernel),
            (self.stride, self.stride),
            padding=self.kernel // 2,
            feature_group_count=inside,
            name=f"block.{layer}.0",
        )(y)
        y = self.activation(self.norm(name=f"block.{layer}.1")(y))
        if self.squeeze:
            layer += 1
            squeezed = max(1, x.shape[-1] // 4)
            y = SqueezeExcitation(squeezed, self.dtype, name=f"block.{layer}")(y)
        y = conv(self.features, (1, 1), name=f"block.{layer + 1}.0")(y)
        y = self.norm(name=f"block.{layer + 1}.1")(y)
        if x.shape != y.shape:
            return y
        # Stochastic depth (Huang et al., 2016): the residual of an example is there or not.
        return x + nn.Dropout(self.drop_rate, (1, 2, 3), deterministic=not train)(y)


class EfficientNet(nn.Module):
    """EfficientNet (Tan and Le, 2019, https://arxiv.org/abs/1905.11946, Table 1).

    A 3×3 stem, seven stages of MBConv blocks, a 1×1 convolution, the mean over all pixels, and one
    dense layer.

    Intermediates: `stem`, `stage1`, ..., `stage7`, `head`, `pooled`.

    Attributes:
        num_classes: number of logits.
        in_channels: channels of the images.
        width: multiplies the channels of all layers.
        depth: multiplies the number of blocks of each stage.
        lite: the form for phones: ReLU6, no squeeze-and-excitation.
        stem_stride: of the first convolution; 1 suits images of 28 to 64 pixels.
        dropout_rate: before the dense layer.
        stochastic_depth_rate: of residuals: 0 in the first block, and growing by the same step from
            block to block, to this rate after the last.
        momentum: of the running statistics.
        epsilon: of the normalisation.
        global_pool: "avg", "max" or "avgmax", of all pixels at the end.
        dtype: of the computation; parameters stay float32.
    """

    num_classes: int = 1000
    in_channels: int = 3
    width: float = 1.0
    depth: float = 1.0
    lite: bool = False
    stem_stride: int = 2
    dropout_rate: float = 0.2
    stochastic_depth_rate: float = 0.2
    momentum: float = 0.9
    epsilon: float = 1e-5
    global_pool: str = "avg"
    dtype: DTypeLike | None = None

    @nn.compact
    def __call__(
        self, images: Float[Array, "batch height width channels"], *, train: bool = False
    ) -> Float[Array, "batch num_classes"]:
        """Classifies images.

        Args:
            images: of any size, normalised by ImageNet's mean and deviation for its weights.
            train: drop activations and residuals, normalise with the batch's statistics and update
                the running ones.

        Returns:
            Logits.

        Raises:
            UserError: the images have another number of channels; or no such pooling.
        """
        check_channels(images, self.in_channels)
        activation = nn.relu6 if self.lite else nn.silu
        conv = partial(Conv, use_bias=False, kernel_init=he_init, dtype=self.dtype)
        norm = partial(
            BatchNorm,
            train=train,
            momentum=self.momentum,
            epsilon=self.epsilon,
            dtype=self.dtype,
        )
        features = round_channels(32 * self.width)
        x = conv(features, (3, 3), (self.stem_stride,) * 2, padding=1, name="features.0.0")(images)
        x = self._seen("stem", activation(norm(name="features.0.1")(x)))
        sizes = [math.ceil(size * self.depth) for *_, size in STAGES]
        block = 0
        for stage, (expansion, kernel, stride, channels, _) in enumerate(STAGES, start=1):
            for i in range(sizes[stage - 1]):
                x = MBConv(
                    features=round_channels(channels * self.width),
                    expansion=expansion,
                    kernel=kernel,
                    stride=stride if i == 0 else 1,
                    squeeze=not self.lite,
                    activation=activation,
                    drop_rate=self.stochastic_depth_rate * block / sum(sizes),
                    norm=norm,
                    dtype=self.dtype,
                    name=f"features.{stage}.{i}",
                )(x, train=train)
                block += 1
            x = self._seen(f"stage{stage}", x)
        x = conv(4 * x.shape[-1], (1, 1), name="features.8.0")(x)
        x = self._seen("head", activation(norm(name="features.8.1")(x)))
        x = self._seen("pooled", global_pool(x, self.global_pool))
        x = nn.Dropout(self.dropout_rate, deterministic=not train)(x)
        return nn.Dense(
            self.num_classes, kernel_init=head_init, dtype=self.dtype, name="classifier.1"
        )(x)

    def _seen(self, name: str, x: Array) -> Array:
        self.sow("intermediates", name, x)
        return x


PAPER = "Tan and Le, 2019, https://arxiv.org/abs/1905.11946"


def _scaled(
    width: float, depth: float, dropout_rate: float, overrides: dict, **others
) -> EfficientNet:
    fields = {"width": width, "depth": depth, "dropout_rate": dropout_rate, **others}
    return EfficientNet(**{**fields, **overrides})


@register_model(
    example=image(224, 224, 3),
    paper=PAPER,
    params=5_288_548,
    reference="torchvision:efficientnet_b0",
)
def efficientnet_b0(**overrides) -> EfficientNet:
    """EfficientNet-B0, the network that the others are scaled from."""
    return _scaled(1.0, 1.0, 0.2, overrides)


@register_model(
    example=image(240, 240, 3),
    paper=PAPER,
    params=7_794_184,
    reference="torchvision:efficientnet_b1",
)
def efficientnet_b1(**overrides) -> EfficientNet:
    """EfficientNet-B1, for images of 240 pixels."""
    return _scaled(1.0, 1.1, 0.2, overrides)


@register_model(
    example=image(260, 260, 3),
    paper=PAPER,
    params=9_109_994,
    reference="torchvision:efficientnet_b2",
)
def efficientnet_b2(**overrides) -> EfficientNet:
    """EfficientNet-B2, for images of 260 pixels."""
    return _scaled(1.1, 1.2, 0.3, overrides)


@register_model(
    example=image(300, 300, 3),
    paper=PAPER,
    params=12_233_232,
    reference="torchvision:efficientnet_b3",
)
def efficientnet_b3(**overrides) -> EfficientNet:
    """EfficientNet-B3, for images of 300 pixels."""
    return _scaled(1.2, 1.4, 0.3, overrides)


@register_model(
    example=image(380, 380, 3),
    paper=PAPER,
    params=19_341_616,
    reference="torchvision:efficientnet_b4",
)
def efficientnet_b4(**overrides) -> EfficientNet:
    """EfficientNet-B4, for images of 380 pixels."""
    return _scaled(1.4, 1.8, 0.4, overrides)


@register_model(
    example=image(456, 456, 3),
    paper=PAPER,
    params=30_389_784,
    reference="torchvision:efficientnet_b5",
)
def efficientnet_b5(**overrides) -> EfficientNet:
    """EfficientNet-B5, for images of 456 pixels."""
    return _scaled(1.6, 2.2, 0.4, overrides, momentum=0.99, epsilon=1e-3)


@register_model(
    example=image(528, 528, 3),
    paper=PAPER,
    params=43_040_704,
    reference="torchvision:efficientnet_b6",
)
def efficientnet_b6(**overrides) -> EfficientNet:
    """EfficientNet-B6, for images of 528 pixels."""
    return _scaled(1.8, 2.6, 0.5, overrides, momentum=0.99, epsilon=1e-3)


@register_model(
    example=image(600, 600, 3),
    paper=PAPER,
    params=66_347_960,
    reference="torchvision:efficientnet_b7",
)
def efficientnet_b7(**overrides) -> EfficientNet:
    """EfficientNet-B7, for images of 600 pixels."""
    return _scaled(2.0, 3.1, 0.5, overrides, momentum=0.99, epsilon=1e-3)


@register_model(
    example=image(224, 224, 3),
    paper=PAPER,
    params=4_652_008,
    reference="timm:efficientnet_lite0",
)
def efficientnet_lite0(**overrides) -> EfficientNet:
    """EfficientNet-Lite0: B0 without what is slow on a phone."""
    return EfficientNet(**{"lite": True, **overrides})
