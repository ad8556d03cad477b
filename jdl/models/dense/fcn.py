"""FCN: a classifier whose dense layers are convolutions scores the pixels of images of any size."""

from collections.abc import Sequence
from functools import partial

import flax.linen as nn
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from jdl.layers.convolution import Conv
from jdl.layers.images import check_channels
from jdl.models.registry import image, register_model
from jdl.models.vision.vgg import VGG16
from jdl.ops.pooling import max_pool
from jdl.ops.resampling import upsample_bilinear

he_init = nn.initializers.he_normal()


class FCN(nn.Module):
    """Fully convolutional network on VGG-16 (Long et al., 2015, https://arxiv.org/abs/1411.4038).

    The dense layers of VGG-16 are convolutions here, of 7×7 and of 1×1 pixels, and one more of 1×1
    scores the classes at every 32nd pixel. Finer maps are scored, too, and added:

        z₅ = score(fc7),  zₖ = up₂(zₖ₊₁) + score(poolₖ),  k = 4, then 3              (1)
        logits = up_s(zₖ),  s = 2ᵏ                                                  (2)

    where up_s is bilinear, a transposed convolution with a fixed kernel, which is not trained. The
    first convolution pads by 100 pixels, so that something is left of the smallest image behind the
    7×7 convolution; sums and logits are cut out where the pixels' centres agree.

    Layers carry the names of the authors' Caffe networks. Intermediates: `pool1` to `pool5`,
    `relu6`, `relu7`, and `scores`, the last z.

    Attributes:
        skips: poolings whose maps are scored beside fc7: 0, 1 (the fourth) or 2 (the third, too).
        num_classes: logits per pixel.
        in_channels: channels of the images.
        widths: channels of each stage.
        hidden: channels of fc6 and fc7.
        dropout_rate: behind fc6 and fc7.
        dtype: of the computation; parameters stay float32.
    """

    skips: int
    num_classes: int = 21
    in_channels: int = 3
    widths: Sequence[int] = (64, 128, 256, 512, 512)
    hidden: int = 4096
    dropout_rate: float = 0.5
    dtype: DTypeLike | None = None

    @nn.compact
    def __call__(
        self, images: Float[Array, "batch height width channels"], *, train: bool = False
    ) -> Float[Array, "batch height width num_classes"]:
        """Classifies the pixels of images.

        Args:
            images: of any size; for the authors' weights, from 0 to 255, blue first, less the mean.
            train: drop activations.

        Returns:
            Logits.

        Raises:
            UserError: the images have another number of channels.
        """
        check_channels(images, self.in_channels)
        conv = partial(Conv, kernel_init=he_init, dtype=self.dtype)
        x, pools = images, []
        for stage, size in enumerate(VGG16, 1):
            for i in range(1, size + 1):
                name = f"conv{stage}_{i}"
                padding = 100 if name == "conv1_1" else 1
                x = conv(self.widths[stage - 1], (3, 3), padding=padding, name=name)(x)
                x = nn.relu(x)
            x = self._seen(f"pool{stage}", max_pool(x, ceil_mode=True))
            pools.append(x)

        drop = nn.Dropout(self.dropout_rate, deterministic=not train)
        x = nn.relu(conv(self.hidden, (7, 7), padding="VALID", name="fc6")(x))
        x = drop(self._seen("relu6", x))
        x = nn.relu(conv(self.hidden, (1, 1), name="fc7")(x))
        x = drop(self._seen("relu7", x))

        # "We zero-initialize the class scoring layer" (section 4.3).
        score = partial(
            Conv, self.num_classes, (1, 1), kernel_init=nn.initializers.zeros, dtype=self.dtype
        )
        x = score(name="score_fr")(x)
        stride = 32
        for level, offset in ((4, 5), (3, 9))[: self.skips]:
            x = upsample_bilinear(x, 2)
            skip = score(name=f"score_pool{level}")(pools[level - 1])
            x = x + cut(skip, offset, x.shape)
            stride //= 2
        x = self._seen("scores", x)
        # Pixel i has its centre at (i + 3/2)·s − 35.5 of the image, at (i + 1)·s − ½ when enlarged.
        return cut(upsample_bilinear(x, stride), 35 - stride // 2, images.shape)

    def _seen(self, name: str, x: Array) -> Array:
        self.sow("intermediates", name, x)
        return x


def cut(
    maps: Float[Array, "batch height width channels"], offset: int, shape: Sequence[int]
) -> Float[Array, "batch rows columns channels"]:
    """Cuts as many pixels as another array has, from an offset on along both axes.

    Example:
        >>> import jax.numpy as jnp
        >>> cut(jnp.arange(9.0).reshape(1, 3, 3, 1), 1, (1, 2, 2, 7)).ravel().tolist()
        [4.0, 5.0, 7.0, 8.0]
    """
    return maps[:, offset : offset + shape[1], offset : offset + shape[2]]


PAPER = "Long et al., 2015, https://arxiv.org/abs/1411.4038"
PHOTOGRAPH = image(500, 500, 3)


@register_model(example=PHOTOGRAPH, paper=PAPER, params=134_346_581)
def fcn32s(**overrides) -> FCN:
    """FCN-32s: every 32nd pixel is scored.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> model, images = fcn32s(widths=(2,) * 5, hidden=4), jnp.zeros((1, 50, 33, 3))
        >>> jax.eval_shape(lambda: model.init_with_output(jax.random.key(0), images))[0].shape
        (1, 50, 33, 21)
    """
    return FCN(**{"skips": 0, **overrides})


@register_model(example=PHOTOGRAPH, paper=PAPER, params=134_357_354)
def fcn16s(**overrides) -> FCN:
    """FCN-16s: every 16th pixel is scored, with the fourth pooling's map."""
    return FCN(**{"skips": 1, **overrides})


@register_model(example=PHOTOGRAPH, paper=PAPER, params=134_362_751)
def fcn8s(**overrides) -> FCN:
    """FCN-8s: every 8th pixel is scored, with the maps of the fourth and the third pooling."""
    return FCN(**{"skips": 2, **overrides})
