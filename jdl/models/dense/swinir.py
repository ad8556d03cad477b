"""SwinIR: images restored by attention within windows; super-resolution, denoising, JPEG."""

from collections.abc import Sequence
from functools import partial

import flax.linen as nn
import jax.numpy as jnp
import numpy as np
from einops import rearrange
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from jdl.errors import UserError
from jdl.layers.convolution import Conv
from jdl.layers.images import check_channels
from jdl.models.registry import image, register_model
from jdl.models.vision.swin import WindowAttention

Map = Float[Array, "batch rows columns width"]

# Of the photographs of DIV2K: red, green, blue.
MEAN = (0.4488, 0.4371, 0.4040)

dense_init = nn.initializers.truncated_normal(0.02)
# torch's own for convolutions, which the authors keep.
conv_init = nn.initializers.variance_scaling(1 / 3, "fan_in", "uniform")


class Layer(nn.Module):
    """One Swin Transformer layer (Liang et al., 2021, equations 7 and 8).

        x ← x + attention(norm₁(x));  x ← x + mlp(norm₂(x))                         (1)

    Attributes:
        num_heads: attention heads.
        window: height and width of a window.
        shift: pixels by which the map is moved before it is cut.
        drop_rate: how often each of the two sums leaves an image as it is.
        dtype: of the products.
    """

    num_heads: int
    window: int
    shift: int
    drop_rate: float
    dtype: DTypeLike | None = None

    @nn.compact
    def __call__(self, x: Map, *, train: bool) -> Map:
        """Applies equation (1)."""
        norm = partial(nn.LayerNorm, epsilon=1e-5, dtype=self.dtype)
        dense = partial(nn.Dense, kernel_init=dense_init, dtype=self.dtype)
        # Stochastic depth: all that is added to an image, or nothing.
        drop = nn.Dropout(self.drop_rate, broadcast_dims=(1, 2, 3), deterministic=not train)
        attention = WindowAttention(
            self.num_heads,
            self.window,
            self.shift,
            lone_window_stays=False,
            dtype=self.dtype,
            name="attn",
        )
        width = x.shape[-1]
        x = x + drop(attention(norm(name="norm1")(x)))
        y = dense(2 * width, name="mlp.fc1")(norm(name="norm2")(x))
        return x + drop(dense(width, name="mlp.fc2")(nn.gelu(y, approximate=False)))


