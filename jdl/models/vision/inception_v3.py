"""Inception-v3: large convolutions taken apart into small ones."""

from collections.abc import Callable
from functools import partial
from typing import Any

import flax.linen as nn
import jax.numpy as jnp
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from jdl.layers.images import check_channels, check_smallest
from jdl.layers.inception import ConvNorm, from_imagenet_to_unit_range
from jdl.models.registry import image, register_model
from jdl.ops.pooling import avg_pool, global_pool, max_pool

Images = Float[Array, "batch height width channels"]
Logits = Float[Array, "batch num_classes"]


class InceptionA(nn.Module):
    """1×1; 5×5; two 3×3 in place of a 5×5; a mean (Szegedy et al., 2016, Figure 5).

    Attributes:
        pool_features: channels behind the mean.
        dtype: of the computation.
    """

    pool_features: int
    dtype: DTypeLike | None = None

    @nn.compact
    def __call__(self, x: Images, *, train: bool) -> Array:
        """Applies the block."""
        conv = partial(ConvNorm, train=train, dtype=self.dtype)
        single = conv(64, 1, name="branch1x1")(x)
        wide = conv(48, 1, name="branch5x5_1")(x)
        wide = conv(64, 5, name="branch5x5_2")(wide)
        double = conv(64, 1, name="branch3x3dbl_1")(x)
        double = conv(96, 3, name="branch3x3dbl_2")(double)
        double = conv(96, 3, name="branch3x3dbl_3")(double)
        pooled = avg_pool(x, 3, stride=1, padding=1)
        pooled = conv(self.pool_features, 1, name="branch_pool")(pooled)
        return jnp.concatenate([single, wide, double, pooled], -1)


class InceptionB(nn.Module):
    """Halves the map of 35 pixels (Figure 10).

    Attributes:
        dtype: of the computation.
    """

    dtype: DTypeLike | None = None

    @nn.compact
    def __call__(self, x: Images, *, train: bool) -> Array:
        """Applies the block."""
        conv = partial(ConvNorm, train=train, dtype=self.dtype)
        single = conv(384, 3, stride=2, padded=False, name="branch3x3")(x)
        double = conv(64, 1, name="branch3x3dbl_1")(x)
        double = conv(96, 3, name="branch3x3dbl_2")(double)
        double = conv(96, 3, stride=2, padded=False, name="branch3x3dbl_3")(double)
        return jnp.concatenate([single, double, max_pool(x, 3, stride=2)], -1)


class InceptionC(nn.Module):
    """1×7 and 7×1 in place of 7×7 (Figure 6).

    Attributes:
        inner: channels between the convolutions.
        dtype: of the computation.
    """

    inner: int
    dtype: DTypeLike | None = None

    @nn.compact
    def __call__(self, x: Images, *, train: bool) -> Array:
        """Applies the block."""
        conv = partial(ConvNorm, train=train, dtype=self.dtype)
        single = conv(192, 1, name="branch1x1")(x)
        seven = conv(self.inner, 1, name="branch7x7_1")(x)
        seven = conv(self.inner, (1, 7), name="branch7x7_2")(seven)
        seven = conv(192, (7, 1), name="branch7x7_3")(seven)
        double = conv(self.inner, 1, name="branch7x7dbl_1")(x)
        double = conv(self.inner, (7, 1), name="branch7x7dbl_2")(double)
        double = conv(self.inner, (1, 7), name="branch7x7dbl_3")(double)
        double = conv(self.inner, (7, 1), name="branch7x7dbl_4")(double)
        double = conv(192, (1, 7), name="branch7x7dbl_5")(double)
        pooled = conv(192, 1, name="branch_pool")(avg_pool(x, 3, stride=1, padding=1))
        return jnp.concatenate([single, seven, double, pooled], -1)


class InceptionD(nn.Module):
    """Halves the map of 17 pixels.

    Attributes:
        dtype: of the computation.
    """

    dtype: DTypeLike | None = None

    @nn.compact
    def __call__(self, x: Images, *, train: bool) -> Array:
        """Applies the block."""
        conv = partial(ConvNorm, train=train, dtype=self.dtype)
        three = conv(192, 1, name="branch3x3_1")(x)
        three = conv(320, 3, stride=2, padded=False, name="branch3x3_2")(three)
        seven = conv(192, 1, name="branch7x7x3_1")(x)
        seven = conv(192, (1, 7), name="branch7x7x3_2")(seven)
        seven = conv(192, (7, 1), name="branch7x7x3_3")(seven)
        seven = conv(192, 3, stride=2, padded=False, name="branch7x7x3_4")(seven)
        return jnp.concatenate([three, seven, max_pool(x, 3, stride=2)], -1)


class InceptionE(nn.Module):
    """1×3 beside 3×1, for many features of few pixels (Figure 7).

    Attributes:
        dtype: of the computation.
    """

    dtype: DTypeLike | None = None

    @nn.compact
    def __call__(self, x: Images, *, train: bool) -> Array:
        """Applies the block."""
        conv = partial(ConvNorm, train=train, dtype=self.dtype)
        single = conv(320, 1, name="branch1x1")(x)
        three = conv(384, 1, name="branch3x3_1")(x)
        double = conv(448, 1, name="branch3x3dbl_1")(x)
        double = conv(384, 3, name="branch3x3dbl_2")(double)
        parts = [
            single,
            conv(384, (1, 3), name="branch3x3_2a")(three),
            conv(384, (3, 1), name="branch3x3_2b")(three),
            conv(384, (1, 3), name="branch3x3dbl_3a")(double),
            conv(384, (3, 1), name="branch3x3dbl_3b")(double),
            conv(192, 1, name="branch_pool")(avg_pool(x, 3, stride=1, padding=1)),
        ]
        return jnp.concatenate(parts, -1)


