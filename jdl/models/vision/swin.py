"""Swin: a Transformer whose attention stays within windows, and whose windows move."""

import math
from collections.abc import Sequence
from functools import partial

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from einops import rearrange
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from jdl.errors import UserError
from jdl.layers.convolution import Conv
from jdl.layers.images import check_channels
from jdl.models.registry import image, register_model

Map = Float[Array, "batch rows columns width"]


init = nn.initializers.normal(0.02)


def relative_position_index(window: int) -> np.ndarray:
    """Numbers the displacements between the pixels of a window.

        index[i, j] = (Δrow + w − 1)(2w − 1) + (Δcolumn + w − 1)                    (1)

    where Δ is the position of pixel i less that of pixel j, in reading order.

    Args:
        window: w, the height and width of the window.

    Returns:
        Integers from 0 to (2w − 1)² − 1, [w², w²].

    Example:
        >>> relative_position_index(2)[0].tolist()
        [4, 3, 1, 0]
    """
    position = np.stack(np.divmod(np.arange(window**2), window))
    rows, columns = position[:, :, None] - position[:, None, :] + window - 1
    return rows * (2 * window - 1) + columns


class WindowAttention(nn.Module):
    """Self-attention within windows (Liu et al., 2021, equation 4).

        [q, k, v] = x W_qkv + b_qkv, each cut into heads of d numbers               (2)
        y = softmax(q kᵀ / √d + B[index] + mask) v                                  (3)

    The bias B depends on the displacement (1) between two pixels alone. Moving the map by half a
    window before it is cut connects windows that were apart; the mask is −100 between pixels that
    the move brought together from opposite sides of the map.

    Intermediate: `weights`, the softmax, [batch, windows, heads, pixels, pixels].

    Attributes:
        num_heads: heads.
        window: height and width of a window; maps are padded with zeros to a multiple.
        shift: pixels by which the map is moved.
        lone_window_stays: an axis with a single window is not moved.
        dtype: of the products; the softmax runs in float32.
    """

    num_heads: int
    window: int
    shift: int
    lone_window_stays: bool = True
    dtype: DTypeLike | None = None

    @nn.compact
    def __call__(self, x: Map) -> Map:
        """Moves, cuts, applies equations (2) and (3), and undoes the cut and the move."""
        _, height, width, features = x.shape
        window = self.window
        x = jnp.pad(x, [(0, 0), (0, -height % window), (0, -width % window), (0, 0)])
        sizes = x.shape[1:3]
        stays = window if self.lone_window_stays else 0
        shifts = [self.shift if size > stays else 0 for size in sizes]
        x = jnp.roll(x, [-shift for shift in shifts], (1, 2))
        x = rearrange(x, "b (r h) (c w) f -> b (r c) (h w) f", h=window, w=window)

        dense = partial(nn.Dense, kernel_init=init, dtype=self.dtype)
        qkv = dense(3 * features, name="qkv")(x)
        query, key, value = rearrange(
            qkv, "b n p (three heads d) -> three b n heads p d", three=3, heads=self.num_heads
        )
        scores = jnp.einsum("bnhqd,bnhkd->bnhqk", query, key).astype(jnp.float32)
        scores /= math.sqrt(features // self.num_heads)
        table = self.param(
            "relative_position_bias_table", init, ((2 * window - 1) ** 2, self.num_heads)
        )
        bias = table[relative_position_index(window)].transpose(2, 0, 1)
        weights = jax.nn.softmax(scores + bias[None, None] + _mask(sizes, window, shifts))
        self.sow("intermediates", "weights", weights)

        x = jnp.einsum("bnhqk,bnhkd->bnhqd", weights.astype(value.dtype), value)
        x = dense(features, name="proj")(rearrange(x, "b n heads p d -> b n p (heads d)"))
        rows = sizes[0] // window
        x = rearrange(x, "b (r c) (h w) f -> b (r h) (c w) f", r=rows, h=window)
        return jnp.roll(x, shifts, (1, 2))[:, :height, :width]


def _mask(sizes: Sequence[int], window: int, shifts: Sequence[int]) -> np.ndarray:
    """Returns −100 between pixels of different regions, [1, windows, 1, pixels, pixels]."""
    rows, columns = (
        np.digitize(np.arange(size), [size - window, size - shift]) if shift else np.zeros(size)
        for size, shift in zip(sizes, shifts, strict=True)
    )
    regions = rearrange(
        rows[:, None] * 3 + columns, "(r h) (c w) -> (r c) (h w)", h=window, w=window
    )
    apart = regions[:, :, None] != regions[:, None, :]
    return np.where(apart, np.float32(-100), np.float32(0))[None, :, None]


class Block(nn.Module):
    """One layer (Liu et al., 2021, equation 3).

        x ← x + attention(norm₁(x));  x ← x + mlp(norm₂(x))                         (4)

    Attributes:
        num_heads: attention heads.
        window: of the attention.
        shift: of the attention.
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
        """Applies equation (4)."""
        norm = partial(nn.LayerNorm, epsilon=1e-5, dtype=self.dtype)
        dense = partial(nn.Dense, kernel_init=init, dtype=self.dtype)
        # Stochastic depth: all that is added to an image, or nothing.
        drop = nn.Dropout(self.drop_rate, broadcast_dims=(1, 2, 3), deterministic=not train)
        attention = WindowAttention(
            self.num_heads, self.window, self.shift, dtype=self.dtype, name="attn"
        )
        width = x.shape[-1]
        x = x + drop(attention(norm(name="norm1")(x)))
        y = dense(4 * width, name="mlp.0")(norm(name="norm2")(x))
        return x + drop(dense(width, name="mlp.3")(nn.gelu(y, approximate=False)))


class PatchMerging(nn.Module):
    """Four neighbours become one pixel of twice the width (Liu et al., 2021, section 3.1).

    Attributes:
        dtype: of the product.
    """

    dtype: DTypeLike | None = None

    @nn.compact
    def __call__(self, x: Map) -> Float[Array, "batch half_rows half_columns double_width"]:
        """Halves the map, whose odd sides are padded with zeros."""
        _, height, width, features = x.shape
        x = jnp.pad(x, [(0, 0), (0, height % 2), (0, width % 2), (0, 0)])
        x = rearrange(x, "b (r h) (c w) f -> b r c (w h f)", h=2, w=2)
        x = nn.LayerNorm(epsilon=1e-5, dtype=self.dtype, name="norm")(x)
        return nn.Dense(
            2 * features, use_bias=False, kernel_init=init, dtype=self.dtype, name="reduction"
        )(x)


class SwinTransformer(nn.Module):
    """Swin Transformer (Liu et al., 2021, https://arxiv.org/abs/2103.14030, Table 7).

    Patches of 4×4 pixels, four stages that each halve the map and double the width, and attention
    within windows of 7×7 pixels of the map, moved by half a window in every other layer.

    Layers carry torchvision's names; timm's are understood. Intermediates: `patches`, `stage1` to
    `stage4`, of each layer `features.1.0.attn.weights`, and `pooled`.

    Attributes:
        stage_sizes: layers in each stage.
        width: numbers per pixel of the first stage's map.
        num_heads: attention heads of each stage.
        window: height and width of a window.
        patch_size: height and width of a patch.
        num_classes: number of logits.
        in_channels: channels of the images.
        stochastic_depth_rate: how often the last layer is left out for an image; the rates grow
            linearly from zero.
        dtype: of the computation; parameters stay float32.
    """

    stage_sizes: Sequence[int]
    width: int
    num_heads: Sequence[int]
    window: int = 7
    patch_size: int = 4
    num_classes: int = 1000
    in_channels: int = 3
    stochastic_depth_rate: float = 0.2
    dtype: DTypeLike | None = None

    @nn.compact
    def __call__(
        self, images: Float[Array, "batch height width channels"], *, train: bool = False
    ) -> Float[Array, "batch num_classes"]:
        """Classifies images.

        Args:
            images: of any size from one patch on.
            train: leave layers out at random.

        Returns:
            Logits.

        Raises:
            UserError: the images have another number of channels, or are smaller than a patch.
        """
        check_channels(images, self.in_channels)
        height, width = images.shape[1:3]
        patch = (self.patch_size, self.patch_size)
        if min(height, width) < self.patch_size:
            raise UserError(
                f"Swin takes images of {patch[0]}x{patch[1]} pixels or more, not {height}x{width}"
            )
        norm = partial(nn.LayerNorm, epsilon=1e-5, dtype=self.dtype)
        x = Conv(self.width, patch, patch, padding="VALID", dtype=self.dtype, name="features.0.0")(
            images
        )
        x = norm(name="features.0.2")(x)
        self.sow("intermediates", "patches", x)
        rates = iter(np.linspace(0, self.stochastic_depth_rate, sum(self.stage_sizes)))
        for stage, (size, num_heads) in enumerate(
            zip(self.stage_sizes, self.num_heads, strict=True)
        ):
            if stage:
                x = PatchMerging(self.dtype, name=f"features.{2 * stage}")(x)
            for i in range(size):
                x = Block(
                    num_heads,
                    self.window,
                    shift=self.window // 2 if i % 2 else 0,
                    drop_rate=float(next(rates)),
                    dtype=self.dtype,
                    name=f"features.{2 * stage + 1}.{i}",
                )(x, train=train)
            self.sow("intermediates", f"stage{stage + 1}", x)
        x = norm(name="norm")(x).mean((1, 2))
        self.sow("intermediates", "pooled", x)
        return nn.Dense(self.num_classes, kernel_init=init, dtype=self.dtype, name="head")(x)


PAPER = "Liu et al., 2021, https://arxiv.org/abs/2103.14030"
IMAGENET = image(224, 224, 3)


def _swin(
    stage_sizes: Sequence[int], width: int, stochastic_depth_rate: float, overrides: dict
) -> SwinTransformer:
    # A head has 32 numbers.
    sizes = {
        "stage_sizes": stage_sizes,
        "width": width,
        "num_heads": tuple(width // 32 * 2**stage for stage in range(4)),
        "stochastic_depth_rate": stochastic_depth_rate,
    }
    return SwinTransformer(**{**sizes, **overrides})


@register_model(example=IMAGENET, paper=PAPER, params=28_288_354, reference="torchvision:swin_t")
def swin_t(**overrides) -> SwinTransformer:
    """Swin-T."""
    return _swin((2, 2, 6, 2), 96, 0.2, overrides)


@register_model(example=IMAGENET, paper=PAPER, params=49_606_258, reference="torchvision:swin_s")
def swin_s(**overrides) -> SwinTransformer:
    """Swin-S."""
    return _swin((2, 2, 18, 2), 96, 0.3, overrides)


@register_model(example=IMAGENET, paper=PAPER, params=87_768_224, reference="torchvision:swin_b")
def swin_b(**overrides) -> SwinTransformer:
    """Swin-B."""
    return _swin((2, 2, 18, 2), 128, 0.5, overrides)


@register_model(
    example=IMAGENET,
    paper=PAPER,
    params=196_532_476,
    reference="timm:swin_large_patch4_window7_224",
)
def swin_l(**overrides) -> SwinTransformer:
    """Swin-L."""
    return _swin((2, 2, 18, 2), 192, 0.2, overrides)
