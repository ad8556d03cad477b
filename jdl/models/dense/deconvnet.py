"""DeconvNet: VGG-16, and its mirror image, which knows where the maxima were."""

from collections.abc import Sequence
from functools import partial

import flax.linen as nn
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from jdl.layers.convolution import Conv, ConvTranspose
from jdl.layers.images import check_channels, check_smallest
from jdl.layers.normalization import BatchNorm
from jdl.models.registry import image, register_model
from jdl.models.vision.vgg import VGG16
from jdl.ops.unpooling import max_pool_with_switches, unpool

# Of a transposed convolution's kernel, [rows, columns, out, in], each result sees the last axis
# and as many taps as there are.
he_init = nn.initializers.he_normal()
he_transposed_init = nn.initializers.he_normal(in_axis=-1, out_axis=-2)


class DeconvNet(nn.Module):
    """Deconvolution network (Noh et al., 2015, https://arxiv.org/abs/1505.04366, Table 2).

    The convolutions of VGG-16 and its two dense layers, as convolutions, lead down to one pixel of
    224×224; transposed convolutions and unpoolings lead back up the same way, to the places where
    each pooling found its maxima. A 1×1 convolution gives the logits. Every convolution but the
    last has a bias, a BatchNorm behind it, and a ReLU behind that.

    Layers carry the names of the authors' Caffe network. Intermediates: `pool1` to `pool5`,
    `relu6`, `relu7`, `deconv6` to `deconv1`, the end of each stage, and `unpool5` to `unpool1`.

    Attributes:
        num_classes: logits per pixel.
        in_channels: channels of the images.
        widths: channels of each stage.
        hidden: channels of fc6 and fc7.
        dtype: of the computation; parameters stay float32.
    """

    num_classes: int = 21
    in_channels: int = 3
    widths: Sequence[int] = (64, 128, 256, 512, 512)
    hidden: int = 4096
    dtype: DTypeLike | None = None

    @nn.compact
    def __call__(
        self, images: Float[Array, "batch height width channels"], *, train: bool = False
    ) -> Float[Array, "batch height width num_classes"]:
        """Classifies the pixels of images.

        Args:
            images: of 224 pixels or more, as the paper's 224.
            train: normalise with the batch's statistics and update the running ones.

        Returns:
            Logits.

        Raises:
            UserError: the images have another number of channels, or are smaller.
        """
        check_channels(images, self.in_channels)
        check_smallest(images, "DeconvNet", 224)
        conv = partial(Conv, kernel_init=he_init, dtype=self.dtype)
        deconv = partial(ConvTranspose, kernel_init=he_transposed_init, dtype=self.dtype)

        def normalised(x: Array, name: str) -> Array:
            return nn.relu(BatchNorm(train=train, dtype=self.dtype, name=name)(x))

        x, memory = images, []
        for stage, size in enumerate(VGG16, 1):
            for i in range(1, size + 1):
                x = conv(self.widths[stage - 1], (3, 3), padding=1, name=f"conv{stage}_{i}")(x)
                x = normalised(x, f"bn{stage}_{i}")
            pooled, switches = max_pool_with_switches(x)
            memory.append((switches, x.shape))
            x = self._seen(f"pool{stage}", pooled)

        for layer, size in ((6, 7), (7, 1)):
            x = conv(self.hidden, (size, size), padding="VALID", name=f"fc{layer}")(x)
            x = self._seen(f"relu{layer}", normalised(x, f"bnfc{layer}"))
        x = deconv(self.widths[-1], (7, 7), name="fc6-deconv")(x)
        x = self._seen("deconv6", normalised(x, "fc6-deconv-bn"))

        for stage, size in reversed([*enumerate(VGG16, 1)]):
            switches, (_, height, width, _) = memory[stage - 1]
            x = self._seen(f"unpool{stage}", unpool(x, switches, height, width))
            for i in range(1, size + 1):
                # The last of a stage has the channels of the next, as the first was the first to
                # have this one's on the way down.
                features = self.widths[max(stage - 2, 0) if i == size else stage - 1]
                x = deconv(features, (3, 3), padding=1, name=f"deconv{stage}_{i}")(x)
                x = normalised(x, f"debn{stage}_{i}")
            self.sow("intermediates", f"deconv{stage}", x)
        return conv(self.num_classes, (1, 1), name="seg-score")(x)

    def _seen(self, name: str, x: Array) -> Array:
        self.sow("intermediates", name, x)
        return x


@register_model(
    example=image(224, 224, 3),
    paper="Noh et al., 2015, https://arxiv.org/abs/1505.04366",
    params=251_805_653,
)
def deconvnet(**overrides) -> DeconvNet:
    """DeconvNet, 21 classes.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> model = deconvnet(widths=(2,) * 5, hidden=4, num_classes=3)
        >>> images = jnp.zeros((1, 224, 241, 3))
        >>> jax.eval_shape(lambda: model.init_with_output(jax.random.key(0), images))[0].shape
        (1, 224, 241, 3)
    """
    return DeconvNet(**overrides)