class AuxiliaryHead(nn.Module):
    """A classifier of the 17×17 map (Figure 8), a regulariser rather than a help for the gradient.

    Attributes:
        num_classes: number of logits.
        dtype: of the computation.
    """

    num_classes: int
    dtype: DTypeLike | None = None

    @nn.compact
    def __call__(self, x: Images, *, train: bool) -> Logits:
        """Classifies a map."""
        conv = partial(ConvNorm, train=train, dtype=self.dtype)
        x = conv(128, 1, name="conv0")(avg_pool(x, 5, stride=3))
        x = conv(768, 5, padded=False, name="conv1")(x)
        return nn.Dense(self.num_classes, dtype=self.dtype, name="fc")(x.mean((1, 2)))


class InceptionV3(nn.Module):
    """Inception-v3 (Szegedy et al., 2016, https://arxiv.org/abs/1512.00567, Table 1).

    Batch normalisation everywhere, the auxiliary head's included. The means in the blocks count the
    zeros around the map.

    Intermediates: `stem`, `block5b` to `block7c`, `pooled`.

    Attributes:
        num_classes: number of logits.
        in_channels: channels of the images.
        aux_heads: with the auxiliary head, behind block 6e.
        transform_input: shift images normalised for ImageNet to −1 to 1, as torchvision's
            published weights want it.
        dropout_rate: before the last layer.
        global_pool: "avg", "max" or "avgmax", of all pixels at the end.
        dtype: of the computation; parameters stay float32.
    """

    num_classes: int = 1000
    in_channels: int = 3
    aux_heads: bool = False
    transform_input: bool = False
    dropout_rate: float = 0.5
    global_pool: str = "avg"
    dtype: DTypeLike | None = None

    @nn.compact
    def __call__(self, images: Images, *, train: bool = False) -> Logits | tuple[Logits, ...]:
        """Classifies images.

        Args:
            images: of 75 pixels or more, of 299 when training with the auxiliary head; for its
                weights, from −1 to 1, or with `transform_input` normalised by ImageNet's mean and
                deviation.
            train: drop activations, normalise with the batch's statistics and update the running
                ones.

        Returns:
            Logits; when training with the auxiliary head, (logits, the head's).

        Raises:
            UserError: the images have another number of channels, or are smaller; no such pooling.
        """
        with_aux = self.aux_heads and (train or self.is_initializing())
        check_channels(images, self.in_channels)
        check_smallest(
            images,
            "Inception-v3 with its auxiliary head" if with_aux else "Inception-v3",
            299 if with_aux else 75,
        )
        x = from_imagenet_to_unit_range(images) if self.transform_input else images
        conv = partial(ConvNorm, train=train, dtype=self.dtype)
        x = conv(32, 3, stride=2, padded=False, name="Conv2d_1a_3x3")(x)
        x = conv(32, 3, padded=False, name="Conv2d_2a_3x3")(x)
        x = conv(64, 3, name="Conv2d_2b_3x3")(x)
        x = max_pool(x, 3, stride=2)
        x = conv(80, 1, name="Conv2d_3b_1x1")(x)
        x = conv(192, 3, padded=False, name="Conv2d_4a_3x3")(x)
        x = max_pool(x, 3, stride=2)
        self.sow("intermediates", "stem", x)
        blocks: dict[str, Callable[..., Any]] = {
            "5b": partial(InceptionA, 32),
            "5c": partial(InceptionA, 64),
            "5d": partial(InceptionA, 64),
            "6a": InceptionB,
            "6b": partial(InceptionC, 128),
            "6c": partial(InceptionC, 160),
            "6d": partial(InceptionC, 160),
            "6e": partial(InceptionC, 192),
            "7a": InceptionD,
            "7b": InceptionE,
            "7c": InceptionE,
        }
        aux = []
        for name, block in blocks.items():
            x = block(dtype=self.dtype, name=f"Mixed_{name}")(x, train=train)
            self.sow("intermediates", f"block{name}", x)
            if name == "6e" and with_aux:
                head = AuxiliaryHead(self.num_classes, self.dtype, name="AuxLogits")
                aux.append(head(x, train=train))
        x = global_pool(x, self.global_pool)
        self.sow("intermediates", "pooled", x)
        x = nn.Dropout(self.dropout_rate, deterministic=not train)(x)
        logits = nn.Dense(self.num_classes, dtype=self.dtype, name="fc")(x)
        return (logits, *aux) if self.aux_heads and train else logits


PAPER = "Szegedy et al., 2016, https://arxiv.org/abs/1512.00567"


@register_model(
    example=image(299, 299, 3), paper=PAPER, params=23_834_568, reference="torchvision:inception_v3"
)
def inception_v3(**overrides) -> InceptionV3:
    """Inception-v3; 27,161,264 parameters with its auxiliary head."""
    return InceptionV3(**overrides)
