"""Mixtures of two images and of their labels, on the device.

A mixture is a function of (key, image, other), one pair; it returns the mixed image, and how much
of it is the first. `mix_batch` mixes a batch, each of its images by a draw of its own.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, Key

from jdl.data.augment import Image
from jdl.ops.images import Images
from jdl.ops.random import per_example_keys

Targets = Float[Array, "batch classes"]
Share = Float[Array, ""]
Mixture = Callable[[Key[Array, ""], Image, Image], tuple[Image, Share]]


def mix_batch(
    mixture: Mixture,
    key: Key[Array, ""],
    images: Images,
    targets: Targets,
    rows: Int[Array, " batch"],
) -> tuple[Images, Targets]:
    """Mixes a batch, or the piece of it that a micro-batch or a mapped device holds.

        q ← λ q + (1 − λ) q'                                                        (1)

    with λ the share that the mixture left of an image, and q' the label of the other: the one as
    far from the piece's end as it is from its beginning.

    Args:
        mixture: such as `mixup`.
        key: of the step; each draw is keyed by its row.
        images: a batch.
        targets: q, the probability of each class.
        rows: row numbers in the global batch, `batch["row"]`.

    Returns:
        The mixed images, and (1).

    Example:
        >>> images, targets = jnp.arange(2.0).reshape(2, 1, 1, 1), jnp.eye(2)
        >>> images, targets = mix_batch(mixup, jax.random.key(0), images, targets, jnp.arange(2))
        >>> bool(images[1, 0, 0, 0] == targets[1, 1])
        True
    """
    images, shares = jax.vmap(mixture)(per_example_keys(key, rows), images, images[::-1])
    shares = shares[:, None]
    return images, shares * targets + (1 - shares) * targets[::-1]


def mixup(
    key: Key[Array, ""], image: Image, other: Image, *, alpha: float = 0.8
) -> tuple[Image, Share]:
    """Blends two images.

        x ← λ x + (1 − λ) x',  λ ~ Beta(α, α)                                       (1)

    Args:
        key: of λ.
        image: x.
        other: x'.
        alpha: α.

    Returns:
        (1), and λ.

    Example:
        >>> image, share = mixup(jax.random.key(0), jnp.ones((1, 1, 1)), jnp.zeros((1, 1, 1)))
        >>> bool(image[0, 0, 0] == share)
        True

    Source: Zhang et al., 2018, https://arxiv.org/abs/1710.09412, section 2.
    """
    share = jax.random.beta(key, alpha, alpha)
    return (share * image + (1 - share) * other).astype(image.dtype), share


def cutmix(
    key: Key[Array, ""], image: Image, other: Image, *, alpha: float = 1.0
) -> tuple[Image, Share]:
    """Puts a rectangle of one image in another.

        x ← x' within the rectangle                                                 (1)

    The rectangle has √(1 − λ₀) of the height and of the width, λ₀ ~ Beta(α, α), and a centre that
    is uniform in the image.

    Args:
        key: of the rectangle.
        image: x.
        other: x'.
        alpha: α.

    Returns:
        (1), and the share of the image that the rectangle leaves.

    Example:
        >>> image, share = cutmix(jax.random.key(0), jnp.ones((8, 8, 1)), jnp.zeros((8, 8, 1)))
        >>> bool(image.mean() == share)
        True

    Source: Yun et al., 2019, https://arxiv.org/abs/1905.04899, section 3.1.
    """
    share_key, place_key = jax.random.split(key)
    side = jnp.sqrt(1 - jax.random.beta(share_key, alpha, alpha))
    height, width = image.shape[:2]
    row, column = jax.random.uniform(place_key, (2,))

    def within(length: int, centre: Array) -> Array:
        """Says which pixels along an axis the rectangle covers."""
        pixel = jnp.arange(length) + 0.5
        return jnp.abs(pixel - centre * length) < side * length / 2

    inside = within(height, row)[:, None] & within(width, column)[None, :]
    return jnp.where(inside[..., None], other, image), 1 - inside.mean()


def mixup_or_cutmix(
    key: Key[Array, ""],
    image: Image,
    other: Image,
    *,
    mixup_alpha: float = 0.8,
    cutmix_alpha: float = 1.0,
) -> tuple[Image, Share]:
    """Does one of the two, each half of the time.

    Args:
        key: of the choice and the mixture.
        image: one image.
        other: the other.
        mixup_alpha: α of `mixup`.
        cutmix_alpha: α of `cutmix`.

    Returns:
        As `mixup` or `cutmix`.

    Example:
        >>> image = jnp.ones((4, 4, 1))
        >>> mixed, share = mixup_or_cutmix(jax.random.key(0), image, 0 * image)
        >>> bool(jnp.isclose(mixed.mean(), share))
        True

    Source: Touvron et al., 2021, https://arxiv.org/abs/2012.12877; timm has one draw for a batch.
    """
    choice_key, key = jax.random.split(key)
    return jax.lax.cond(
        jax.random.bernoulli(choice_key),
        lambda: cutmix(key, image, other, alpha=cutmix_alpha),
        lambda: mixup(key, image, other, alpha=mixup_alpha),
    )
