"""FCN on a ResNet that keeps an eighth of the images' size, as the world's weights have it."""

from collections.abc import Sequence

import flax.linen as nn
import jax
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from jdl.layers.convolution import Conv
from jdl.layers.normalization import BatchNorm
from jdl.models.registry import image, register_model
from jdl.models.vision.resnet import ResNet


class FCNResNet(nn.Module):
    """Fully convolutional network on ResNet (Long et al., 2015, https://arxiv.org/abs/1411.4038).

    The last two stages of the ResNet do not halve the map but dilate their kernels, so that its
    weights stay and a map of an eighth of the size comes out; a convolution of 3×3 and one of 1×1
    score the classes, and the scores are enlarged bilinearly. `fcn8s` is the network of the paper.

    Intermediates: those of the ResNet, as `backbone.layer4`, and `scores`, not enlarged yet.

    Attributes:
        stage_sizes: blocks in each stage of the ResNet, all bottlenecks.
        num_classes: logits per pixel.
        in_channels: channels of the images.
        features: channels of the ResNet's first stage.
        dropout_rate: before the last convolution.
        dtype: of the computation; parameters stay float32.
    """

    stage_sizes: Sequence[int]
    num_classes: int = 21
    in_channels: int = 3
    features: int = 64
    dropout_rate: float = 0.1
    dtype: DTypeLike | None = None

    @nn.compact
    def __call__(
        self, images: Float[Array, "batch height width channels"], *, train: bool = False
    ) -> Float[Array, "batch height width num_classes"]:
        """Classifies the pixels of images.

        Args:
            images: of any size, normalised by ImageNet's mean and deviation for its weights.
            train: drop activations, normalise with the batch's statistics and update the running
                ones.

        Returns:
            Logits.

        Raises:
            UserError: the images have another number of channels.
        """
        x = ResNet(
            self.stage_sizes,
            num_classes=None,
            in_channels=self.in_channels,
            features=self.features,
            bottleneck=True,
            dilated_stages=2,
            dtype=self.dtype,
            name="backbone",
        )(images, train=train)
        width = x.shape[-1] // 4
        x = Conv(width, (3, 3), padding=1, use_bias=False, dtype=self.dtype, name="classifier.0")(x)
        x = nn.relu(BatchNorm(train=train, dtype=self.dtype, name="classifier.1")(x))
        x = nn.Dropout(self.dropout_rate, deterministic=not train)(x)
        x = Conv(self.num_classes, (1, 1), dtype=self.dtype, name="classifier.4")(x)
        self.sow("intermediates", "scores", x)
        return jax.image.resize(x, (*images.shape[:3], self.num_classes), "bilinear")


PAPER = "Long et al., 2015, https://arxiv.org/abs/1411.4038"
PHOTOGRAPH = image(520, 520, 3)


@register_model(
    example=PHOTOGRAPH, paper=PAPER, params=32_957_013, reference="torchvision:fcn_resnet50"
)
def fcn_resnet50(**overrides) -> FCNResNet:
    """FCN on ResNet-50.

    Example:
        >>> import jax.numpy as jnp
        >>> model, images = fcn_resnet50(features=4), jnp.zeros((1, 65, 48, 3))
        >>> jax.eval_shape(lambda: model.init_with_output(jax.random.key(0), images))[0].shape
        (1, 65, 48, 21)
    """
    return FCNResNet(**{"stage_sizes": (3, 4, 6, 3), **overrides})


@register_model(
    example=PHOTOGRAPH, paper=PAPER, params=51_949_141, reference="torchvision:fcn_resnet101"
)
def fcn_resnet101(**overrides) -> FCNResNet:
    """FCN on ResNet-101."""
    return FCNResNet(**{"stage_sizes": (3, 4, 23, 3), **overrides})
