"""NCSN++ and DDPM++: the U-Nets of score-based generative modelling."""

import math
from collections.abc import Sequence
from functools import partial

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from jdl.layers.convolution import Conv
from jdl.models.generative.ddpm_unet import (
    AttentionBlock,
    check_halvings,
    default_init,
    embed_timesteps,
    zero_init,
)
from jdl.models.registry import image, register_model, timestep
from jdl.ops.resampling import downsample_binomial, smooth_binomial, upsample_binomial

Images = Float[Array, "batch height width channels"]


class BigGANBlock(nn.Module):
    """A residual block that may double or halve the image before its first convolution.

        h = conv₁(resample(swish(norm₁(x)))) + dense(swish(t))                      (1)
        y = (shortcut(resample(x)) + conv₂(dropout(swish(norm₂(h)))))/√2            (2)

    Attributes:
        features: channels of the result.
        resample: "up", "down" or neither.
        smooth: resample by a binomial filter instead of copies and means.
        dropout: rate.
        dtype: of the computation.
    """

    features: int
    resample: str | None
    smooth: bool
    dropout: float
    dtype: DTypeLike | None = None

    @nn.compact
    def __call__(
        self, x: Images, time: Float[Array, "batch embedding"], *, train: bool
    ) -> Float[Array, "batch tall wide features"]:
        """Applies equations (1) and (2)."""
        conv = partial(Conv, self.features, dtype=self.dtype)
        dense = nn.Dense(self.features, kernel_init=default_init, dtype=self.dtype, name="Dense_0")

        h = nn.swish(group_norm(x, self.dtype, "GroupNorm_0"))
        h, x = self._resample(h), self._resample(x)
        h = conv((3, 3), padding=1, kernel_init=default_init, name="Conv_0")(h)
        h += dense(nn.swish(time))[:, None, None, :]
        h = nn.swish(group_norm(h, self.dtype, "GroupNorm_1"))
        h = nn.Dropout(self.dropout, deterministic=not train)(h)
        h = conv((3, 3), padding=1, kernel_init=zero_init, name="Conv_1")(h)
        if x.shape[-1] != self.features or self.resample is not None:
            x = conv((1, 1), kernel_init=default_init, name="Conv_2")(x)
        return (x + h) / math.sqrt(2)

    def _resample(self, x: Array) -> Array:
        match self.resample, self.smooth:
            case "up", True:
                return upsample_binomial(x)
            case "up", False:
                return jnp.repeat(jnp.repeat(x, 2, axis=1), 2, axis=2)
            case "down", True:
                return downsample_binomial(x)
            case "down", False:
                return nn.avg_pool(x, (2, 2), (2, 2))
        return x


