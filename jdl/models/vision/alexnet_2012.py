"""AlexNet as published: two towers, local response normalisation, overlapping pooling."""

from functools import partial

import flax.linen as nn
from einops import rearrange
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from jdl.layers.convolution import Conv
from jdl.layers.images import check_channels
from jdl.models.registry import image, register_model
from jdl.ops.normalization import local_response_norm
from jdl.ops.pooling import adaptive_avg_pool, max_pool


class AlexNet2012(nn.Module):
    """AlexNet (Krizhevsky et al., 2012).

    The two halves of the maps of layers 2, 4 and 5 see only their own half of the maps below: in
    2012 each half had a graphics card of its own. Where the paper is silent or differs, this is the
    authors' own configuration of cuda-convnet: layer 1 is normalised and pooled before its ReLU;
    weights are drawn with deviation 0.03 in layers 3 to 5 and 0.01 elsewhere; biases are 1 in
    layers 2, 4, 5 and the hidden dense ones. For images of other sizes than 227 pixels, the maps
    are averaged to 6×6 before the dense layers.

    Intermediates: `relu1` to `relu7`, `pool2`, `pool5`.

    Attributes:
        num_classes: number of logits.
        in_channels: channels of the images.
        features: channels of the five convolutions.
        hidden: units of the two hidden dense layers.
        kernel: size of the first convolution.
        stride: of the first convolution.
        dropout_rate: of the hidden dense layers.
        init_scale: multiplies the initial weights; the paper's are too small for few channels.
        dtype: of the computation; parameters stay float32.
    """

    num_classes: int = 1000
    in_channels: int = 3
    features: tuple[int, int, int, int, int] = (96, 256, 384, 384, 256)
    hidden: int = 4096
    kernel: int = 11
    stride: int = 4
    dropout_rate: float = 0.5
    init_scale: float = 1.0
    dtype: DTypeLike | None = None

    @nn.compact
    def __call__(
        self, images: Float[Array, "batch height width channels"], *, train: bool = False
    ) -> Float[Array, "batch num_classes"]:
        """Classifies images.

        Args:
            images: 227×227 in the authors' code, the mean image subtracted.
            train: drop activations.

        Returns:
            Logits.

        Raises:
            UserError: the images have another number of channels.
        """
        check_channels(images, self.in_channels)
        x = self._conv(1, images, self.kernel, deviation=0.01, bias=0.0, stride=self.stride)
        x = self._seen("relu1", nn.relu(max_pool(local_response_norm(x), 3, 2)))
        x = nn.relu(self._conv(2, x, 5, deviation=0.01, bias=1.0, groups=2))
        self._seen("relu2", x)
        x = self._seen("pool2", max_pool(local_response_norm(x), 3, 2))
        x = self._seen("relu3", nn.relu(self._conv(3, x, 3, deviation=0.03, bias=0.0)))
        x = self._seen("relu4", nn.relu(self._conv(4, x, 3, deviation=0.03, bias=1.0, groups=2)))
        x = self._seen("relu5", nn.relu(self._conv(5, x, 3, deviation=0.03, bias=1.0, groups=2)))
        x = self._seen("pool5", max_pool(x, 3, 2))

        dense = partial(
            nn.Dense, kernel_init=nn.initializers.normal(0.01 * self.init_scale), dtype=self.dtype
        )
        ones = nn.initializers.ones
        drop = nn.Dropout(self.dropout_rate, deterministic=not train)
        x = rearrange(adaptive_avg_pool(x, 6, 6), "b h w c -> b (c h w)")
        x = self._seen("relu6", nn.relu(dense(self.hidden, bias_init=ones, name="fc6")(x)))
        x = self._seen("relu7", nn.relu(dense(self.hidden, bias_init=ones, name="fc7")(drop(x))))
        return dense(self.num_classes, name="fc8")(drop(x))

    def _conv(
        self,
        i: int,
        x: Array,
        kernel: int,
        *,
        deviation: float,
        bias: float,
        stride: int = 1,
        groups: int = 1,
    ) -> Array:
        return Conv(
            self.features[i - 1],
            (kernel, kernel),
            (stride, stride),
            padding="VALID" if i == 1 else kernel // 2,
            feature_group_count=groups,
            kernel_init=nn.initializers.normal(deviation * self.init_scale),
            bias_init=nn.initializers.constant(bias),
            dtype=self.dtype,
            name=f"conv{i}",
        )(x)

    def _seen(self, name: str, x: Array) -> Array:
        self.sow("intermediates", name, x)
        return x


@register_model(
    example=image(227, 227, 3),
    paper="Krizhevsky et al., 2012, https://papers.nips.cc/paper/"
    "4824-imagenet-classification-with-deep-convolutional-neural-networks",
    params=60_965_224,
)
def alexnet_2012(**overrides) -> AlexNet2012:
    """AlexNet of the paper."""
    return AlexNet2012(**overrides)