class SwinIR(nn.Module):
    """SwinIR (Liang et al., 2021, https://arxiv.org/abs/2108.10257, Figure 2).

        F₀ = conv_first(x)                                                          (2)
        Fᵢ = Fᵢ₋₁ + convᵢ(layersᵢ(Fᵢ₋₁))                                            (3)
        F = F₀ + conv_after_body(norm(F_K))                                         (4)
        y = conv_last(upsample(conv_before_upsample(F))),  upsampler "pixelshuffle"
            upsample(F),                                   upsampler "pixelshuffledirect"
            x + conv_last(F),                              upsampler ""             (5)

    In every other layer of a group, windows are moved by half their size. Enlarging is by
    convolutions with s² times the channels that are then laid out as s×s pixels, and in one step or
    in steps of 2.

    Layers carry the authors' names. Intermediates: `shallow`, F₀; `group1`, `group2`, ..., Fᵢ;
    `deep`, F; and of each layer `layers.0.residual_group.blocks.0.attn.weights`.

    Attributes:
        depths: layers in each group.
        width: numbers per pixel.
        num_heads: attention heads of every layer.
        upscale: s, how many times the result is larger than the images.
        upsampler: of equation (5).
        window: height and width of a window.
        in_channels: channels of the images, and of the result.
        value_range: what images from 0 to 1 are multiplied by within.
        stochastic_depth_rate: how often the last layer is left out for an image; the rates grow
            linearly from zero.
        dtype: of the computation; parameters stay float32.
    """

    depths: Sequence[int] = (6,) * 6
    width: int = 180
    num_heads: int = 6
    upscale: int = 1
    upsampler: str = ""
    window: int = 8
    in_channels: int = 3
    value_range: float = 1.0
    stochastic_depth_rate: float = 0.1
    dtype: DTypeLike | None = None

    @nn.compact
    def __call__(
        self, images: Float[Array, "batch height width channels"], *, train: bool = False
    ) -> Float[Array, "batch tall wide channels"]:
        """Restores images.

        Args:
            images: from 0 to 1, of any size: they are mirrored at the lower and the right border up
                to a multiple of the window.
            train: leave layers out at random.

        Returns:
            Images, `upscale` times as high and wide.

        Raises:
            UserError: the images have another number of channels; there is no such upsampler, or
                none for the scale.
        """
        check_channels(images, self.in_channels)
        conv = partial(Conv, kernel_size=(3, 3), padding=1, kernel_init=conv_init, dtype=self.dtype)
        _, height, width, channels = images.shape
        mean = jnp.array(MEAN if channels == 3 else (0.0,) * channels, images.dtype)[
            None, None, None
        ]
        pads = [(0, 0), (0, -height % self.window), (0, -width % self.window), (0, 0)]
        x = jnp.pad((images - mean) * self.value_range, pads, "reflect")

        shallow = self._seen("shallow", conv(self.width, name="conv_first")(x))
        norm = partial(nn.LayerNorm, epsilon=1e-5, dtype=self.dtype)
        y = norm(name="patch_embed.norm")(shallow)
        rates = iter(np.linspace(0, self.stochastic_depth_rate, sum(self.depths)))
        for group, depth in enumerate(self.depths):
            before = y
            for i in range(depth):
                y = Layer(
                    self.num_heads,
                    self.window,
                    shift=self.window // 2 if i % 2 else 0,
                    drop_rate=float(next(rates)),
                    dtype=self.dtype,
                    name=f"layers.{group}.residual_group.blocks.{i}",
                )(y, train=train)
            y = before + conv(self.width, name=f"layers.{group}.conv")(y)
            y = self._seen(f"group{group + 1}", y)
        y = shallow + conv(self.width, name="conv_after_body")(norm(name="norm")(y))
        y = self._seen("deep", y)

        if self.upsampler == "pixelshuffle":
            y = nn.leaky_relu(conv(64, name="conv_before_upsample.0")(y))
            # The reference counts the layout as pixels after each convolution as a layer.
            for i, scale in enumerate(_steps(self.upscale)):
                y = to_pixels(conv(64 * scale**2, name=f"upsample.{2 * i}")(y), scale)
            y = conv(channels, name="conv_last")(y)
        elif self.upsampler == "pixelshuffledirect":
            y = conv(channels * self.upscale**2, name="upsample.0")(y)
            y = to_pixels(y, self.upscale)
        elif self.upsampler == "" and self.upscale == 1:
            y = x + conv(channels, name="conv_last")(y)
        else:
            raise UserError(
                "SwinIR's upsampler is 'pixelshuffle', 'pixelshuffledirect' or, to enlarge by 1, "
                f"'', not {self.upsampler!r} to enlarge by {self.upscale}"
            )
        y = y[:, : height * self.upscale, : width * self.upscale]
        return y / self.value_range + mean

    def _seen(self, name: str, x: Array) -> Array:
        self.sow("intermediates", name, x)
        return x


def _steps(scale: int) -> list[int]:
    """Returns the factors by which an image is enlarged in turn."""
    if scale == 3:
        return [3]
    if scale < 1 or scale & (scale - 1):
        raise UserError(f"SwinIR enlarges by 3 or a power of 2, not by {scale}")
    return [2] * (scale.bit_length() - 1)


