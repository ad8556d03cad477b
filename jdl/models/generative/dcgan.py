"""DCGAN: a generator and a discriminator made of strided convolutions."""

from collections.abc import Sequence
from functools import partial

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax.typing import DTypeLike
from jaxtyping import Array, Float, Int

from jdl.errors import UserError
from jdl.layers.convolution import Conv, ConvTranspose
from jdl.layers.normalization import BatchNorm
from jdl.models.registry import image, register_model, vector

kernel_init = nn.initializers.normal(0.02)


def scale_init(key: Array, shape: Sequence[int], dtype: DTypeLike = jnp.float32) -> Array:
    """Draws BatchNorm's scales from N(1, 0.02), as the reference does.

    Example:
        >>> bool(abs(scale_init(jax.random.key(0), (1000,)).mean() - 1) < 0.01)
        True
    """
    return 1 + 0.02 * jax.random.normal(key, shape, dtype)


class Generator(nn.Module):
    """DCGAN's generator (Radford et al., 2016, https://arxiv.org/abs/1511.06434).

    A latent code is projected to 4×4 and doubled in size by transposed convolutions of 4×4 with
    stride 2 until it is an image; BatchNorm and ReLU follow each but the last, tanh the last.

    Layers carry the names of torch's example. Intermediates: `4x4`, `8x8`, ..., after each ReLU.

    Attributes:
        image_size: height and width of the images: 8, 16, 32, 64, ...
        channels: channels of the images.
        base_features: channels of the last hidden layer; each earlier layer has twice as many.
        num_classes: labels to condition on, if any.
        dtype: of the computation; parameters stay float32.
    """

    image_size: int = 64
    channels: int = 3
    base_features: int = 64
    num_classes: int | None = None
    dtype: DTypeLike | None = None

    @nn.compact
    def __call__(
        self,
        latents: Float[Array, "batch latent"],
        labels: Int[Array, " batch"] | None = None,
        *,
        train: bool = False,
    ) -> Float[Array, "batch height width channels"]:
        """Draws the images of latent codes.

        Args:
            latents: codes, from a standard normal.
            labels: classes, where `num_classes` is given; they stand beside the code, one-hot.
            train: normalise with the batch's statistics and update the running ones.

        Returns:
            Images, from -1 to 1.

        Raises:
            UserError: `image_size` is not a power of two from 8 on, or there are labels without
                `num_classes` or the other way round.
        """
        doublings = count_doublings(self.image_size)
        conv = partial(ConvTranspose, use_bias=False, kernel_init=kernel_init, dtype=self.dtype)
        norm = partial(BatchNorm, train=train, scale_init=scale_init, dtype=self.dtype)

        x = jnp.concatenate([latents, *one_hot(labels, self.num_classes)], axis=-1)
        x = x[:, None, None, :]
        for i in range(doublings):
            features = self.base_features * 2 ** (doublings - 1 - i)
            stride, padding = (2, 1) if i else (1, 0)
            x = conv(features, (4, 4), stride, padding, name=f"main.{3 * i}")(x)
            x = nn.relu(norm(name=f"main.{3 * i + 1}")(x))
            self.sow("intermediates", f"{x.shape[1]}x{x.shape[2]}", x)
        x = conv(self.channels, (4, 4), stride=2, padding=1, name=f"main.{3 * doublings}")(x)
        return jnp.tanh(x)


