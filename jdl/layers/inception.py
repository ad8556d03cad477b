"""What the Inception networks with batch normalisation share."""

import flax.linen as nn
import numpy as np
from flax.typing import Initializer
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from jdl.layers.convolution import Conv
from jdl.layers.normalization import BatchNorm
from jdl.ops.preprocessing import IMAGENET_DEVIATION, IMAGENET_MEAN

he_init = nn.initializers.variance_scaling(2.0, "fan_in", "truncated_normal")


class ConvNorm(nn.Module):
    """Convolution, batch normalisation, ReLU (Szegedy et al., 2016, section 6).

    Attributes:
        features: channels of the result.
        kernel: height and width of the kernel, or one number for both.
        train: of the normalisation.
        stride: of the convolution.
        padded: by half the kernel on every side; else only where the kernel fits.
        kernel_init: initialiser of the kernel.
        dtype: of the computation; parameters stay float32.

    Example:
        >>> import jax
        >>> import jax.numpy as jnp
        >>> layer = ConvNorm(8, (1, 7), train=False)
        >>> y, variables = layer.init_with_output(jax.random.key(0), jnp.zeros((1, 9, 9, 3)))
        >>> y.shape, variables["params"]["conv"]["kernel"].shape
        ((1, 9, 9, 8), (1, 7, 3, 8))
    """

    features: int
    kernel: int | tuple[int, int]
    train: bool
    stride: int = 1
    padded: bool = True
    kernel_init: Initializer = he_init
    dtype: DTypeLike | None = None

    @nn.compact
    def __call__(
        self, x: Float[Array, "batch height width channels"]
    ) -> Float[Array, "batch rows columns features"]:
        """Applies the three."""
        kernel = (self.kernel, self.kernel) if isinstance(self.kernel, int) else self.kernel
        x = Conv(
            self.features,
            kernel,
            (self.stride, self.stride),
            padding=[size // 2 for size in kernel] if self.padded else "VALID",
            use_bias=False,
            kernel_init=self.kernel_init,
            dtype=self.dtype,
            name="conv",
        )(x)
        return nn.relu(BatchNorm(self.train, epsilon=1e-3, dtype=self.dtype, name="bn")(x))


def from_imagenet_to_unit_range(
    images: Float[Array, "batch height width 3"],
) -> Float[Array, "batch height width 3"]:
    """Turns images normalised by ImageNet's mean and deviation into images from −1 to 1.

    TensorFlow's networks were trained on such, and torchvision's copies of their weights still
    want them.

    Args:
        images: (x − mean) / deviation, x from 0 to 1.

    Returns:
        2x − 1.

    Example:
        >>> import jax.numpy as jnp
        >>> white = (1 - jnp.array([0.485, 0.456, 0.406])) / jnp.array([0.229, 0.224, 0.225])
        >>> from_imagenet_to_unit_range(white.reshape(1, 1, 1, 3)).round(5).ravel().tolist()
        [1.0, 1.0, 1.0]
    """
    mean, deviation = np.array([IMAGENET_MEAN, IMAGENET_DEVIATION], np.float32)[:, None, None, None]
    return (images * (deviation / 0.5) + (mean - 0.5) / 0.5).astype(images.dtype)
