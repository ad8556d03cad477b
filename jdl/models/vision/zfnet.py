"""ZFNet: AlexNet, mended by looking at what its layers see."""

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


class ZFNet(nn.Module):
    """ZFNet (Zeiler and Fergus, 2014, https://arxiv.org/abs/1311.2901, Figure 3).

    The first kernels are 7×7 with stride 2, not 11×11 with stride 4, whose filters were dead or
    aliased; no groups. The paper also holds the RMS of every filter below 0.1:
    `jdl.optim.constraints.renormalize_filters`. For images of other sizes than 224 pixels, the maps
    are averaged to 6×6 before the dense layers.

    Intermediates: `relu1` to `relu7`, `pool1`, `pool2`, `pool5`.

    Attributes:
        num_classes: number of logits.
        in_channels: channels of the images.
        features: channels of the five convolutions.
        hidden: units of the two hidden dense layers.
        stride: of the first two convolutions.
        dropout_rate: of the hidden dense layers.
        init_scale: multiplies the initial weights; the paper's are too small for few channels.
        dtype: of the computation; parameters stay float32.
    """

    num_classes: int = 1000
    in_channels: int = 3
    features: tuple[int, int, int, int, int] = (96, 256, 384, 384, 256)
    hidden: int = 4096
    stride: int = 2
    dropout_rate: float = 0.5
    init_scale: float = 1.0
    dtype: DTypeLike | None = None

    @nn.compact
    def __call__(
        self, images: Float[Array, "batch height width channels"], *, train: bool = False
    ) -> Float[Array, "batch num_classes"]:
        """Classifies images.

        Args:
            images: 224×224 in the paper, the mean image subtracted.
            train: drop activations.

        Returns:
            Logits.

        Raises:
            UserError: the images have another number of channels.
        """
        check_channels(images, self.in_channels)
        x = self._seen("relu1", self._conv(1, images, 7, stride=self.stride, padding=1))
        x = self._seen("pool1", local_response_norm(max_pool(x, 3, 2, padding=1)))
        x = self._seen("relu2", self._conv(2, x, 5, stride=self.stride, padding=0))
        x = self._seen("pool2", local_response_norm(max_pool(x, 3, 2, padding=1)))
        for i in (3, 4, 5):
            x = self._seen(f"relu{i}", self._conv(i, x, 3, stride=1, padding=1))
        x = self._seen("pool5", max_pool(x, 3, 2))

        dense = partial(
            nn.Dense, kernel_init=nn.initializers.normal(0.01 * self.init_scale), dtype=self.dtype
        )
        drop = nn.Dropout(self.dropout_rate, deterministic=not train)
        x = rearrange(adaptive_avg_pool(x, 6, 6), "b h w c -> b (c h w)")
        x = self._seen("relu6", nn.relu(dense(self.hidden, name="fc6")(x)))
        x = self._seen("relu7", nn.relu(dense(self.hidden, name="fc7")(drop(x))))
        return dense(self.num_classes, name="fc8")(drop(x))

    def _conv(self, i: int, x: Array, kernel: int, *, stride: int, padding: int) -> Array:
        conv = Conv(
            self.features[i - 1],
            (kernel, kernel),
            (stride, stride),
            padding=padding,
            kernel_init=nn.initializers.normal(0.01 * self.init_scale),
            dtype=self.dtype,
            name=f"conv{i}",
        )
        return nn.relu(conv(x))

    def _seen(self, name: str, x: Array) -> Array:
        self.sow("intermediates", name, x)
        return x


@register_model(
    example=image(224, 224, 3),
    paper="Zeiler and Fergus, 2014, https://arxiv.org/abs/1311.2901",
    params=62_357_608,
)
def zfnet(**overrides) -> ZFNet:
    """ZFNet."""
    return ZFNet(**overrides)
