"""StyleGAN: a code is mapped to styles, which say at each layer how a constant becomes an image."""

import math
from functools import partial
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from jdl.errors import UserError
from jdl.models.registry import image, register_model, vector
from jdl.ops.convolution import conv_general_dilated
from jdl.ops.resampling import downsample_binomial, upsample_binomial

Images = Float[Array, "batch height width channels"]
Styles = Float[Array, "batch layers style"]

leaky_relu = partial(nn.leaky_relu, negative_slope=0.2)
# He's gain, as a leaky ReLU follows.
GAIN = math.sqrt(2.0)


class EqualDense(nn.Module):
    """A dense layer whose weights learn equally fast, whatever their number.

        y = (g m / √n) W x + m b,  W ~ N(0, 1/m²), n inputs                         (1)

    Attributes:
        features: numbers of the result.
        gain: g.
        multiplier: m, of the learning rate.
        bias: where the biases begin.
        dtype: of the computation; parameters stay float32.

    Source: Karras et al., 2018, https://arxiv.org/abs/1710.10196, section 4.1.
    """

    features: int
    gain: float = GAIN
    multiplier: float = 1.0
    bias: float = 0.0
    dtype: DTypeLike | None = None

    @nn.compact
    def __call__(self, x: Float[Array, "batch inputs"]) -> Float[Array, "batch features"]:
        """Applies equation (1)."""
        inputs, m = x.shape[-1], self.multiplier
        shape = (inputs, self.features)
        kernel = self.param("kernel", nn.initializers.normal(1 / m), shape)
        bias = self.param("bias", nn.initializers.constant(self.bias / m), (self.features,))
        scale = self.gain * m / math.sqrt(inputs)
        x, kernel, bias = nn.dtypes.promote_dtype(x, scale * kernel, m * bias, dtype=self.dtype)
        return x @ kernel + bias[None]


class EqualConv(nn.Module):
    """A convolution with the weights of `EqualDense`.

    Attributes:
        features: channels of the result.
        size: height and width of the kernel.
        gain: g.
        use_bias: whether a bias is added.
        dtype: of the computation; parameters stay float32.
    """

    features: int
    size: int = 3
    gain: float = GAIN
    use_bias: bool = True
    dtype: DTypeLike | None = None

    @nn.compact
    def __call__(self, x: Images) -> Float[Array, "batch height width features"]:
        """Applies equation (1) at every pixel."""
        shape = (self.size, self.size, x.shape[-1], self.features)
        kernel = self.param("kernel", nn.initializers.normal(1.0), shape)
        scale = self.gain / math.sqrt(math.prod(shape[:-1]))
        x, kernel = nn.dtypes.promote_dtype(x, scale * kernel, dtype=self.dtype)
        dimensions = ("NHWC", "HWIO", "NHWC")
        y = conv_general_dilated(x, kernel, (1, 1), "SAME", dimension_numbers=dimensions)
        if not self.use_bias:
            return y
        bias = self.param("bias", nn.initializers.zeros, (self.features,))
        return y + bias.astype(y.dtype)[None, None, None]


class Epilogue(nn.Module):
    """What follows each convolution of the generator.

        a = leaky ReLU(x + b ⊙ ε + c),  ε ~ N(0, 1) for each pixel                   (2)
        y = s₁ ⊙ (a − μ(a)) / σ(a) + s₂,  [s₁, s₂] = A w                            (3)

    with mean and deviation over the pixels of each channel ("AdaIN").

    Attributes:
        dtype: of the computation; statistics and parameters stay float32.
    """

    dtype: DTypeLike | None = None

    @nn.compact
    def __call__(self, x: Images, style: Float[Array, "batch style"]) -> Images:
        """Applies equations (2) and (3); without a key for "noise" there is none."""
        batch, height, width, channels = x.shape
        strength = self.param("noise", nn.initializers.zeros, (channels,))
        bias = self.param("bias", nn.initializers.zeros, (channels,))
        shift = bias[None, None, None]
        if self.has_rng("noise"):
            noise = jax.random.normal(self.make_rng("noise"), (batch, height, width, 1))
            shift += strength[None, None, None] * noise
        x = leaky_relu(x + shift.astype(x.dtype)).astype(jnp.float32)
        x = x - x.mean((1, 2), keepdims=True)
        x *= jax.lax.rsqrt(jnp.square(x).mean((1, 2), keepdims=True) + 1e-8)
        # The scales begin at one, the shifts at zero.
        scale = EqualDense(channels, gain=1.0, bias=1.0, name="scale")(style)
        shift = EqualDense(channels, gain=1.0, name="shift")(style)
        y = scale[:, None, None] * x + shift[:, None, None]
        return y.astype(self.dtype or y.dtype)