def to_pixels(maps: Map, scale: int) -> Float[Array, "batch tall wide channels"]:
    """Lays s² channels out as s×s pixels ("pixel shuffle").

        y[s·i + u, s·j + v, c] = x[i, j, s²·c + s·u + v],  0 ≤ u, v < s              (6)

    Args:
        maps: x.
        scale: s.

    Returns:
        y.

    Example:
        >>> to_pixels(jnp.arange(4.0).reshape(1, 1, 1, 4), 2)[0, :, :, 0].tolist()
        [[0.0, 1.0], [2.0, 3.0]]

    Source: Shi et al., 2016, https://arxiv.org/abs/1609.05158, equation 4.
    """
    return rearrange(maps, "b h w (c u v) -> b (h u) (w v) c", u=scale, v=scale)


PAPER = "Liang et al., 2021, https://arxiv.org/abs/2108.10257"
COLOUR, GREY = image(64, 64, 3), image(64, 64, 1)


def _classical(upscale: int, overrides: dict) -> SwinIR:
    return SwinIR(**{"upscale": upscale, "upsampler": "pixelshuffle", **overrides})


def _light(upscale: int, overrides: dict) -> SwinIR:
    sizes = {"depths": (6,) * 4, "width": 60}
    return SwinIR(**{**sizes, "upscale": upscale, "upsampler": "pixelshuffledirect", **overrides})


@register_model(example=COLOUR, paper=PAPER, params=11_752_487)
def swinir_classical_x2(**overrides) -> SwinIR:
    """SwinIR for classical super-resolution, twice as large.

    Example:
        >>> import jax
        >>> model = swinir_classical_x2(depths=(2,), width=12)
        >>> images = jnp.zeros((1, 13, 8, 3))
        >>> jax.eval_shape(lambda: model.init_with_output(jax.random.key(0), images))[0].shape
        (1, 26, 16, 3)
    """
    return _classical(2, overrides)


@register_model(example=COLOUR, paper=PAPER, params=11_937_127)
def swinir_classical_x3(**overrides) -> SwinIR:
    """SwinIR for classical super-resolution, three times as large."""
    return _classical(3, overrides)


@register_model(example=COLOUR, paper=PAPER, params=11_900_199)
def swinir_classical_x4(**overrides) -> SwinIR:
    """SwinIR for classical super-resolution, four times as large."""
    return _classical(4, overrides)


@register_model(example=COLOUR, paper=PAPER, params=12_047_911)
def swinir_classical_x8(**overrides) -> SwinIR:
    """SwinIR for classical super-resolution, eight times as large."""
    return _classical(8, overrides)


@register_model(example=COLOUR, paper=PAPER, params=910_152)
def swinir_light_x2(**overrides) -> SwinIR:
    """SwinIR for lightweight super-resolution, twice as large."""
    return _light(2, overrides)


@register_model(example=COLOUR, paper=PAPER, params=918_267)
def swinir_light_x3(**overrides) -> SwinIR:
    """SwinIR for lightweight super-resolution, three times as large."""
    return _light(3, overrides)


@register_model(example=COLOUR, paper=PAPER, params=929_628)
def swinir_light_x4(**overrides) -> SwinIR:
    """SwinIR for lightweight super-resolution, four times as large."""
    return _light(4, overrides)


@register_model(example=GREY, paper=PAPER, params=11_497_681)
def swinir_denoise_grey(**overrides) -> SwinIR:
    """SwinIR for denoising grey images."""
    return SwinIR(**{"in_channels": 1, **overrides})


@register_model(example=COLOUR, paper=PAPER, params=11_504_163)
def swinir_denoise_colour(**overrides) -> SwinIR:
    """SwinIR for denoising colour images."""
    return SwinIR(**overrides)


@register_model(example=GREY, paper=PAPER, params=11_485_585)
def swinir_jpeg(**overrides) -> SwinIR:
    """SwinIR against JPEG's artefacts in grey images: windows of 7 pixels, as its blocks have 8."""
    return SwinIR(**{"in_channels": 1, "window": 7, "value_range": 255.0, **overrides})
