"""Convolutional layers whose conventions are torch's."""

from functools import partial

import flax.linen as nn
import jax.numpy as jnp
from flax.linen.dtypes import promote_dtype
from flax.typing import Initializer
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from jdl.ops.convolution import conv_general_dilated, conv_transpose

# The kernel is laid out as of the convolution that is transposed: [rows, columns, out, in].
default_init = nn.initializers.variance_scaling(
    1.0, "fan_in", "truncated_normal", in_axis=-1, out_axis=-2
)


# nn.Conv, with the same parameters, by the fastest way that is known for the shape.
Conv = partial(nn.Conv, conv_general_dilated=conv_general_dilated)


class ConvTranspose(nn.Module):
    """Transposed convolution, as torch's ConvTranspose2d.

    Attributes:
        features: channels of the result.
        kernel_size: height and width of the kernel; the kernel is torch's `weight` transposed by
            (2, 3, 1, 0).
        stride: in pixels of the result.
        padding: pixels that are cut off the result on every side.
        output_padding: pixels added to the result below and to the right.
        use_bias: whether a bias is added.
        kernel_init: initialiser of the kernel; in its shape, inputs are the last axis.
        dtype: of the computation; parameters stay float32.

    Example:
        >>> import jax
        >>> layer = ConvTranspose(8, (4, 4), stride=2, padding=1)
        >>> y, variables = layer.init_with_output(jax.random.key(0), jnp.zeros((1, 5, 5, 3)))
        >>> y.shape, variables["params"]["kernel"].shape
        ((1, 10, 10, 8), (4, 4, 8, 3))
    """

    features: int
    kernel_size: tuple[int, int]
    stride: int = 1
    padding: int = 0
    output_padding: int = 0
    use_bias: bool = True
    kernel_init: Initializer = default_init
    dtype: DTypeLike | None = None

    @nn.compact
    def __call__(
        self, images: Float[Array, "batch height width channels"]
    ) -> Float[Array, "batch tall wide features"]:
        """Applies `jdl.ops.convolution.conv_transpose` and adds the bias."""
        shape = (*self.kernel_size, self.features, images.shape[-1])
        kernel = self.param("kernel", self.kernel_init, shape)
        bias = (
            self.param("bias", nn.initializers.zeros, (self.features,)) if self.use_bias else None
        )
        images, kernel, bias = promote_dtype(images, kernel, bias, dtype=self.dtype)
        y = conv_transpose(images, kernel, self.stride, self.padding, self.output_padding)
        return y if bias is None else y + jnp.reshape(bias, (1, 1, 1, -1))
