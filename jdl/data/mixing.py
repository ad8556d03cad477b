"""Mixtures of two images and of their labels, on the device.

Each is a function of (key, images, targets) for a whole batch, or for the piece of it that a
micro-batch or a mapped device holds: every image is mixed with the one as far from the piece's end
as it is from its beginning, and all by the same share.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key

from jdl.ops.images import Images

Targets = Float[Array, "batch classes"]
Mixture = Callable[[Key[Array, ""], Images, Targets], tuple[Images, Targets]]


def mixup(
    key: Key[Array, ""], images: Images, targets: Targets, *, alpha: float = 0.8
) -> tuple[Images, Targets]:
    """Blends images, and their labels alike.

        x ← λ x + (1 − λ) x',  q ← λ q + (1 − λ) q',  λ ~ Beta(α, α)                (1)

    Args:
        key: of λ.
        images: a batch.
        targets: the probability of each class.
        alpha: α.

    Example:
        >>> images, targets = jnp.arange(2.0).reshape(2, 1, 1, 1), jnp.eye(2)
        >>> images, targets = mixup(jax.random.key(0), images, targets)
        >>> bool(images[1, 0, 0, 0] == targets[1, 1])
        True

    Source: Zhang et al., 2018, https://arxiv.org/abs/1710.09412, section 2.
    """
    share = jax.random.beta(key, alpha, alpha)
    return _blend(images, share), _blend(targets, share)


def cutmix(
    key: Key[Array, ""], images: Images, targets: Targets, *, alpha: float = 1.0
) -> tuple[Images, Targets]:
    """Puts a rectangle of another image in each, and mixes the labels by their areas.

        x ← x' within the rectangle,  q ← λ q + (1 − λ) q'                          (1)

    The rectangle has √(1 − λ₀) of the height and of the width, λ₀ ~ Beta(α, α), and a centre that
    is uniform in the image; λ is the share of the image that it leaves.

    Args:
        key: of the rectangle.
        images: a batch.
        targets: the probability of each class.
        alpha: α.

    Example:
        >>> images = jnp.broadcast_to(jnp.arange(2.0).reshape(2, 1, 1, 1), (2, 8, 8, 1))
        >>> images, targets = cutmix(jax.random.key(0), images, jnp.eye(2))
        >>> bool(jnp.allclose(images[1].mean(), targets[1, 1]))
        True

    Source: Yun et al., 2019, https://arxiv.org/abs/1905.04899, section 3.1.
    """
    share_key, place_key = jax.random.split(key)
    side = jnp.sqrt(1 - jax.random.beta(share_key, alpha, alpha))
    height, width = images.shape[1:3]
    row, column = jax.random.uniform(place_key, (2,))

    def within(length: int, centre: Array) -> Array:
        """Says which pixels along an axis the rectangle covers."""
        pixel = jnp.arange(length) + 0.5
        return jnp.abs(pixel - centre * length) < side * length / 2

    inside = within(height, row)[:, None] & within(width, column)[None, :]
    mixed = jnp.where(inside[None, :, :, None], images[::-1], images)
    return mixed, _blend(targets, 1 - inside.mean())


def mixup_or_cutmix(
    key: Key[Array, ""],
    images: Images,
    targets: Targets,
    *,
    mixup_alpha: float = 0.8,
    cutmix_alpha: float = 1.0,
) -> tuple[Images, Targets]:
    """Does one of the two, each half of the time.

    Args:
        key: of the choice and the mixture.
        images: a batch.
        targets: the probability of each class.
        mixup_alpha: α of `mixup`.
        cutmix_alpha: α of `cutmix`.

    Example:
        >>> images, targets = jnp.zeros((2, 4, 4, 1)), jnp.eye(2)
        >>> mixup_or_cutmix(jax.random.key(0), images, targets)[1].sum().item()
        2.0

    Source: Touvron et al., 2021, https://arxiv.org/abs/2012.12877, as timm has it.
    """
    choice_key, key = jax.random.split(key)
    return jax.lax.cond(
        jax.random.bernoulli(choice_key),
        lambda: cutmix(key, images, targets, alpha=cutmix_alpha),
        lambda: mixup(key, images, targets, alpha=mixup_alpha),
    )


def _blend(batch: Array, share: Array) -> Array:
    return (share * batch + (1 - share) * batch[::-1]).astype(batch.dtype)