class StyleGenerator(nn.Module):
    """The generator of StyleGAN (Karras et al., 2019, https://arxiv.org/abs/1812.04948).

        w = f(z / √mean(z²)),  f eight dense layers                                 (4)
        w' = w̄ + ψ (w − w̄)                                                          (5)
        x₄ = a learned constant of 4×4;  xᵣ = two convolutions of xᵣ₋₁ doubled      (6)
        y₄ = RGB₄(x₄),  yᵣ = RGBᵣ(xᵣ) + yᵣ₋₁ doubled                                (7)

    with an `Epilogue` of w' after the constant and each convolution; to double is to repeat each
    pixel and smooth by [1, 2, 1] (`jdl.ops.resampling`). When training, a second code takes over
    from a random layer on with a probability of 0.9 ("style mixing"), and w' is w; otherwise (5)
    draws the styles towards their mean w̄, a running one.

    The paper's network grows while it is trained, and in the end has RGB of the last size alone.
    (7) replaces this: all sizes add up from the first step on, with the same parameters (Karras et
    al., 2020, https://arxiv.org/abs/1912.04958, section 4.1).

    Intermediates: `styles`, and `4x4`, `8x8`, ..., after each size.

    Attributes:
        image_size: height and width of the images: 8, 16, ..., 1024.
        channels: of the images.
        base_features: channels of a size r are base_features / r, at most `most_features`.
        most_features: see there.
        style_size: numbers in w, and in the layers of f.
        mapping_layers: of f.
        truncation: ψ.
        dtype: of the computation; parameters stay float32.
    """

    image_size: int = 1024
    channels: int = 3
    base_features: int = 16_384
    most_features: int = 512
    style_size: int = 512
    mapping_layers: int = 8
    truncation: float = 0.7
    dtype: DTypeLike | None = None

    def setup(self) -> None:
        """Builds the layers."""
        features = _features(self.image_size, self.base_features, self.most_features)
        dense = partial(EqualDense, self.style_size, multiplier=0.01, dtype=self.dtype)
        self.mapping = [dense(name=f"mapping.{i}") for i in range(self.mapping_layers)]
        self.constant = self.param("constant", nn.initializers.ones, (4, 4, features[0]))
        conv = partial(EqualConv, use_bias=False, dtype=self.dtype)
        rgb = partial(EqualConv, self.channels, size=1, gain=1.0, dtype=self.dtype)
        sizes = [4 * 2**i for i in range(len(features))]
        self.convs = [
            [conv(count, name=f"{size}x{size}.conv{j}") for j in range(2) if i or j]
            for i, (size, count) in enumerate(zip(sizes, features))
        ]
        self.epilogues = [
            [Epilogue(self.dtype, name=f"{size}x{size}.epilogue{j}") for j in range(2)]
            for size in sizes
        ]
        self.to_rgb = [rgb(name=f"{size}x{size}.rgb") for size in sizes]
        self.mean_style = self.variable("batch_stats", "style", jnp.zeros, (self.style_size,))

    def __call__(
        self, latents: Float[Array, "batch latent"], *, train: bool = False
    ) -> Float[Array, "batch height width channels"]:
        """Draws the images of latent codes.

        Args:
            latents: codes z, from a standard normal. Noise (2) is added where there is a key for
                "noise", which mixing needs too.
            train: mix styles and update their running mean; else truncate them.

        Returns:
            Images, mostly between -1 and 1.
        """
        style = self.map(latents)
        layers = 2 * len(self.to_rgb)
        styles = jnp.repeat(style[:, None], layers, axis=1)
        if train:
            if not self.is_initializing():
                mean = style.mean(0)
                self.mean_style.value = 0.995 * self.mean_style.value + 0.005 * mean
            if self.has_rng("noise"):
                keys = jax.random.split(self.make_rng("noise"), 3)
                other = self.map(jax.random.normal(keys[0], latents.shape))
                first = jax.random.randint(keys[1], (len(latents), 1), 1, layers)
                mixed = jax.random.bernoulli(keys[2], 0.9, (len(latents), 1))
                over = mixed & (jnp.arange(layers)[None] >= first)
                styles = jnp.where(over[..., None], other[:, None], styles)
        else:
            mean = self.mean_style.value[None, None]
            styles = mean + self.truncation * (styles - mean)  # (5)
        return self.synthesize(styles)

    def map(self, latents: Float[Array, "batch latent"]) -> Float[Array, "batch style"]:
        """Gives the styles of latent codes (4)."""
        x = latents * jax.lax.rsqrt(jnp.square(latents).mean(-1, keepdims=True) + 1e-8)
        for dense in self.mapping:
            x = leaky_relu(dense(x))
        return x.astype(jnp.float32)

    def synthesize(self, styles: Styles) -> Images:
        """Draws the images of styles, one for each layer (6), (7).

        Raises:
            UserError: there is not one style for each layer.
        """
        batch, layers, _ = styles.shape
        if layers != 2 * len(self.to_rgb):
            raise UserError(f"{2 * len(self.to_rgb)} layers take as many styles, not {layers}")
        self.sow("intermediates", "styles", styles)
        x = jnp.broadcast_to(self.constant, (batch, *self.constant.shape))
        x = x.astype(self.dtype or x.dtype)
        y: Any = None
        for i, (convs, epilogues) in enumerate(zip(self.convs, self.epilogues)):
            if i:
                x = convs[0](upsample_binomial(x))
            x = epilogues[0](x, styles[:, 2 * i])
            x = epilogues[1](convs[-1](x), styles[:, 2 * i + 1])
            self.sow("intermediates", f"{x.shape[1]}x{x.shape[2]}", x)
            rgb = self.to_rgb[i](x)
            y = rgb if y is None else rgb + upsample_binomial(y)
        return y.astype(jnp.float32)


