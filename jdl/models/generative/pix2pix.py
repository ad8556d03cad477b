"""Pix2pix: a U-Net that draws one image from another, and a discriminator of patches."""

from functools import partial

import flax.linen as nn
import jax.numpy as jnp
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from jdl.errors import UserError
from jdl.layers.convolution import Conv, ConvTranspose
from jdl.layers.normalization import BatchNorm
from jdl.models.generative.dcgan import kernel_init, scale_init
from jdl.models.registry import image, register_model

Images = Float[Array, "batch height width channels"]


class UNetGenerator(nn.Module):
    """The generator of pix2pix (Isola et al., 2017, https://arxiv.org/abs/1611.07004).

    4×4 convolutions of stride 2 halve the image down to 1×1, transposed ones double it back; each
    level's input is concatenated to what comes back from below it. Leaky ReLU and BatchNorm on the
    way down, ReLU and BatchNorm on the way up, tanh at the end. There is no latent code: what is
    random is the dropout of the three levels above the bottleneck's, at test time too, when
    BatchNorm also takes the image's own statistics: call it with `train=True`.

    Layers carry the names of the authors' PyTorch code. Intermediates: `down.0`, `down.1`, ...,
    and `up.0`, ..., by level.

    Attributes:
        num_downs: halvings: 8 for 256×256, 7 for 128×128.
        channels: channels of the images drawn.
        base_features: channels of the first level; twice as many each, up to eight times.
        dropout: rate.
        dtype: of the computation; parameters stay float32.
    """

    num_downs: int = 8
    channels: int = 3
    base_features: int = 64
    dropout: float = 0.5
    dtype: DTypeLike | None = None

    @nn.compact
    def __call__(
        self, images: Images, *, train: bool = False
    ) -> Float[Array, "batch height width drawn"]:
        """Draws images from images.

        Args:
            images: from -1 to 1, whose sizes can be halved `num_downs` times.
            train: normalise with the batch's statistics, update the running ones, apply dropout.

        Returns:
            Images of the same height and width, from -1 to 1.

        Raises:
            UserError: the sizes cannot be halved so often.
        """
        _, height, width, _ = images.shape
        if height % 2**self.num_downs or width % 2**self.num_downs:
            raise UserError(
                f"pix2pix halves its images {self.num_downs} times, which {height}x{width} pixels "
                "do not allow; set num_downs"
            )
        shape = {"kernel_size": (4, 4), "kernel_init": kernel_init, "dtype": self.dtype}
        halve = partial(Conv, strides=2, padding=1, use_bias=False, **shape)
        double = partial(ConvTranspose, stride=2, padding=1, **shape)
        norm = partial(BatchNorm, train=train, scale_init=scale_init, dtype=self.dtype)
        last = self.num_downs - 1

        def level(x: Array, i: int, path: str) -> Array:
            """What comes back from level i, without its input."""
            outer, inner = i == 0, i == last
            features = self.base_features * min(2**i, 8)
            # Where its layers stand in the authors' list of them.
            down, below, up = (0, 1, 3) if outer else (1, 3, 3 if inner else 5)
            y = x if outer else nn.leaky_relu(x, 0.2)
            y = halve(features, name=f"{path}.{down}")(y)
            if not outer and not inner:
                y = norm(name=f"{path}.{down + 1}")(y)
            self.sow("intermediates", f"down.{i}", y)
            if not inner:
                y = jnp.concatenate([y, level(y, i + 1, f"{path}.{below}.model")], axis=-1)
            out = self.channels if outer else self.base_features * min(2 ** (i - 1), 8)
            y = double(out, use_bias=outer, name=f"{path}.{up}")(nn.relu(y))
            if outer:
                return jnp.tanh(y)
            y = norm(name=f"{path}.{up + 1}")(y)
            if 4 <= i < last:
                y = nn.Dropout(self.dropout, deterministic=not train)(y)
            self.sow("intermediates", f"up.{i}", y)
            return y

        return level(images, 0, "model.model")


class PatchDiscriminator(nn.Module):
    """The discriminator of pix2pix, which judges each patch (Isola et al., 2017, section 3.2.2).

    4×4 convolutions, of stride 2 but the last two, with BatchNorm after all but the first and the
    last, and leaky ReLU. Each logit sees 70×70 pixels.

    Layers carry the names of the authors' PyTorch code. Intermediates: `features.0`, ..., after
    each leaky ReLU.

    Attributes:
        num_layers: convolutions of stride 2; 3 for patches of 70 pixels.
        base_features: channels of the first layer; twice as many each, up to eight times.
        dtype: of the computation; parameters stay float32.
    """

    num_layers: int = 3
    base_features: int = 64
    dtype: DTypeLike | None = None

    @nn.compact
    def __call__(
        self, images: Images, *, train: bool = False
    ) -> Float[Array, "batch rows columns"]:
        """Tells real patches from drawn ones.

        Args:
            images: from -1 to 1; the image drawn from comes first, along the channels.
            train: normalise with the batch's statistics and update the running ones.

        Returns:
            Logits of being real.
        """
        conv = partial(
            Conv, kernel_size=(4, 4), padding=1, kernel_init=kernel_init, dtype=self.dtype
        )
        norm = partial(BatchNorm, train=train, scale_init=scale_init, dtype=self.dtype)
        x = images
        for i in range(self.num_layers + 1):
            at = 3 * i - 1 if i else 0  # the first layer has no norm
            features = self.base_features * min(2**i, 8)
            strides = 2 if i < self.num_layers else 1
            x = conv(features, strides=strides, use_bias=i == 0, name=f"model.{at}")(x)
            if i:
                x = norm(name=f"model.{at + 1}")(x)
            x = nn.leaky_relu(x, 0.2)
            self.sow("intermediates", f"features.{i}", x)
        return conv(1, name=f"model.{3 * self.num_layers + 2}")(x)[..., 0]


PAPER = "Isola et al., 2017, https://arxiv.org/abs/1611.07004"


@register_model(example=image(256, 256, 3), paper=PAPER, params=54_413_955)
def pix2pix_generator(**overrides) -> UNetGenerator:
    """The U-Net of pix2pix for 256×256 pixels; `num_downs=7` is that for 128×128.

    Example:
        >>> model = pix2pix_generator(num_downs=5, base_features=4)
        >>> import jax
        >>> images = jnp.zeros((2, 32, 64, 1))
        >>> jax.eval_shape(lambda: model.init_with_output(jax.random.key(0), images))[0].shape
        (2, 32, 64, 3)
    """
    return UNetGenerator(**overrides)


@register_model(example=image(256, 256, 6), paper=PAPER, params=2_768_705)
def patchgan(**overrides) -> PatchDiscriminator:
    """The discriminator of pix2pix, for two images of three channels.

    Example:
        >>> import jax
        >>> images = jnp.zeros((1, 256, 256, 6))
        >>> init = lambda: patchgan().init_with_output(jax.random.key(0), images)
        >>> jax.eval_shape(init)[0].shape
        (1, 30, 30)
    """
    return PatchDiscriminator(**overrides)