def group_norm(x: Images, dtype: DTypeLike | None, name: str) -> Images:
    """Norms in groups of four channels at least, 32 groups at most."""
    groups = max(1, min(x.shape[-1] // 4, 32))
    return nn.GroupNorm(groups, epsilon=1e-6, dtype=dtype, name=name)(x)


class FourierFeatures(nn.Module):
    """Embeds noise levels by sines and cosines of random frequencies, which are not trained.

        e(σ) = [sin(2π w log σ), cos(2π w log σ)],  w ~ N(0, scale²)                (3)

    Attributes:
        size: frequencies.
        scale: their deviation.
    """

    size: int
    scale: float = 16.0

    @nn.compact
    def __call__(self, sigma: Float[Array, " batch"]) -> Float[Array, "batch embedding"]:
        """Applies equation (3)."""
        frequencies = self.param("W", nn.initializers.normal(self.scale), (self.size,))
        frequencies = jax.lax.stop_gradient(frequencies)
        phases = 2 * jnp.pi * jnp.log(sigma)[:, None] * frequencies[None]
        return jnp.concatenate([jnp.sin(phases), jnp.cos(phases)], axis=-1)


class ScoreUNet(nn.Module):
    """U-Net of score SDEs (Song et al., 2021, https://arxiv.org/abs/2011.13456, Appendix H).

    As that of DDPM, with blocks as of BigGAN, sums divided by √2, and attention once a level on the
    way up. Where `smooth`, images are resampled by a binomial filter, and the image itself comes in
    again at each level on the way down: halved, convolved, and added. Where `fourier`, the network
    is told σ and answers f/σ.

    Layers: `down.0.0`, the first block of the first level, and so on. Intermediates: `down.0`,
    `down.1`, ..., `mid`, `up.0`, ..., at the end of each level.

    Attributes:
        channels: channels of the first level.
        channel_multipliers: channels of each level, in units of `channels`.
        num_res_blocks: residual blocks of each level on the way down; one more on the way up.
        attention_levels: levels that attend, from 0 for whole images; the middle always does.
        dropout: rate inside the residual blocks.
        smooth: filter, and bring the image in again: NCSN++; else DDPM++.
        fourier: times are noise levels σ; else 999 t.
        dtype: of the computation; parameters stay float32.
    """

    channels: int = 128
    channel_multipliers: Sequence[int] = (1, 2, 2, 2)
    num_res_blocks: int = 4
    attention_levels: Sequence[int] = (1,)
    dropout: float = 0.1
    smooth: bool = True
    fourier: bool = True
    dtype: DTypeLike | None = None

    @nn.compact
    def __call__(
        self, images: Images, timesteps: Float[Array, " batch"], *, train: bool = False
    ) -> Images:
        """Predicts the score (or whatever the task asks for) of noisy images.

        Args:
            images: noised; height and width divisible by 2^(levels − 1).
            timesteps: σ > 0 where `fourier`, else times from 0 to 999.
            train: apply dropout.

        Returns:
            The prediction, of the images' shape.

        Raises:
            UserError: the size cannot be halved often enough.
        """
        levels = len(self.channel_multipliers)
        check_halvings(images, levels - 1)
        block = partial(BigGANBlock, smooth=self.smooth, dropout=self.dropout, dtype=self.dtype)
        conv = partial(Conv, kernel_size=(3, 3), kernel_init=default_init, dtype=self.dtype)
        time = self._embed(timesteps)

        x = conv(self.channels, padding=1, name="conv_in")(images)
        skips, small = [x], images
        for level, multiplier in enumerate(self.channel_multipliers):
            features = self.channels * multiplier
            for i in range(self.num_res_blocks):
                x = block(features, None, name=f"down.{level}.{i}")(x, time, train=train)
                if level in self.attention_levels:
                    x = self._attend(x, f"down.{level}.{i}.attention")
                skips.append(x)
            self.sow("intermediates", f"down.{level}", x)
            if level < levels - 1:
                x = block(features, "down", name=f"down.{level}.half")(x, time, train=train)
                if self.smooth:
                    halve = conv(features, strides=2, padding=0, name=f"down.{level}.image")
                    small = (halve(smooth_binomial(small, (2, 2))) + x) / math.sqrt(2)
                    x = small
                skips.append(x)

        features = x.shape[-1]
        x = block(features, None, name="mid.0")(x, time, train=train)
        x = self._attend(x, "mid.attention")
        x = block(features, None, name="mid.1")(x, time, train=train)
        self.sow("intermediates", "mid", x)

        for level, multiplier in enumerate(reversed(self.channel_multipliers)):
            features = self.channels * multiplier
            for i in range(self.num_res_blocks + 1):
                x = jnp.concatenate([x, skips.pop()], axis=-1)
                x = block(features, None, name=f"up.{level}.{i}")(x, time, train=train)
            if levels - 1 - level in self.attention_levels:
                x = self._attend(x, f"up.{level}.attention")
            if level < levels - 1:
                x = block(features, "up", name=f"up.{level}.double")(x, time, train=train)
            self.sow("intermediates", f"up.{level}", x)

        x = nn.swish(group_norm(x, self.dtype, "norm_out"))
        x = conv(images.shape[-1], padding=1, kernel_init=zero_init, name="conv_out")(x)
        x = x.astype(jnp.float32)
        return x / timesteps[:, None, None, None] if self.fourier else x

    def _attend(self, x: Array, name: str) -> Array:
        groups = max(1, min(x.shape[-1] // 4, 32))
        attended = AttentionBlock(groups, dtype=self.dtype, name=name)(x)
        return attended / math.sqrt(2)

    def _embed(self, timesteps: Array) -> Float[Array, "batch embedding"]:
        """Embeds the time: frequencies, and two dense layers."""
        dense = partial(nn.Dense, 4 * self.channels, kernel_init=default_init, dtype=self.dtype)
        if self.fourier:
            x = FourierFeatures(self.channels, name="fourier")(timesteps)
        else:
            x = embed_timesteps(timesteps, self.channels)
        return dense(name="time.1")(nn.swish(dense(name="time.0")(x)))


PAPER = "Song et al., 2021, https://arxiv.org/abs/2011.13456"


@register_model(example=image(32, 32, 3) + timestep(), paper=PAPER, params=62_758_915)
def ncsnpp(**overrides) -> ScoreUNet:
    """NCSN++ for CIFAR-10 and the VE SDE: smooth resampling, the image at every level.

    Example:
        >>> model = ncsnpp(channels=8, channel_multipliers=(1, 2), num_res_blocks=1)
        >>> forward = lambda x, t: model.init_with_output(jax.random.key(0), x, t)[0].shape
        >>> jax.eval_shape(lambda: jnp.zeros(forward(jnp.zeros((2, 16, 16, 1)), jnp.ones(2)))).shape
        (2, 16, 16, 1)
    """
    return ScoreUNet(**overrides)


@register_model(example=image(32, 32, 3) + timestep(), paper=PAPER, params=61_804_419)
def ddpmpp(**overrides) -> ScoreUNet:
    """DDPM++ for CIFAR-10 and the VP and sub-VP SDEs: copies and means, sinusoids of the time.

    Example:
        >>> ddpmpp().smooth
        False
    """
    return ScoreUNet(**{"smooth": False, "fourier": False, **overrides})