class StyleDiscriminator(nn.Module):
    """The discriminator of StyleGAN, that of Karras et al., 2018 (arXiv:1710.10196, Table 2).

        x = leaky ReLU(RGB⁻¹(y));  from size to size two convolutions, the result halved,
        and the halved image's RGB⁻¹ added                                          (8)

    At 4×4, the standard deviation over groups of four examples is appended as one more channel, so
    that a generator that always draws the same is found out. The paper's grows; as in the generator
    all sizes are there from the first step on.

    Intermediates: `4x4`, `8x8`, ..., before they are halved.

    Attributes:
        image_size: height and width of the images: 8, 16, ..., 1024.
        base_features: channels of a size r are base_features / r, at most `most_features`.
        most_features: see there.
        dtype: of the computation; parameters stay float32.
    """

    image_size: int = 1024
    base_features: int = 16_384
    most_features: int = 512
    dtype: DTypeLike | None = None

    @nn.compact
    def __call__(self, images: Images, *, train: bool = False) -> Float[Array, " batch"]:
        """Tells real images from generated ones.

        Args:
            images: from -1 to 1.
            train: changes nothing.

        Returns:
            Logits of being real.

        Raises:
            UserError: the images do not have the discriminator's size.
        """
        size = self.image_size
        if images.shape[1:3] != (size, size):
            raise UserError(
                f"the discriminator takes images of {size}x{size} pixels, not "
                f"{images.shape[1]}x{images.shape[2]}; set image_size"
            )
        features = _features(size, self.base_features, self.most_features)
        conv = partial(EqualConv, dtype=self.dtype)
        x: Any = None
        y = images
        for i in reversed(range(len(features))):
            path = f"{size}x{size}"
            rgb = leaky_relu(conv(features[i], size=1, name=f"{path}.rgb")(y))
            x = rgb if x is None else x + rgb
            if i == 0:
                x = jnp.concatenate([x, deviation(x)], axis=-1)
                x = leaky_relu(conv(features[i], name=f"{path}.conv0")(x))
                self.sow("intermediates", path, x)
                break
            x = leaky_relu(conv(features[i], name=f"{path}.conv0")(x))
            self.sow("intermediates", path, x)
            x = conv(features[i - 1], name=f"{path}.conv1")(x)
            x = leaky_relu(downsample_binomial(x))
            y, size = downsample_binomial(y), size // 2
        dense = partial(EqualDense, dtype=self.dtype)
        x = leaky_relu(dense(features[0], name="dense0")(x.reshape(len(x), -1)))
        return dense(1, gain=1.0, name="dense1")(x)[:, 0].astype(jnp.float32)


