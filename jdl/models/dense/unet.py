"""U-Net: a contracting path, an expanding path, and copies from one to the other."""

from collections.abc import Sequence
from functools import partial

import flax.linen as nn
import jax.numpy as jnp
from flax.typing import Initializer
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from jdl.errors import UserError
from jdl.layers.convolution import Conv, ConvTranspose
from jdl.models.registry import image, register_model
from jdl.ops.pooling import max_pool

# "A Gaussian distribution with a standard deviation of √(2/N), where N denotes the number of
# incoming nodes of one neuron" (Section 3). A neuron of an up-convolution sees one pixel.
he_init = nn.initializers.variance_scaling(2.0, "fan_in", "normal")
he_up_init = nn.initializers.variance_scaling(
    2.0, "fan_in", "normal", in_axis=-1, out_axis=-2, batch_axis=(0, 1)
)


class UNet(nn.Module):
    """U-Net (Ronneberger et al., 2015, https://arxiv.org/abs/1505.04597, Figure 1).

    Each level of the contracting path has two 3×3 convolutions with ReLU and a 2×2 max-pool; each
    level of the expanding path has a 2×2 up-convolution that halves the channels, the copy of the
    feature map of the same level, cropped to fit, and two 3×3 convolutions. A 1×1 convolution
    gives the logits. Dropout stands where the authors' network has it, at the end of the
    contracting path: after the last two levels.

    Intermediates: `down.0`, `down.1`, ..., after each level of the contracting path, the last one
    at the bottom, and `up.0`, ..., numbered by the level whose size they have.

    Attributes:
        num_classes: logits per pixel.
        features: channels of each level.
        padding: "VALID" as in the paper, or "SAME" for logits of the image's size.
        dropout: rate.
        head_init: initialiser of the last convolution; zeros where the answer is a correction.
        dtype: of the computation; parameters stay float32.
    """

    num_classes: int = 2
    features: Sequence[int] = (64, 128, 256, 512, 1024)
    padding: str = "VALID"
    dropout: float = 0.5
    head_init: Initializer = he_init
    dtype: DTypeLike | None = None

    @nn.compact
    def __call__(
        self, images: Float[Array, "batch height width channels"], *, train: bool = False
    ) -> Float[Array, "batch rows columns num_classes"]:
        """Classifies the pixels of images.

        Args:
            images: of a size that fits: `output_size` says which, and how many logits come out.
            train: apply dropout.

        Returns:
            Logits: of the middle of the image (572 → 388) with valid convolutions, else of all.

        Raises:
            UserError: the size does not fit; with the nearest sizes that do.
        """
        depth = len(self.features) - 1
        for size in images.shape[1:3]:
            check_size(size, depth, self.padding)

        x = images
        copies = []
        for level, features in enumerate(self.features):
            x = self._convolve_twice(x, features, f"down.{level}")
            if level >= depth - 1:
                x = nn.Dropout(self.dropout, deterministic=not train)(x)
            self.sow("intermediates", f"down.{level}", x)
            if level < depth:
                copies.append(x)
                x = max_pool(x)

        for level in reversed(range(depth)):
            up = ConvTranspose(
                self.features[level],
                (2, 2),
                stride=2,
                kernel_init=he_up_init,
                dtype=self.dtype,
                name=f"up.{level}.upconv",
            )
            x = up(x)
            x = jnp.concatenate([crop(copies[level], x.shape[1], x.shape[2]), x], axis=-1)
            x = self._convolve_twice(x, self.features[level], f"up.{level}")
            self.sow("intermediates", f"up.{level}", x)

        head = Conv(
            self.num_classes, (1, 1), kernel_init=self.head_init, dtype=self.dtype, name="head"
        )
        return head(x)

    def _convolve_twice(self, x: Array, features: int, name: str) -> Array:
        conv = partial(
            Conv, features, (3, 3), padding=self.padding, kernel_init=he_init, dtype=self.dtype
        )
        x = nn.relu(conv(name=f"{name}.conv1")(x))
        return nn.relu(conv(name=f"{name}.conv2")(x))


def crop(
    x: Float[Array, "batch height width channels"], rows: int, columns: int
) -> Float[Array, "batch rows columns channels"]:
    """Cuts out the middle of feature maps.

    Example:
        >>> crop(jnp.arange(16.0).reshape(1, 4, 4, 1), 2, 2).ravel().tolist()
        [5.0, 6.0, 9.0, 10.0]
    """
    top, left = (x.shape[1] - rows) // 2, (x.shape[2] - columns) // 2
    return x[:, top : top + rows, left : left + columns]


def output_size(size: int, depth: int = 4, padding: str = "VALID") -> int | None:
    """Returns how many pixels of logits an image of a size gives, or None where it does not fit.

    Args:
        size: height or width of the image.
        depth: number of poolings; each must find an even number of pixels.
        padding: "VALID" or "SAME".

    Example:
        >>> output_size(572), output_size(570), output_size(64, padding="SAME")
        (388, None, 64)
    """
    lost = 4 if padding == "VALID" else 0
    for _ in range(depth):
        size -= lost
        if size < 2 or size % 2:
            return None
        size //= 2
    size -= lost
    for _ in range(depth):
        size = 2 * size - lost
    return size if size > 0 else None


def check_size(size: int, depth: int, padding: str) -> None:
    """Refuses a height or width that the network cannot halve, with the nearest ones that it can.

    Raises:
        UserError: the size does not fit.

    Example:
        >>> check_size(570, 4, "VALID")
        Traceback (most recent call last):
        ...
        jdl.errors.UserError: this U-Net does not fit 570 pixels; the nearest sizes are 556 and 572
    """
    if output_size(size, depth, padding) is None:
        unit = 2**depth
        below = next((n for n in range(size, 0, -1) if output_size(n, depth, padding)), None)
        above = next(n for n in range(size, size + 300 * unit) if output_size(n, depth, padding))
        nearest = f"sizes are {below} and {above}" if below else f"size is {above}"
        raise UserError(f"this U-Net does not fit {size} pixels; the nearest {nearest}")


PAPER = "Ronneberger et al., 2015, https://arxiv.org/abs/1505.04597"


@register_model(example=image(572, 572, 1), paper=PAPER, params=31_030_658)
def unet(**overrides) -> UNet:
    """The original U-Net: valid convolutions, 572 → 388 pixels, two classes.

    Example:
        >>> import jax
        >>> model, images = unet(features=(4, 8, 16)), jnp.zeros((2, 60, 92, 3))
        >>> jax.eval_shape(lambda: model.init_with_output(jax.random.key(0), images))[0].shape
        (2, 20, 52, 2)
    """
    return UNet(**overrides)


@register_model(example=image(256, 256, 1), paper=PAPER, params=31_030_658)
def unet_same(**overrides) -> UNet:
    """U-Net with padded convolutions: as many logits as pixels, two classes.

    Example:
        >>> import jax
        >>> model = unet_same(features=(4, 8, 16), num_classes=11)
        >>> images = jnp.zeros((2, 64, 48, 3))
        >>> jax.eval_shape(lambda: model.init_with_output(jax.random.key(0), images))[0].shape
        (2, 64, 48, 11)
    """
    return UNet(**{"padding": "SAME", **overrides})
