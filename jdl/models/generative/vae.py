"""The variational autoencoder: an encoder to a Gaussian code and a decoder back."""

import math
from typing import Literal

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax.typing import DTypeLike
from jaxtyping import Array, Float, Key

from jdl.errors import UserError
from jdl.layers.convolution import Conv, ConvTranspose
from jdl.layers.images import check_latents, check_shape
from jdl.models.registry import image, random_key, register_model

LEAST_LOG_VARIANCE = -math.log(12 * 256**2)


class VAE(nn.Module):
    """Variational autoencoder (Kingma and Welling, 2014, https://arxiv.org/abs/1312.6114).

        q(z|x) = N(μ(x), diag σ²(x))                                                (1)
        z = μ + σ·ε,  ε ~ N(0, I)                                                   (2)
        p(x|z) = Bernoulli(sigmoid(decode(z))),                                     (3)
        or N(m(z), diag s²(z)),  log s²(z) ≥ log s₀²                                (4)

    The encoder halves the image twice with strided convolutions, the decoder doubles it twice. A
    Gaussian decoder gives each pixel a mean m and a deviation s of its own (the paper's appendix
    C.2). s₀ = 2⁻⁸/√12 is the deviation of the noise that dequantises 8 bits: no pixel can be told
    more precisely.

    Intermediates: `encoded` and `decoded`, the dense layers next to the code.

    Attributes:
        latent_size: numbers in the code z.
        features: channels of the larger and of the smaller feature maps.
        hidden_size: width of the dense layers next to the code.
        image_shape: height, width and channels of the images; the sizes divisible by four.
        likelihood: of the pixels (3): "bernoulli", or "gaussian".
        dtype: of the computation; parameters stay float32.
    """

    latent_size: int = 20
    features: tuple[int, int] = (32, 64)
    hidden_size: int = 256
    image_shape: tuple[int, int, int] = (28, 28, 1)
    likelihood: Literal["bernoulli", "gaussian"] = "bernoulli"
    dtype: DTypeLike | None = None

    def setup(self) -> None:
        """Builds the layers that `encode` and `decode` share."""
        height, width, channels = self.image_shape
        if height % 4 or width % 4:
            raise UserError(f"the VAE's image sizes are divisible by 4, not {height}x{width}")
        large, small = self.features
        d = self.dtype
        self.encoder_conv1 = Conv(large, (4, 4), strides=2, padding=1, dtype=d)
        self.encoder_conv2 = Conv(small, (4, 4), strides=2, padding=1, dtype=d)
        self.encoder_dense = nn.Dense(self.hidden_size, dtype=d)
        self.mean = nn.Dense(self.latent_size, dtype=d)
        self.log_variance = nn.Dense(self.latent_size, dtype=d)
        self.decoder_dense1 = nn.Dense(self.hidden_size, dtype=d)
        self.decoder_dense2 = nn.Dense(height // 4 * (width // 4) * small, dtype=d)
        self.decoder_conv1 = ConvTranspose(large, (4, 4), stride=2, padding=1, dtype=d)
        outputs = channels if self.likelihood == "bernoulli" else 2 * channels
        self.decoder_conv2 = ConvTranspose(outputs, (4, 4), stride=2, padding=1, dtype=d)

    def encode(
        self, images: Float[Array, "batch height width channels"]
    ) -> tuple[Float[Array, "batch latent"], Float[Array, "batch latent"]]:
        """Gives the posterior of the code, q(z|x): its mean and the logarithm of its variance.

        Args:
            images: from 0 to 1.

        Returns:
            μ and log σ², both float32.

        Raises:
            UserError: the images do not have `image_shape`.
        """
        check_shape(images, self.image_shape, "this VAE")
        x = nn.relu(self.encoder_conv1(images))
        x = nn.relu(self.encoder_conv2(x))
        x = nn.relu(self.encoder_dense(x.reshape(x.shape[0], -1)))
        self.sow("intermediates", "encoded", x)
        return self.mean(x).astype(jnp.float32), self.log_variance(x).astype(jnp.float32)

    def decode(
        self, latents: Float[Array, "batch latent"]
    ) -> Float[Array, "batch height width outputs"]:
        """Gives the pixels' logits, whose sigmoid is the probability of white, or m and log s².

        Args:
            latents: codes z.

        Returns:
            Logits, one per pixel and channel; or the means, and behind them as many logarithms of
            variances. Float32.

        Raises:
            UserError: the codes have another size than `latent_size`.
        """
        check_latents(latents, self.latent_size)
        height, width, _ = self.image_shape
        x = nn.relu(self.decoder_dense1(latents))
        self.sow("intermediates", "decoded", x)
        x = nn.relu(self.decoder_dense2(x))
        x = x.reshape(x.shape[0], height // 4, width // 4, self.features[1])
        x = nn.relu(self.decoder_conv1(x))
        x = self.decoder_conv2(x).astype(jnp.float32)
        if self.likelihood == "bernoulli":
            return x
        mean, log_variance = jnp.split(x, 2, -1)
        # Tenths of the pixels' range, to begin with.
        log_variance = jnp.logaddexp(log_variance + 2 * math.log(0.1), LEAST_LOG_VARIANCE)
        return jnp.concatenate([mean, log_variance], -1)

    def __call__(
        self,
        images: Float[Array, "batch height width channels"],
        key: Key[Array, ""] | Key[Array, " batch"],
        *,
        train: bool = False,
    ) -> tuple[
        Float[Array, "batch height width outputs"],
        Float[Array, "batch latent"],
        Float[Array, "batch latent"],
    ]:
        """Encodes images, draws one code for each (2), and decodes it.

        Args:
            images: from 0 to 1.
            key: for ε: one key, or one for each example.
            train: changes nothing: the network has neither dropout nor batch statistics.

        Returns:
            What `decode` gives, μ and log σ².
        """
        mean, log_variance = self.encode(images)
        latents = sample_latents(key, mean, log_variance)
        return self.decode(latents), mean, log_variance


def sample_latents(
    key: Key[Array, ""] | Key[Array, " batch"],
    mean: Float[Array, "batch latent"],
    log_variance: Float[Array, "batch latent"],
) -> Float[Array, "batch latent"]:
    """Draws z = μ + σ·ε: the reparameterised sample (2) of the posterior.

    Args:
        key: one key, or one for each example.
        mean: μ.
        log_variance: log σ².

    Returns:
        Codes.

    Example:
        >>> mean = jnp.ones((2, 3))
        >>> sample_latents(jax.random.key(0), mean, jnp.full((2, 3), -jnp.inf)).tolist()
        [[1.0, 1.0, 1.0], [1.0, 1.0, 1.0]]
    """
    if key.ndim == 0:
        noise = jax.random.normal(key, mean.shape)
    else:
        noise = jax.vmap(lambda k: jax.random.normal(k, mean.shape[1:]))(key)
    return mean + jnp.exp(log_variance / 2) * noise


@register_model(
    example=image(28, 28, 1) + random_key(),
    paper="Kingma and Welling, 2014, https://arxiv.org/abs/1312.6114",
    params=1_691_369,
)
def vae(**overrides) -> VAE:
    """A small convolutional VAE for 28×28 images, with Bernoulli pixels.

    Example:
        >>> model = vae(latent_size=2)
        >>> images = jnp.zeros((8, 28, 28, 1))
        >>> init = lambda: model.init_with_output(jax.random.key(0), images, jax.random.key(1))
        >>> (logits, mean, log_variance), variables = jax.eval_shape(init)
        >>> logits.shape, mean.shape
        ((8, 28, 28, 1), (8, 2))
    """
    return VAE(**overrides)
