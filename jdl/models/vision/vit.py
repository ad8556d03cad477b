"""Vision Transformer: an image is a sentence of patches."""

import math
from functools import partial
from typing import Literal

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from jdl.errors import UserError
from jdl.layers.convolution import Conv
from jdl.layers.dense import Dense
from jdl.layers.images import check_channels
from jdl.models.registry import image, register_model

Tokens = Float[Array, "batch tokens width"]

xavier = nn.initializers.xavier_uniform()
tiny = nn.initializers.normal(1e-6)
# Query, key and value are three square matrices side by side: Xavier's bound is that of each.
xavier_square = nn.initializers.variance_scaling(1.0, "fan_in", "uniform")


class SelfAttention(nn.Module):
    """Self-attention among all tokens (Vaswani et al., 2017, section 3.2).

        [q, k, v] = x W_qkv + b_qkv, each cut into heads of d numbers               (1)
        y = softmax(q kᵀ / √d) v                                                    (2)

    Intermediate: `weights`, the softmax, [batch, heads, tokens, tokens].

    Attributes:
        num_heads: heads.
        dropout_rate: on the softmax.
        dtype: of the products; the softmax runs in float32.
    """

    num_heads: int
    dropout_rate: float
    dtype: DTypeLike | None = None

    @nn.compact
    def __call__(self, x: Tokens, *, train: bool) -> Tokens:
        """Applies equations (1) and (2), and a dense layer over the heads."""
        batch, tokens, width = x.shape
        qkv = Dense(3 * width, kernel_init=xavier_square, dtype=self.dtype, name="in_proj")(x)
        query, key, value = jnp.unstack(
            qkv.reshape(batch, tokens, 3, self.num_heads, width // self.num_heads), axis=2
        )
        scores = jnp.einsum("bqhd,bkhd->bhqk", query, key).astype(jnp.float32)
        weights = jax.nn.softmax(scores / math.sqrt(width // self.num_heads))
        self.sow("intermediates", "weights", weights)
        weights = nn.Dropout(self.dropout_rate, deterministic=not train)(weights)
        x = jnp.einsum("bhqk,bkhd->bqhd", weights.astype(value.dtype), value)
        x = x.reshape(batch, tokens, width)
        return Dense(width, kernel_init=xavier, dtype=self.dtype, name="out_proj")(x)


class EncoderBlock(nn.Module):
    """One layer (Dosovitskiy et al., 2021, equations 2 and 3).

        x ← x + attention(norm₁(x));  x ← x + mlp(norm₂(x))                         (3)

    Intermediate: `output`.

    Attributes:
        num_heads: attention heads.
        mlp_width: numbers per token between the two dense layers.
        dropout_rate: on the dense layers and on what is added.
        attention_dropout_rate: on the attention's softmax.
        dtype: of the products.
    """

    num_heads: int
    mlp_width: int
    dropout_rate: float
    attention_dropout_rate: float
    dtype: DTypeLike | None = None

    @nn.compact
    def __call__(self, x: Tokens, *, train: bool) -> Tokens:
        """Applies equation (3)."""
        norm = partial(nn.LayerNorm, epsilon=1e-6, dtype=self.dtype)
        dense = partial(Dense, kernel_init=xavier, bias_init=tiny, dtype=self.dtype)
        drop = nn.Dropout(self.dropout_rate, deterministic=not train)
        attention = SelfAttention(
            self.num_heads, self.attention_dropout_rate, self.dtype, name="self_attention"
        )
        x = x + drop(attention(norm(name="ln_1")(x), train=train))
        y = dense(self.mlp_width, name="mlp.0")(norm(name="ln_2")(x))
        y = drop(nn.gelu(y, approximate=False))
        x = x + drop(dense(x.shape[-1], name="mlp.3")(y))
        self.sow("intermediates", "output", x)
        return x


class Encoder(nn.Module):
    """Positions, layers, and a norm.

    Attributes:
        num_layers: layers.
        num_heads: attention heads of each.
        mlp_width: numbers per token between a layer's two dense layers.
        dropout_rate: on tokens, dense layers and what is added.
        attention_dropout_rate: on the attention's softmax.
        dtype: of the products.
    """

    num_layers: int
    num_heads: int
    mlp_width: int
    dropout_rate: float
    attention_dropout_rate: float
    dtype: DTypeLike | None = None

    @nn.compact
    def __call__(self, x: Tokens, *, train: bool) -> Tokens:
        """Encodes tokens."""
        positions = self.param("pos_embedding", nn.initializers.normal(0.02), (1, *x.shape[1:]))
        x = x + positions.astype(x.dtype)
        x = nn.Dropout(self.dropout_rate, deterministic=not train)(x)
        for i in range(self.num_layers):
            block = EncoderBlock(
                self.num_heads,
                self.mlp_width,
                self.dropout_rate,
                self.attention_dropout_rate,
                self.dtype,
                name=f"layers.encoder_layer_{i}",
            )
            x = block(x, train=train)
        return nn.LayerNorm(epsilon=1e-6, dtype=self.dtype, name="ln")(x)


class VisionTransformer(nn.Module):
    """Vision Transformer (Dosovitskiy et al., 2021, https://arxiv.org/abs/2010.11929).

    Patches are projected linearly and are, with one learned token in front, the words of a
    Transformer encoder. One dense layer turns the encoded token, or the mean of the encoded
    patches, into logits. Both forms have the same parameters.

    Weights are read at another `image_size` too: the position embeddings are interpolated.

    Layers carry torchvision's names; timm's and Hugging Face's are understood. Intermediates:
    `patches` (the projected ones), of each layer `encoder.layers.encoder_layer_0.output` and
    `encoder.layers.encoder_layer_0.self_attention.weights`, and `pooled`.

    Attributes:
        patch_size: height and width of a patch, in pixels.
        width: numbers per token.
        num_layers: layers.
        num_heads: attention heads; they divide the width.
        mlp_width: numbers per token between a layer's two dense layers.
        image_size: height and width of the images; patches divide it.
        num_classes: number of logits.
        in_channels: channels of the images.
        pool: what the logits are computed from: the "token", or the "mean" of the patches.
        dropout_rate: on tokens, dense layers and what is added.
        attention_dropout_rate: on the attention's softmax.
        dtype: of the computation; parameters stay float32.
    """

    patch_size: int
    width: int
    num_layers: int
    num_heads: int
    mlp_width: int
    image_size: int = 224
    num_classes: int = 1000
    in_channels: int = 3
    pool: Literal["token", "mean"] = "token"
    dropout_rate: float = 0.0
    attention_dropout_rate: float = 0.0
    dtype: DTypeLike | None = None

    @nn.compact
    def __call__(
        self, images: Float[Array, "batch height width channels"], *, train: bool = False
    ) -> Float[Array, "batch num_classes"]:
        """Classifies images.

        Args:
            images: of `image_size` by `image_size` pixels.
            train: apply dropout.

        Returns:
            Logits.

        Raises:
            UserError: the images have another size or number of channels, or the sizes of the
                network do not divide.
        """
        self._check(images)
        patch = (self.patch_size, self.patch_size)
        x = Conv(self.width, patch, patch, padding="VALID", dtype=self.dtype, name="conv_proj")(
            images
        )
        x = x.reshape(x.shape[0], -1, self.width)
        self.sow("intermediates", "patches", x)
        token = self.param("class_token", nn.initializers.zeros, (1, 1, self.width))
        token = jnp.broadcast_to(token.astype(x.dtype), (x.shape[0], 1, self.width))
        x = Encoder(
            self.num_layers,
            self.num_heads,
            self.mlp_width,
            self.dropout_rate,
            self.attention_dropout_rate,
            self.dtype,
            name="encoder",
        )(jnp.concatenate([token, x], axis=1), train=train)
        x = x[:, 0] if self.pool == "token" else x[:, 1:].mean(1)
        self.sow("intermediates", "pooled", x)
        # Zeros, as where a network is tuned to new classes (section 3.2).
        return Dense(
            self.num_classes,
            kernel_init=nn.initializers.zeros,
            dtype=self.dtype,
            name="heads.head",
        )(x)

    def _check(self, images: Array) -> None:
        check_channels(images, self.in_channels)
        height, width = images.shape[1:3]
        size = self.image_size
        if (height, width) != (size, size):
            raise UserError(
                f"this Vision Transformer takes images of {size}x{size} pixels, "
                f"not {height}x{width}; set image_size"
            )
        if size % self.patch_size:
            raise UserError(
                f"images of {size} pixels do not divide into patches of {self.patch_size}"
            )
        if self.width % self.num_heads:
            raise UserError(f"a width of {self.width} does not divide into {self.num_heads} heads")


PAPER = "Dosovitskiy et al., 2021, https://arxiv.org/abs/2010.11929"
TOUVRON = "Touvron et al., 2021, https://arxiv.org/abs/2012.12877"
IMAGENET = image(224, 224, 3)

SIZES = {  # Table 1, and Table 1 of Touvron et al.
    "tiny": {"width": 192, "num_layers": 12, "num_heads": 3, "mlp_width": 768},
    "small": {"width": 384, "num_layers": 12, "num_heads": 6, "mlp_width": 1536},
    "base": {"width": 768, "num_layers": 12, "num_heads": 12, "mlp_width": 3072},
    "large": {"width": 1024, "num_layers": 24, "num_heads": 16, "mlp_width": 4096},
    "huge": {"width": 1280, "num_layers": 32, "num_heads": 16, "mlp_width": 5120},
}


@register_model(example=IMAGENET, paper=PAPER, params=86_567_656, reference="torchvision:vit_b_16")
def vit_b_16(**overrides) -> VisionTransformer:
    """ViT-B/16."""
    return VisionTransformer(**{"patch_size": 16, **SIZES["base"], **overrides})


@register_model(example=IMAGENET, paper=PAPER, params=88_224_232, reference="torchvision:vit_b_32")
def vit_b_32(**overrides) -> VisionTransformer:
    """ViT-B/32."""
    return VisionTransformer(**{"patch_size": 32, **SIZES["base"], **overrides})


@register_model(example=IMAGENET, paper=PAPER, params=304_326_632, reference="torchvision:vit_l_16")
def vit_l_16(**overrides) -> VisionTransformer:
    """ViT-L/16."""
    return VisionTransformer(**{"patch_size": 16, **SIZES["large"], **overrides})


@register_model(example=IMAGENET, paper=PAPER, params=306_535_400, reference="torchvision:vit_l_32")
def vit_l_32(**overrides) -> VisionTransformer:
    """ViT-L/32."""
    return VisionTransformer(**{"patch_size": 32, **SIZES["large"], **overrides})


@register_model(example=IMAGENET, paper=PAPER, params=632_045_800, reference="torchvision:vit_h_14")
def vit_h_14(**overrides) -> VisionTransformer:
    """ViT-H/14."""
    return VisionTransformer(**{"patch_size": 14, **SIZES["huge"], **overrides})


@register_model(
    example=IMAGENET, paper=TOUVRON, params=5_717_416, reference="timm:vit_tiny_patch16_224"
)
def vit_ti_16(**overrides) -> VisionTransformer:
    """ViT-Ti/16: a quarter of the base's width."""
    return VisionTransformer(**{"patch_size": 16, **SIZES["tiny"], **overrides})


@register_model(
    example=IMAGENET, paper=TOUVRON, params=22_050_664, reference="timm:vit_small_patch16_224"
)
def vit_s_16(**overrides) -> VisionTransformer:
    """ViT-S/16: half the base's width."""
    return VisionTransformer(**{"patch_size": 16, **SIZES["small"], **overrides})
