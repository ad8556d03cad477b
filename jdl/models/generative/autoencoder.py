"""Autoencoders: a code in the middle, and all the rest there to bring the image back."""

from collections.abc import Callable, Sequence

import flax.linen as nn
import jax.numpy as jnp
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from jdl.errors import UserError
from jdl.layers.convolution import Conv, ConvTranspose
from jdl.layers.images import check_latents, check_shape
from jdl.models.registry import image, register_model

Images = Float[Array, "batch height width channels"]
Codes = Float[Array, "batch latent"]


def identity(x: Array) -> Array:
    """Returns its argument: the activation of a linear layer.

    Example:
        >>> identity(jnp.array([-1.0])).tolist()
        [-1.0]
    """
    return x


class Autoencoder(nn.Module):
    """Dense autoencoder (Hinton and Salakhutdinov, 2006, https://doi.org/10.1126/science.1127647).

        h⁰ = x,  hˡ = f(Wˡ hˡ⁻¹ + bˡ),  a = g(W hᴸ + b)                             (1)
        x̂ = the same backwards, through layers of their own                         (2)

    With a code smaller than the image and no activations it finds the space that principal
    components span (Baldi and Hornik, 1989, https://doi.org/10.1016/0893-6080(89)90014-2). A larger
    code must be kept from being a copy, by a price on it or by noise on the image.

    Layers are `encoder.0`, …, the last of which gives the code, and `decoder.0`, …. Intermediates:
    `code`.

    Attributes:
        latent_size: numbers in the code a.
        hidden_sizes: units of the encoder's hidden layers; the decoder has them in reverse.
        activation: f.
        code_activation: g.
        image_shape: height, width and channels.
        dtype: of the computation; parameters stay float32.
    """

    latent_size: int = 32
    hidden_sizes: Sequence[int] = (256,)
    activation: Callable[[Array], Array] = nn.relu
    code_activation: Callable[[Array], Array] = identity
    image_shape: tuple[int, int, int] = (28, 28, 1)
    dtype: DTypeLike | None = None

    def setup(self) -> None:
        """Builds the layers that `encode` and `decode` share."""
        height, width, channels = self.image_shape
        outwards = (*self.hidden_sizes, self.latent_size)
        inwards = (*reversed(self.hidden_sizes), height * width * channels)
        self.encoder = [
            nn.Dense(n, dtype=self.dtype, name=f"encoder.{i}") for i, n in enumerate(outwards)
        ]
        self.decoder = [
            nn.Dense(n, dtype=self.dtype, name=f"decoder.{i}") for i, n in enumerate(inwards)
        ]

    def encode(self, images: Images) -> Codes:
        """Gives the code a of each image.

        Args:
            images: from 0 to 1.

        Returns:
            Codes, float32.

        Raises:
            UserError: the images do not have `image_shape`.
        """
        check_shape(images, self.image_shape, "this autoencoder")
        x = images.reshape(len(images), -1)
        for layer in self.encoder[:-1]:
            x = self.activation(layer(x))
        return self.code_activation(self.encoder[-1](x)).astype(jnp.float32)

    def decode(self, latents: Codes) -> Images:
        """Gives the image of each code, as numbers of any size.

        Args:
            latents: codes.

        Returns:
            x̂, or logits of it where pixels are taken for probabilities, float32.

        Raises:
            UserError: the codes have another size.
        """
        check_latents(latents, self.latent_size)
        x = latents
        for layer in self.decoder[:-1]:
            x = self.activation(layer(x))
        return self.decoder[-1](x).astype(jnp.float32).reshape(-1, *self.image_shape)

    def __call__(self, images: Images, *, train: bool = False) -> tuple[Images, Codes]:
        """Encodes images and decodes their codes.

        Args:
            images: from 0 to 1.
            train: changes nothing: the network has neither dropout nor batch statistics.

        Returns:
            x̂ and a.
        """
        codes = self.encode(images)
        self.sow("intermediates", "code", codes)
        return self.decode(codes), codes


