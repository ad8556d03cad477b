"""Deblurring from coarse to fine: at each scale a network sees what the coarser one found."""

import flax.linen as nn
import jax.numpy as jnp
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from jdl.errors import UserError
from jdl.layers.convolution import Conv
from jdl.layers.images import check_channels
from jdl.models.dense.swinir import to_pixels
from jdl.models.registry import image, register_model
from jdl.ops.bicubic import resize_bicubic

Images = Float[Array, "batch height width channels"]


class DeepDeblur(nn.Module):
    """Multi-scale deblurring (Nah et al., 2017, https://arxiv.org/abs/1612.02177, Figure 3).

    A pyramid of the blurred image is gone through from its smallest picture to its largest. At
    each scale a convolution, residual blocks without normalisation and a convolution restore the
    picture; an up-convolution enlarges it for the next scale, where it is seen beside the blurred
    picture. The up-convolution is a convolution to four times the channels, which are then laid out
    as pixels, as in the authors' later code.

    Intermediates: `scale.0`, the features of the finest scale before its last convolution,
    `scale.1`, ….

    Attributes:
        in_channels: of the images.
        features: channels of the hidden layers.
        num_blocks: residual blocks at each scale.
        num_scales: each half as large as the next finer one.
        kernel_size: of all convolutions, pixels.
        dtype: of the computation; parameters stay float32.
    """

    in_channels: int = 3
    features: int = 64
    num_blocks: int = 19
    num_scales: int = 3
    kernel_size: int = 5
    dtype: DTypeLike | None = None

    @nn.compact
    def __call__(
        self, images: Images, *, train: bool = False
    ) -> tuple[Float[Array, "batch _ _ channels"], ...]:
        """Restores images.

        Args:
            images: of a height and a width that can be halved `num_scales` − 1 times.
            train: changes nothing.

        Returns:
            A picture at each scale, the finest first.

        Raises:
            UserError: the size or the number of channels does not fit.
        """
        check_channels(images, self.in_channels)
        height, width = images.shape[1:3]
        unit = 2 ** (self.num_scales - 1)
        if height % unit or width % unit:
            raise UserError(
                f"this network halves images {self.num_scales - 1} times: {height}×{width} pixels "
                f"are no multiple of {unit}"
            )
        restored: list[Array] = []
        for scale in reversed(range(self.num_scales)):
            x = resize_bicubic(images, height >> scale, width >> scale)
            if restored:
                up = self._conv(4 * self.in_channels, f"up.{scale}")(restored[0])
                x = jnp.concatenate([x, to_pixels(up, 2)], axis=-1)
            restored.insert(0, self._restore(x, scale))
        return tuple(restored)

    def _restore(self, x: Array, scale: int) -> Array:
        x = self._conv(self.features, f"scale.{scale}.head")(x)
        for block in range(self.num_blocks):
            name = f"scale.{scale}.block.{block}"
            y = nn.relu(self._conv(self.features, f"{name}.conv1")(x))
            x = x + self._conv(self.features, f"{name}.conv2")(y)
        self.sow("intermediates", f"scale.{scale}", x)
        return self._conv(self.in_channels, f"scale.{scale}.tail")(x)

    def _conv(self, features: int, name: str) -> nn.Module:
        size = (self.kernel_size, self.kernel_size)
        return Conv(features, size, padding="SAME", dtype=self.dtype, name=name)


@register_model(
    example=image(256, 256, 3),
    paper="Nah et al., 2017, https://arxiv.org/abs/1612.02177",
    params=11_721_321,
)
def deepdeblur(**overrides) -> DeepDeblur:
    """Multi-scale deblurring: three scales of 40 convolutions 5×5, 64 channels.

    Example:
        >>> import jax
        >>> model, images = deepdeblur(features=4, num_blocks=1), jnp.zeros((1, 32, 24, 3))
        >>> pyramid = jax.eval_shape(lambda: model.init_with_output(jax.random.key(0), images))[0]
        >>> [picture.shape[1:3] for picture in pyramid]
        [(32, 24), (16, 12), (8, 6)]
    """
    return DeepDeblur(**overrides)