class Discriminator(nn.Module):
    """DCGAN's discriminator (Radford et al., 2016, https://arxiv.org/abs/1511.06434).

    Convolutions of 4×4 with stride 2 halve the image down to 4×4, with leaky ReLU after each and
    BatchNorm after all but the first; a last convolution makes one logit of what is left.

    Layers carry the names of torch's example. Intermediates: `32x32`, `16x16`, ..., after each
    leaky ReLU.

    Attributes:
        image_size: height and width of the images: 8, 16, 32, 64, ...
        base_features: channels of the first layer; each later layer has twice as many.
        num_classes: labels to condition on, if any.
        dtype: of the computation; parameters stay float32.
    """

    image_size: int = 64
    base_features: int = 64
    num_classes: int | None = None
    dtype: DTypeLike | None = None

    @nn.compact
    def __call__(
        self,
        images: Float[Array, "batch height width channels"],
        labels: Int[Array, " batch"] | None = None,
        *,
        train: bool = False,
    ) -> Float[Array, " batch"]:
        """Tells real images from generated ones.

        Args:
            images: from -1 to 1.
            labels: classes, where `num_classes` is given; each is one more channel of ones.
            train: normalise with the batch's statistics and update the running ones.

        Returns:
            Logits of being real.

        Raises:
            UserError: the images do not have the discriminator's size, or there are labels without
                `num_classes` or the other way round.
        """
        doublings = count_doublings(self.image_size)
        batch, height, width, _ = images.shape
        if (height, width) != (self.image_size, self.image_size):
            raise UserError(
                f"the discriminator takes images of {self.image_size}x{self.image_size} pixels, "
                f"not {height}x{width}; set image_size"
            )
        conv = partial(
            Conv, kernel_size=(4, 4), use_bias=False, kernel_init=kernel_init, dtype=self.dtype
        )
        norm = partial(BatchNorm, train=train, scale_init=scale_init, dtype=self.dtype)

        planes = [
            jnp.broadcast_to(row[:, None, None], (batch, height, width, self.num_classes))
            for row in one_hot(labels, self.num_classes)
        ]
        x = jnp.concatenate([images, *planes], axis=-1)
        for i in range(doublings):
            at = 3 * i - 1 if i else 0  # the first layer has no norm
            x = conv(self.base_features * 2**i, strides=2, padding=1, name=f"main.{at}")(x)
            if i:
                x = norm(name=f"main.{at + 1}")(x)
            x = nn.leaky_relu(x, 0.2)
            self.sow("intermediates", f"{x.shape[1]}x{x.shape[2]}", x)
        x = conv(1, strides=1, padding="VALID", name=f"main.{3 * doublings - 1}")(x)
        return x.reshape(batch)


def count_doublings(image_size: int) -> int:
    """Returns how many times 4×4 is doubled to get an image.

    Raises:
        UserError: the size is not a power of two from 8 on.

    Example:
        >>> count_doublings(64)
        4
    """
    doublings = image_size.bit_length() - 3
    if image_size < 8 or image_size != 4 * 2**doublings:
        raise UserError(f"DCGAN's image_size is 8, 16, 32, 64, 128, ..., not {image_size}")
    return doublings


def one_hot(labels: Array | None, num_classes: int | None) -> list[Array]:
    """Returns what labels add to a network's input: nothing where there are no classes.

    Raises:
        UserError: there are labels without classes, or classes without labels.

    Example:
        >>> one_hot(jnp.array([1]), 3)[0].tolist(), one_hot(None, None)
        ([[0.0, 1.0, 0.0]], [])

    Source: Mirza and Osindero, 2014, https://arxiv.org/abs/1411.1784, section 3.2.
    """
    if num_classes is None and labels is None:
        return []
    if num_classes is None or labels is None:
        raise UserError("labels and num_classes go together: give both, or neither")
    return [jax.nn.one_hot(labels, num_classes)]


PAPER = "Radford et al., 2016, https://arxiv.org/abs/1511.06434"


@register_model(
    example=vector(100), paper=PAPER, reference="pytorch/examples:dcgan", params=3_576_704
)
def dcgan_generator(**overrides) -> Generator:
    """The generator of DCGAN, from 100 numbers to 64×64 RGB.

    Example:
        >>> model = dcgan_generator(image_size=32, channels=1)
        >>> forward = lambda: model.init_with_output(jax.random.key(0), jnp.zeros((8, 100)))
        >>> jax.eval_shape(forward)[0].shape
        (8, 32, 32, 1)
    """
    return Generator(**overrides)


@register_model(
    example=image(64, 64, 3), paper=PAPER, reference="pytorch/examples:dcgan", params=2_765_568
)
def dcgan_discriminator(**overrides) -> Discriminator:
    """The discriminator of DCGAN, from 64×64 RGB to one logit.

    Example:
        >>> model = dcgan_discriminator(image_size=32)
        >>> images = jnp.zeros((8, 32, 32, 1))
        >>> jax.eval_shape(lambda: model.init_with_output(jax.random.key(0), images))[0].shape
        (8,)
    """
    return Discriminator(**overrides)
