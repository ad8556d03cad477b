"""LeNet of 1989: the first convolutional network that was trained by backpropagation."""

from functools import partial

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import lax
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from jdl.errors import UserError
from jdl.layers.images import check_channels
from jdl.layers.initializers import uniform_by_fan_in
from jdl.models.registry import image, register_model
from jdl.ops.activations import scaled_tanh

# Each third of H2's maps sees eight maps of H1. "The connection scheme is quite complicated" and
# not told in the paper; this one shares the maps out evenly.
H2_INPUTS = (range(8), range(4, 12), (*range(4), *range(8, 12)))


class SharedWeights(nn.Module):
    """Maps of units that share a 5×5 kernel, two pixels apart, each unit with its own bias.

    Attributes:
        features: maps.
        dtype: of the computation.
    """

    features: int
    dtype: DTypeLike | None

    @nn.compact
    def __call__(self, x: Array) -> Array:
        """Halves height and width; the border continues the background, −1."""
        height, width, channels = x.shape[1:]
        init = uniform_by_fan_in(25 * channels)
        kernel = self.param("kernel", init, (5, 5, channels, self.features))
        bias = self.param("bias", nn.initializers.zeros, (height // 2, width // 2, self.features))
        x = jnp.pad(x, [(0, 0), (2, 2), (2, 2), (0, 0)], constant_values=-1.0)
        y = lax.conv_general_dilated(
            x, kernel.astype(x.dtype), (2, 2), "VALID", dimension_numbers=("NHWC", "HWIO", "NHWC")
        )
        y = y[:, : height // 2, : width // 2] + bias[None]
        return y.astype(self.dtype or y.dtype)


class LeNet1989(nn.Module):
    """The zip-code network (LeCun et al., 1989, https://doi.org/10.1162/neco.1989.1.4.541).

    Two layers of shared weights, which move by two pixels and so need no subsampling, a hidden
    layer of 30 units and ten outputs, all of them scaled tanh. Biases are not shared. 1,068 + 2,592
    + 5,790 + 310 free parameters behind 64,660 connections.

    Intermediates: `h1`, `h2`, `h3`.

    Attributes:
        in_channels: 1.
        dtype: of the computation; parameters stay float32.
    """

    in_channels: int = 1
    dtype: DTypeLike | None = None

    @nn.compact
    def __call__(
        self, images: Float[Array, "batch height width channels"], *, train: bool = False
    ) -> Float[Array, "batch 10"]:
        """Classifies digits.

        Args:
            images: 16×16 pixels in [0, 1]; they are brought to the paper's −1 … 1. Larger square
                images are averaged down, as the paper's were normalised to this size.
            train: changes nothing.

        Returns:
            The outputs' activations, whose targets are −1 and 1.

        Raises:
            UserError: the images are smaller, not square, or coloured.
        """
        check_channels(images, self.in_channels)
        batch, height, width, channels = images.shape
        if height != width or height < 16:
            raise UserError(f"LeNet of 1989 takes square images from 16x16, not {height}x{width}")
        x = 2 * jax.image.resize(images, (batch, 16, 16, channels), "linear") - 1
        shared = partial(SharedWeights, dtype=self.dtype)
        dense = partial(nn.Dense, dtype=self.dtype)
        x = self._seen("h1", shared(12, name="H1")(x))
        thirds = [
            shared(4, name=f"H2.{i}")(x[..., jnp.array(list(maps))])
            for i, maps in enumerate(H2_INPUTS)
        ]
        x = self._seen("h2", jnp.concatenate(thirds, -1))
        x = x.reshape(batch, -1)
        x = self._seen("h3", dense(30, kernel_init=uniform_by_fan_in(192), name="H3")(x))
        return scaled_tanh(dense(10, kernel_init=uniform_by_fan_in(30), name="output")(x))

    def _seen(self, name: str, x: Array) -> Array:
        x = scaled_tanh(x)
        self.sow("intermediates", name, x)
        return x


@register_model(
    example=image(16, 16, 1),
    paper="LeCun et al., 1989, https://doi.org/10.1162/neco.1989.1.4.541",
    params=9_760,
)
def lenet1989(**overrides) -> LeNet1989:
    """The zip-code network: shared weights with stride two, biases of each unit's own.

    Example:
        >>> model, images = lenet1989(), jnp.zeros((8, 16, 16, 1))
        >>> jax.eval_shape(lambda: model.init_with_output(jax.random.key(0), images))[0].shape
        (8, 10)
    """
    return LeNet1989(**overrides)