def _features(image_size: int, base: int, most: int) -> list[int]:
    """Returns the channels of 4×4, 8×8, ...

    Raises:
        UserError: the size is not a power of two from 8 on.
    """
    count = image_size.bit_length() - 2
    if image_size < 8 or image_size != 4 * 2 ** (count - 1):
        raise UserError(f"StyleGAN's image_size is 8, 16, 32, 64, ..., not {image_size}")
    return [min(base // (4 * 2**i), most) for i in range(count)]


def deviation(x: Images, group: int = 4) -> Float[Array, "batch height width 1"]:
    """Averages over all numbers their standard deviation over groups of examples.

    Args:
        x: feature maps.
        group: examples in a group, at most; every k-th of the batch is in the same.

    Returns:
        One number for each group, at every pixel.

    Example:
        >>> alike = jnp.ones((4, 2, 2, 3))
        >>> bool((deviation(alike) < 1e-3).all())
        True

    Source: Karras et al., 2018, section 3.
    """
    batch, height, width, channels = x.shape
    group = math.gcd(batch, group)
    y = x.astype(jnp.float32).reshape(group, batch // group, height, width, channels)
    y = jnp.sqrt(y.var(0) + 1e-8).mean((1, 2, 3))
    y = jnp.tile(y, group)[:, None, None, None]
    return jnp.broadcast_to(y, (batch, height, width, 1)).astype(x.dtype)


PAPER = "Karras et al., 2019, https://arxiv.org/abs/1812.04948"


@register_model(example=vector(512), paper=PAPER, params=26_219_627)
def stylegan_generator(**overrides) -> StyleGenerator:
    """The generator of StyleGAN, from 512 numbers to 1024×1024 RGB.

    Example:
        >>> model = stylegan_generator(image_size=16, base_features=64, style_size=8)
        >>> forward = lambda: model.init_with_output(jax.random.key(0), jnp.zeros((2, 8)))
        >>> jax.eval_shape(forward)[0].shape
        (2, 16, 16, 3)
    """
    return StyleGenerator(**overrides)


@register_model(example=image(1024, 1024, 3), paper=PAPER, params=23_087_249)
def stylegan_discriminator(**overrides) -> StyleDiscriminator:
    """The discriminator of StyleGAN, from 1024×1024 RGB to one logit.

    Example:
        >>> model = stylegan_discriminator(image_size=16, base_features=64)
        >>> images = jnp.zeros((4, 16, 16, 3))
        >>> jax.eval_shape(lambda: model.init_with_output(jax.random.key(0), images))[0].shape
        (4,)
    """
    return StyleDiscriminator(**overrides)
