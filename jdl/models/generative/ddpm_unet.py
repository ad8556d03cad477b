"""The U-Net of denoising diffusion: it sees a noisy image and a time, and names the noise."""

import math
from collections.abc import Sequence
from functools import partial

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax.typing import DTypeLike
from jaxtyping import Array, Float, Int, Num

from jdl.errors import UserError
from jdl.layers.convolution import Conv
from jdl.models.registry import image, register_model, timestep

Images = Float[Array, "batch height width channels"]

default_init = nn.initializers.variance_scaling(1.0, "fan_avg", "uniform")
zero_init = nn.initializers.zeros


class ResidualBlock(nn.Module):
    """Two convolutions, each after GroupNorm and swish, with the time added in between.

        h = conv₁(swish(norm₁(x))) + dense(swish(t))                                (1)
        y = shortcut(x) + conv₂(dropout(swish(norm₂(h))))                           (2)

    Attributes:
        features: channels of the result.
        num_groups: groups of GroupNorm.
        dropout: rate.
        dtype: of the computation.
    """

    features: int
    num_groups: int
    dropout: float
    dtype: DTypeLike | None = None

    @nn.compact
    def __call__(
        self, x: Images, time: Float[Array, "batch embedding"], *, train: bool
    ) -> Float[Array, "batch height width features"]:
        """Applies equations (1) and (2)."""
        conv = partial(Conv, self.features, dtype=self.dtype)
        norm = partial(nn.GroupNorm, self.num_groups, epsilon=1e-6, dtype=self.dtype)
        dense = nn.Dense(
            self.features, kernel_init=default_init, dtype=self.dtype, name="time_emb_proj"
        )

        h = nn.swish(norm(name="norm1")(x))
        h = conv((3, 3), padding=1, kernel_init=default_init, name="conv1")(h)
        h += dense(nn.swish(time))[:, None, None, :]
        h = nn.swish(norm(name="norm2")(h))
        h = nn.Dropout(self.dropout, deterministic=not train)(h)
        h = conv((3, 3), padding=1, kernel_init=zero_init, name="conv2")(h)
        if x.shape[-1] != self.features:
            x = conv((1, 1), kernel_init=default_init, name="conv_shortcut")(x)
        return x + h


class AttentionBlock(nn.Module):
    """Self-attention with one head over all pixels.

        y = x + W_o · softmax(q kᵀ / √C) v                                          (3)

    Attributes:
        num_groups: groups of GroupNorm.
        dtype: of the computation; the softmax runs in float32.
    """

    num_groups: int
    dtype: DTypeLike | None = None

    @nn.compact
    def __call__(self, x: Images) -> Images:
        """Applies equation (3)."""
        batch, height, width, channels = x.shape
        dense = partial(nn.Dense, channels, dtype=self.dtype)

        h = nn.GroupNorm(self.num_groups, epsilon=1e-6, dtype=self.dtype, name="group_norm")(x)
        h = h.reshape(batch, height * width, channels)
        query, key, value = (
            dense(kernel_init=default_init, name=f"to_{role}")(h) for role in "qkv"
        )
        scores = jnp.einsum("bqc,bkc->bqk", query, key) / math.sqrt(channels)
        weights = jax.nn.softmax(scores.astype(jnp.float32)).astype(value.dtype)
        h = jnp.einsum("bqk,bkc->bqc", weights, value)
        h = dense(kernel_init=zero_init, name="to_out.0")(h)
        return x + h.reshape(x.shape)