class ConvAutoencoder(nn.Module):
    """Convolutional autoencoder (Masci et al., 2011, https://doi.org/10.1007/978-3-642-21735-7_7).

    Two strided convolutions, which halve the image, and a dense layer give the code; a dense layer
    and two transposed convolutions bring it back.

    Intermediates: `code`.

    Attributes:
        latent_size: numbers in the code.
        features: channels of the larger and of the smaller feature maps.
        image_shape: height, width and channels of the images; the sizes divisible by four.
        dtype: of the computation; parameters stay float32.
    """

    latent_size: int = 32
    features: tuple[int, int] = (16, 32)
    image_shape: tuple[int, int, int] = (28, 28, 1)
    dtype: DTypeLike | None = None

    def setup(self) -> None:
        """Builds the layers that `encode` and `decode` share."""
        height, width, channels = self.image_shape
        if height % 4 or width % 4:
            raise UserError(
                f"this autoencoder halves twice: {height}x{width} is not divisible by 4"
            )
        large, small = self.features
        d = self.dtype
        self.encoder_conv1 = Conv(large, (4, 4), strides=2, padding=1, dtype=d)
        self.encoder_conv2 = Conv(small, (4, 4), strides=2, padding=1, dtype=d)
        self.encoder_dense = nn.Dense(self.latent_size, dtype=d)
        self.decoder_dense = nn.Dense(height // 4 * (width // 4) * small, dtype=d)
        self.decoder_conv1 = ConvTranspose(large, (4, 4), stride=2, padding=1, dtype=d)
        self.decoder_conv2 = ConvTranspose(channels, (4, 4), stride=2, padding=1, dtype=d)

    def encode(self, images: Images) -> Codes:
        """Gives the code of each image.

        Args:
            images: from 0 to 1.

        Returns:
            Codes, float32.

        Raises:
            UserError: the images do not have `image_shape`.
        """
        check_shape(images, self.image_shape, "this autoencoder")
        x = nn.relu(self.encoder_conv2(nn.relu(self.encoder_conv1(images))))
        return self.encoder_dense(x.reshape(len(x), -1)).astype(jnp.float32)

    def decode(self, latents: Codes) -> Images:
        """Gives the image of each code, as numbers of any size.

        Args:
            latents: codes.

        Returns:
            x̂, or logits of it where pixels are taken for probabilities, float32.

        Raises:
            UserError: the codes have another size.
        """
        check_latents(latents, self.latent_size)
        height, width, _ = self.image_shape
        x = nn.relu(self.decoder_dense(latents))
        x = x.reshape(len(x), height // 4, width // 4, self.features[1])
        return self.decoder_conv2(nn.relu(self.decoder_conv1(x))).astype(jnp.float32)

    def __call__(self, images: Images, *, train: bool = False) -> tuple[Images, Codes]:
        """Encodes images and decodes their codes.

        Args:
            images: from 0 to 1.
            train: changes nothing: the network has neither dropout nor batch statistics.

        Returns:
            x̂ and the codes.
        """
        codes = self.encode(images)
        self.sow("intermediates", "code", codes)
        return self.decode(codes), codes


PAPER = "Hinton and Salakhutdinov, 2006, https://doi.org/10.1126/science.1127647"


@register_model(example=image(28, 28, 1), paper=PAPER, params=419_120)
def autoencoder(**overrides) -> Autoencoder:
    """An autoencoder whose code of 32 numbers is smaller than the image.

    Example:
        >>> linear = autoencoder(hidden_sizes=(), latent_size=8)
        >>> linear.hidden_sizes, linear.latent_size
        ((), 8)
    """
    return Autoencoder(**overrides)


@register_model(
    example=image(28, 28, 1),
    paper="Ng, 2011, https://web.stanford.edu/class/cs294a/sparseAutoencoder.pdf",
    params=1_607_440,
)
def autoencoder_overcomplete(**overrides) -> Autoencoder:
    """An autoencoder whose code of 1,024 numbers, none negative, is larger than the image.

    It wants a price on its code, so that few of them are needed for any image.

    Example:
        >>> autoencoder_overcomplete().code_activation.__name__
        'relu'
    """
    sparse = {"hidden_sizes": (), "latent_size": 1024, "code_activation": nn.relu}
    return Autoencoder(**{**sparse, **overrides})


@register_model(
    example=image(28, 28, 1),
    paper="Masci et al., 2011, https://doi.org/10.1007/978-3-642-21735-7_7",
    params=118_913,
)
def autoencoder_conv(**overrides) -> ConvAutoencoder:
    """A convolutional autoencoder with a code of 32 numbers.

    Example:
        >>> autoencoder_conv(latent_size=2).latent_size
        2
    """
    return ConvAutoencoder(**overrides)
