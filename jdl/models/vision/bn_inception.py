"""BN-Inception: the network that batch normalisation was introduced with."""

from functools import partial

import flax.linen as nn
import jax.numpy as jnp
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from jdl.errors import UserError
from jdl.layers.convolution import Conv
from jdl.layers.images import check_channels
from jdl.layers.inception import he_init
from jdl.layers.normalization import BatchNorm
from jdl.models.registry import image, register_model
from jdl.ops.pooling import avg_pool, max_pool

Images = Float[Array, "batch height width channels"]

# Channels of 1×1; of 3×3, before and in it; of two 3×3, before and in them; what is pooled, and the
# channels behind it. Without 1×1 and behind the pooling, a block halves the map.
BLOCKS = {
    "3a": (64, (64, 64), (64, 96), "mean", 32),
    "3b": (64, (64, 96), (64, 96), "mean", 64),
    "3c": (0, (128, 160), (64, 96), "max", 0),
    "4a": (224, (64, 96), (96, 128), "mean", 128),
    "4b": (192, (96, 128), (96, 128), "mean", 128),
    "4c": (160, (128, 160), (128, 160), "mean", 128),
    "4d": (96, (128, 192), (160, 192), "mean", 128),
    "4e": (0, (128, 192), (192, 256), "max", 0),
    "5a": (352, (192, 320), (160, 224), "mean", 128),
    "5b": (352, (192, 320), (192, 224), "max", 128),
}


class BNInception(nn.Module):
    """Inception with batch normalisation (Ioffe and Szegedy, 2015, Figure 5).

    https://arxiv.org/abs/1502.03167. The 5×5 convolutions of GoogLeNet are two of 3×3, and the maps
    are halved by blocks. In 4c and 4d, 128 channels follow the mean, as in the published weights;
    the paper's table says 96.

    Layers carry the names of the published Caffe model. Intermediates: `stem`, `block3a` to
    `block5b`, `pooled`.

    Attributes:
        num_classes: number of logits.
        in_channels: channels of the images.
        use_bias: add biases before the normalisation, which takes them out again: the published
            weights have them.
        dropout_rate: before the last layer.
        dtype: of the computation; parameters stay float32.
    """

    num_classes: int = 1000
    in_channels: int = 3
    use_bias: bool = False
    dropout_rate: float = 0.2
    dtype: DTypeLike | None = None

    @nn.compact
    def __call__(self, images: Images, *, train: bool = False) -> Float[Array, "batch num_classes"]:
        """Classifies images.

        Args:
            images: of sides that are multiples of 32 pixels.
            train: drop activations, normalise with the batch's statistics and update the running
                ones.

        Returns:
            Logits.

        Raises:
            UserError: the images have another number of channels, or another size.
        """
        check_channels(images, self.in_channels)
        height, width = images.shape[1:3]
        if height % 32 or width % 32:
            raise UserError(
                "BN-Inception takes images whose sides are multiples of 32 pixels, "
                f"not {height}x{width}"
            )
        conv = partial(self._conv, train=train)
        x = conv(images, "conv1_7x7_s2", 64, 7, stride=2)
        x = max_pool(x, 3, stride=2, ceil_mode=True)
        x = conv(x, "conv2_3x3_reduce", 64, 1)
        x = conv(x, "conv2_3x3", 192, 3)
        x = max_pool(x, 3, stride=2, ceil_mode=True)
        self.sow("intermediates", "stem", x)
        for block in BLOCKS:
            x = self._inception(x, block, train=train)
            self.sow("intermediates", f"block{block}", x)
        x = x.mean((1, 2))
        self.sow("intermediates", "pooled", x)
        x = nn.Dropout(self.dropout_rate, deterministic=not train)(x)
        return nn.Dense(self.num_classes, dtype=self.dtype, name="last_linear")(x)

    def _inception(self, x: Array, block: str, *, train: bool) -> Array:
        """Applies a block; all its layers are the network's own, named as in Caffe."""
        single, (before, three), (before_double, double), pool, behind = BLOCKS[block]
        conv, name = partial(self._conv, train=train), f"inception_{block}"
        stride = 1 if single else 2
        views = [conv(x, f"{name}_1x1", single, 1)] if single else []
        y = conv(x, f"{name}_3x3_reduce", before, 1)
        views.append(conv(y, f"{name}_3x3", three, 3, stride=stride))
        y = conv(x, f"{name}_double_3x3_reduce", before_double, 1)
        y = conv(y, f"{name}_double_3x3_1", double, 3)
        views.append(conv(y, f"{name}_double_3x3_2", double, 3, stride=stride))
        if stride == 2:
            views.append(max_pool(x, 3, stride=2, ceil_mode=True))
        else:
            pooled = (max_pool if pool == "max" else avg_pool)(x, 3, stride=1, padding=1)
            views.append(conv(pooled, f"{name}_pool_proj", behind, 1))
        return jnp.concatenate(views, -1)

    def _conv(
        self, x: Array, name: str, features: int, size: int, *, train: bool, stride: int = 1
    ) -> Array:
        x = Conv(
            features,
            (size, size),
            (stride, stride),
            padding=size // 2,
            use_bias=self.use_bias,
            kernel_init=he_init,
            dtype=self.dtype,
            name=name,
        )(x)
        return nn.relu(BatchNorm(train, dtype=self.dtype, name=f"{name}_bn")(x))


PAPER = "Ioffe and Szegedy, 2015, https://arxiv.org/abs/1502.03167"


@register_model(example=image(224, 224, 3), paper=PAPER, params=11_285_224)
def bn_inception(**overrides) -> BNInception:
    """BN-Inception; 11,295,240 parameters with biases before the normalisation."""
    return BNInception(**overrides)