class DiffusionUNet(nn.Module):
    """U-Net of DDPM (Ho et al., 2020, https://arxiv.org/abs/2006.11239, Appendix B).

    A stack of residual blocks that halves the image level by level and doubles it back, where
    every feature map on the way down is concatenated on the way up. The time enters each block.

    Layers carry the names of diffusers' UNet2DModel. Intermediates: `down.0`, `down.1`, ..., `mid`,
    `up.0`, ..., at the end of each level.

    Attributes:
        channels: channels of the first level.
        channel_multipliers: channels of each level, in units of `channels`.
        num_res_blocks: residual blocks of each level on the way down; one more on the way up.
        attention_levels: levels that attend, from 0 for whole images; the middle always does.
        dropout: rate inside the residual blocks.
        num_groups: groups of GroupNorm.
        num_classes: labels to condition on, if any; the label `num_classes` means "no class".
        text_encoder: sentences to condition on, if any: (tokens [batch, words], train) → a vector
            for each, which is added to the time's as a class's is; tokens of 0 alone say nothing.
        dtype: of the computation; parameters stay float32.
    """

    channels: int = 128
    channel_multipliers: Sequence[int] = (1, 2, 2, 2)
    num_res_blocks: int = 2
    attention_levels: Sequence[int] = (1,)
    dropout: float = 0.1
    num_groups: int = 32
    num_classes: int | None = None
    text_encoder: nn.Module | None = None
    dtype: DTypeLike | None = None

    @nn.compact
    def __call__(
        self,
        images: Images,
        timesteps: Num[Array, " batch"],
        conditions: Int[Array, "batch *words"] | None = None,
        *,
        train: bool = False,
    ) -> Images:
        """Predicts the noise (or whatever the task asks for) in noisy images.

        Args:
            images: from -1 to 1, noised; height and width divisible by 2^(levels − 1).
            timesteps: times, in steps: 0 to 999 for the usual 1,000.
            conditions: labels [batch], only where `num_classes` is given, or tokens [batch, words],
                only where a text encoder is; without them, nothing is said of any image.
            train: apply dropout.

        Returns:
            The prediction, of the images' shape.

        Raises:
            UserError: the size cannot be halved often enough, or conditions for a network that
                takes none.
        """
        self._check(images, conditions)
        levels = len(self.channel_multipliers)
        residual = partial(
            ResidualBlock, num_groups=self.num_groups, dropout=self.dropout, dtype=self.dtype
        )
        attention = partial(AttentionBlock, self.num_groups, dtype=self.dtype)
        conv = partial(
            Conv, kernel_size=(3, 3), padding=1, kernel_init=default_init, dtype=self.dtype
        )
        time = self._embed(timesteps, conditions, train)

        x = conv(self.channels, name="conv_in")(images)
        skips = [x]
        for level, multiplier in enumerate(self.channel_multipliers):
            path = f"down_blocks.{level}"
            for i in range(self.num_res_blocks):
                block = residual(self.channels * multiplier, name=f"{path}.resnets.{i}")
                x = block(x, time, train=train)
                if level in self.attention_levels:
                    x = attention(name=f"{path}.attentions.{i}")(x)
                skips.append(x)
            self.sow("intermediates", f"down.{level}", x)
            if level < levels - 1:
                # Padded below and to the right only, as in the authors' TensorFlow code.
                halve = conv(
                    x.shape[-1],
                    strides=2,
                    padding=[(0, 1), (0, 1)],
                    name=f"{path}.downsamplers.0.conv",
                )
                x = halve(x)
                skips.append(x)

        features = x.shape[-1]
        x = residual(features, name="mid_block.resnets.0")(x, time, train=train)
        x = attention(name="mid_block.attentions.0")(x)
        x = residual(features, name="mid_block.resnets.1")(x, time, train=train)
        self.sow("intermediates", "mid", x)

        for level, multiplier in enumerate(reversed(self.channel_multipliers)):
            path = f"up_blocks.{level}"
            for i in range(self.num_res_blocks + 1):
                block = residual(self.channels * multiplier, name=f"{path}.resnets.{i}")
                x = block(jnp.concatenate([x, skips.pop()], axis=-1), time, train=train)
                if levels - 1 - level in self.attention_levels:
                    x = attention(name=f"{path}.attentions.{i}")(x)
            self.sow("intermediates", f"up.{level}", x)
            if level < levels - 1:
                x = x.repeat(2, axis=1).repeat(2, axis=2)
                x = conv(x.shape[-1], name=f"{path}.upsamplers.0.conv")(x)

        x = nn.GroupNorm(self.num_groups, epsilon=1e-6, dtype=self.dtype, name="conv_norm_out")(x)
        x = conv(images.shape[-1], kernel_init=zero_init, name="conv_out")(nn.swish(x))
        return x.astype(jnp.float32)

    def _embed(
        self, timesteps: Array, conditions: Array | None, train: bool
    ) -> Float[Array, "batch embedding"]:
        """Embeds time and condition: sinusoids, two dense layers, and a vector of the condition."""
        size = 4 * self.channels
        dense = partial(nn.Dense, size, kernel_init=default_init, dtype=self.dtype)
        x = embed_timesteps(timesteps, self.channels)
        x = nn.swish(dense(name="time_embedding.linear_1")(x))
        x = dense(name="time_embedding.linear_2")(x)
        if self.num_classes is not None:
            if conditions is None:
                conditions = jnp.full(timesteps.shape, self.num_classes)
            x += nn.Embed(self.num_classes + 1, size, dtype=self.dtype, name="class_embedding")(
                conditions
            )
        if self.text_encoder is not None:
            if conditions is None:
                conditions = jnp.zeros((len(timesteps), 1), jnp.int32)
            x += dense(name="text_projection")(self.text_encoder(conditions, train=train))
        return x

    def _check(self, images: Array, conditions: Array | None) -> None:
        check_halvings(images, len(self.channel_multipliers) - 1)
        if conditions is not None and self.num_classes is None and self.text_encoder is None:
            raise UserError(
                "conditions were given to a U-Net that takes none; set num_classes or text_encoder"
            )


