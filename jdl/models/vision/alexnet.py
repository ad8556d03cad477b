"""AlexNet as the world's weights have it: one tower, no local response normalisation."""

from functools import partial

import flax.linen as nn
from einops import rearrange
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from jdl.layers.convolution import Conv
from jdl.layers.images import check_channels, check_smallest
from jdl.models.registry import image, register_model
from jdl.ops.pooling import adaptive_avg_pool, max_pool

# Place in the reference's list of layers; channels; kernel; stride; padding; pooled afterwards?
LAYERS = (
    (0, 64, 11, 4, 2, True),
    (3, 192, 5, 1, 2, True),
    (6, 384, 3, 1, 1, False),
    (8, 256, 3, 1, 1, False),
    (10, 256, 3, 1, 1, True),
)


class AlexNet(nn.Module):
    """AlexNet in one tower (Krizhevsky, 2014, https://arxiv.org/abs/1404.5997, section 5).

    Fewer channels than in 2012, no groups, and dropout before the dense layers, not after them;
    `alexnet_2012` is the network of the paper. For images of other sizes than 224 pixels, the maps
    are averaged to 6×6 before the dense layers.

    Intermediates: `relu1` to `relu7`, `pool1`, `pool2`, `pool5`.

    Attributes:
        num_classes: number of logits.
        in_channels: channels of the images.
        dropout_rate: before the first two dense layers.
        dtype: of the computation; parameters stay float32.
    """

    num_classes: int = 1000
    in_channels: int = 3
    dropout_rate: float = 0.5
    dtype: DTypeLike | None = None

    @nn.compact
    def __call__(
        self, images: Float[Array, "batch height width channels"], *, train: bool = False
    ) -> Float[Array, "batch num_classes"]:
        """Classifies images.

        Args:
            images: of 63 pixels or more, normalised by ImageNet's mean and deviation for its
                weights.
            train: drop activations.

        Returns:
            Logits.

        Raises:
            UserError: the images have another number of channels, or are smaller.
        """
        check_channels(images, self.in_channels)
        check_smallest(images, "AlexNet", 63)
        x = images
        for i, (layer, features, kernel, stride, padding, pooled) in enumerate(LAYERS, 1):
            x = Conv(
                features,
                (kernel, kernel),
                (stride, stride),
                padding=padding,
                dtype=self.dtype,
                name=f"features.{layer}",
            )(x)
            x = self._seen(f"relu{i}", nn.relu(x))
            if pooled:
                x = self._seen(f"pool{i}", max_pool(x, 3, 2))

        dense = partial(nn.Dense, dtype=self.dtype)
        drop = nn.Dropout(self.dropout_rate, deterministic=not train)
        x = drop(rearrange(adaptive_avg_pool(x, 6, 6), "b h w c -> b (c h w)"))
        x = drop(self._seen("relu6", nn.relu(dense(4096, name="classifier.1")(x))))
        x = self._seen("relu7", nn.relu(dense(4096, name="classifier.4")(x)))
        return dense(self.num_classes, name="classifier.6")(x)

    def _seen(self, name: str, x: Array) -> Array:
        self.sow("intermediates", name, x)
        return x


@register_model(
    example=image(224, 224, 3),
    paper="Krizhevsky, 2014, https://arxiv.org/abs/1404.5997",
    params=61_100_840,
    reference="torchvision:alexnet",
)
def alexnet(**overrides) -> AlexNet:
    """AlexNet in one tower."""
    return AlexNet(**overrides)
