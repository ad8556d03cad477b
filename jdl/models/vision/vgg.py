"""VGG: nothing but 3×3 convolutions, and many of them."""

from collections.abc import Sequence
from functools import partial

import einops
import flax.linen as nn
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from jdl.layers.convolution import Conv
from jdl.layers.images import check_channels
from jdl.layers.normalization import BatchNorm
from jdl.models.registry import image, register_model
from jdl.ops.pooling import adaptive_avg_pool, max_pool

he_init = nn.initializers.variance_scaling(2.0, "fan_out", "normal")


class VGG(nn.Module):
    """VGG (Simonyan and Zisserman, 2015, https://arxiv.org/abs/1409.1556, Table 1).

    Five stages of 3×3 convolutions, each ended by a max-pooling that halves the size, and three
    dense layers. For images of other sizes than 224 pixels, the maps are averaged to 7×7 before the
    dense layers.

    Intermediates: `relu1_1`, `relu1_2`, ..., `pool1`, ..., `pool5`, `fc6`, `fc7`.

    Attributes:
        stage_sizes: convolutions in each stage.
        widths: channels of each stage.
        hidden: units of the two hidden dense layers.
        num_classes: number of logits.
        in_channels: channels of the images.
        batch_norm: normalise after every convolution.
        dropout_rate: after the first two dense layers.
        dtype: of the computation; parameters stay float32.
    """

    stage_sizes: Sequence[int]
    widths: Sequence[int] = (64, 128, 256, 512, 512)
    hidden: int = 4096
    num_classes: int = 1000
    in_channels: int = 3
    batch_norm: bool = False
    dropout_rate: float = 0.5
    dtype: DTypeLike | None = None

    @nn.compact
    def __call__(
        self, images: Float[Array, "batch height width channels"], *, train: bool = False
    ) -> Float[Array, "batch num_classes"]:
        """Classifies images.

        Args:
            images: of 32 pixels or more, normalised by ImageNet's mean and deviation for its
                weights.
            train: drop activations, normalise with the batch's statistics and update the running
                ones.

        Returns:
            Logits.

        Raises:
            UserError: the images have another number of channels.
        """
        check_channels(images, self.in_channels)
        x = images
        # The reference counts its layers: the convolution, the norm if there is one, the ReLU, and
        # the pooling.
        layer = 0
        for stage, size in enumerate(self.stage_sizes):
            for i in range(size):
                x = Conv(
                    self.widths[stage],
                    (3, 3),
                    padding=1,
                    kernel_init=he_init,
                    dtype=self.dtype,
                    name=f"features.{layer}",
                )(x)
                if self.batch_norm:
                    layer += 1
                    x = BatchNorm(train=train, dtype=self.dtype, name=f"features.{layer}")(x)
                layer += 2
                x = self._seen(f"relu{stage + 1}_{i + 1}", nn.relu(x))
            layer += 1
            x = self._seen(f"pool{stage + 1}", max_pool(x))

        dense = partial(nn.Dense, kernel_init=nn.initializers.normal(0.01), dtype=self.dtype)
        drop = nn.Dropout(self.dropout_rate, deterministic=not train)
        x = einops.rearrange(adaptive_avg_pool(x, 7, 7), "b h w c -> b (c h w)")
        x = drop(self._seen("fc6", nn.relu(dense(self.hidden, name="classifier.0")(x))))
        x = drop(self._seen("fc7", nn.relu(dense(self.hidden, name="classifier.3")(x))))
        return dense(self.num_classes, name="classifier.6")(x)

    def _seen(self, name: str, x: Array) -> Array:
        self.sow("intermediates", name, x)
        return x


PAPER = "Simonyan and Zisserman, 2015, https://arxiv.org/abs/1409.1556"
IMAGENET = image(224, 224, 3)

VGG11 = (1, 1, 2, 2, 2)
VGG13 = (2, 2, 2, 2, 2)
VGG16 = (2, 2, 3, 3, 3)
VGG19 = (2, 2, 4, 4, 4)


@register_model(example=IMAGENET, paper=PAPER, params=132_863_336, reference="torchvision:vgg11")
def vgg11(**overrides) -> VGG:
    """VGG-11, the paper's configuration A."""
    return VGG(**{"stage_sizes": VGG11, **overrides})


@register_model(example=IMAGENET, paper=PAPER, params=133_047_848, reference="torchvision:vgg13")
def vgg13(**overrides) -> VGG:
    """VGG-13, the paper's configuration B."""
    return VGG(**{"stage_sizes": VGG13, **overrides})


@register_model(example=IMAGENET, paper=PAPER, params=138_357_544, reference="torchvision:vgg16")
def vgg16(**overrides) -> VGG:
    """VGG-16, the paper's configuration D."""
    return VGG(**{"stage_sizes": VGG16, **overrides})


@register_model(example=IMAGENET, paper=PAPER, params=143_667_240, reference="torchvision:vgg19")
def vgg19(**overrides) -> VGG:
    """VGG-19, the paper's configuration E."""
    return VGG(**{"stage_sizes": VGG19, **overrides})


@register_model(example=IMAGENET, paper=PAPER, params=132_868_840, reference="torchvision:vgg11_bn")
def vgg11_bn(**overrides) -> VGG:
    """VGG-11, the paper's configuration A, with batch normalisation."""
    return VGG(**{"stage_sizes": VGG11, "batch_norm": True, **overrides})


@register_model(example=IMAGENET, paper=PAPER, params=133_053_736, reference="torchvision:vgg13_bn")
def vgg13_bn(**overrides) -> VGG:
    """VGG-13, the paper's configuration B, with batch normalisation."""
    return VGG(**{"stage_sizes": VGG13, "batch_norm": True, **overrides})


@register_model(example=IMAGENET, paper=PAPER, params=138_365_992, reference="torchvision:vgg16_bn")
def vgg16_bn(**overrides) -> VGG:
    """VGG-16, the paper's configuration D, with batch normalisation."""
    return VGG(**{"stage_sizes": VGG16, "batch_norm": True, **overrides})


@register_model(example=IMAGENET, paper=PAPER, params=143_678_248, reference="torchvision:vgg19_bn")
def vgg19_bn(**overrides) -> VGG:
    """VGG-19, the paper's configuration E, with batch normalisation."""
    return VGG(**{"stage_sizes": VGG19, "batch_norm": True, **overrides})