def check_halvings(images: Images, times: int) -> None:
    """Refuses images that cannot be halved so many times.

    Args:
        images: NHWC.
        times: halvings.

    Raises:
        UserError: with the nearest sizes.

    Example:
        >>> check_halvings(jnp.zeros((1, 28, 30, 3)), 3)
        Traceback (most recent call last):
        ...
        jdl.errors.UserError: this U-Net takes images whose height and width are multiples of 8, \
not 28x30; the nearest are 32x32
    """
    _, height, width, _ = images.shape
    unit = 2**times
    if height % unit or width % unit:
        fits = [max(unit, unit * round(size / unit)) for size in (height, width)]
        raise UserError(
            f"this U-Net takes images whose height and width are multiples of {unit}, not "
            f"{height}x{width}; the nearest are {fits[0]}x{fits[1]}"
        )


def embed_timesteps(timesteps: Num[Array, " batch"], size: int) -> Float[Array, "batch size"]:
    """Embeds times as sines and cosines of geometrically spaced frequencies.

        ωᵢ = 10000^(−i / (n − 1)),  i = 0, ..., n − 1,  n = size / 2                (4)
        e(t) = [sin(ω t), cos(ω t)]                                                 (5)

    Args:
        timesteps: t, in steps.
        size: numbers in the embedding; even.

    Returns:
        e(t), float32.

    Example:
        >>> embed_timesteps(jnp.array([0]), 4).tolist()
        [[0.0, 0.0, 1.0, 1.0]]

    Source: Ho et al., 2020; after Vaswani et al., 2017, Section 3.5.
    """
    half = size // 2
    frequencies = jnp.exp(-math.log(10_000) / (half - 1) * jnp.arange(half, dtype=jnp.float32))
    phases = timesteps.astype(jnp.float32)[:, None] * frequencies[None, :]
    return jnp.concatenate([jnp.sin(phases), jnp.cos(phases)], axis=-1)


@register_model(
    example=image(32, 32, 3) + timestep(),
    paper="Ho et al., 2020, https://arxiv.org/abs/2006.11239",
    reference="diffusers:google/ddpm-cifar10-32",
    params=35_746_307,
)
def ddpm_cifar10(**overrides) -> DiffusionUNet:
    """The U-Net of DDPM for CIFAR-10: 128 channels, attention at 16×16, dropout 0.1.

    Example:
        >>> model = ddpm_cifar10(channels=8, channel_multipliers=(1, 2), num_groups=4)
        >>> images = jnp.zeros((2, 16, 16, 1))
        >>> forward = lambda: model.init_with_output(jax.random.key(0), images, jnp.zeros(2))
        >>> jax.eval_shape(forward)[0].shape
        (2, 16, 16, 1)
    """
    return DiffusionUNet(**overrides)


@register_model(
    example=image(256, 256, 3) + timestep(),
    paper="Ho et al., 2020, https://arxiv.org/abs/2006.11239",
    reference="diffusers:google/ddpm-celebahq-256",
    params=113_673_219,
)
def ddpm_256(**overrides) -> DiffusionUNet:
    """The U-Net of DDPM for CelebA-HQ and LSUN: six levels, 256×256 down to 8×8, no dropout.

    Example:
        >>> ddpm_256().channel_multipliers
        (1, 1, 2, 2, 4, 4)
    """
    sizes = {"channel_multipliers": (1, 1, 2, 2, 4, 4), "attention_levels": (4,), "dropout": 0.0}
    return DiffusionUNet(**{**sizes, **overrides})
