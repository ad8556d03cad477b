"""Resampling images by small fixed filters, a tap at a time."""

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float

Images = Float[Array, "batch height width channels"]


def upsample_binomial(images: Images) -> Float[Array, "batch tall wide channels"]:
    """Doubles height and width, and smooths by [1, 3, 3, 1]/4 along both.

        y[2i] = (x[i − 1] + 3 x[i])/4,  y[2i + 1] = (3 x[i] + x[i + 1])/4           (1)

    with zeros around the image: zeros between the pixels, filtered.

    Args:
        images: x.

    Returns:
        y.

    Example:
        >>> upsample_binomial(jnp.ones((1, 3, 3, 1)))[0, 2, :, 0].tolist()
        [0.75, 1.0, 1.0, 1.0, 1.0, 0.75]

    Source: Karras et al., 2020, https://arxiv.org/abs/1912.04958, appendix B; Zhang, 2019,
    https://arxiv.org/abs/1904.11486.
    """
    return _doubled(images)


def downsample_binomial(images: Images) -> Float[Array, "batch low narrow channels"]:
    """Smooths by [1, 3, 3, 1]/8 along height and width, and keeps every other pixel.

        y[i] = (x[2i − 1] + 3 x[2i] + 3 x[2i + 1] + x[2i + 2])/8                    (1)

    with zeros around the image.

    Args:
        images: x, of even height and width.

    Returns:
        y.

    Example:
        >>> downsample_binomial(jnp.ones((1, 6, 6, 1)))[0, 1, :, 0].tolist()
        [0.875, 1.0, 0.875]

    Source: Karras et al., 2020, https://arxiv.org/abs/1912.04958, appendix B; Zhang, 2019,
    https://arxiv.org/abs/1904.11486.
    """
    return _halved(images)


def upsample_bilinear(images: Images, factor: int) -> Float[Array, "batch tall wide channels"]:
    """Enlarges by a transposed convolution with a fixed kernel, each channel by itself.

        y[s·i + u] = t x[i] + (1 − t) x[i − 1],  t = (u + ½)/s,  0 ≤ u < s          (1)

    along height and width, with zeros around the image: the kernel is a triangle of 2s taps.

    Args:
        images: x, n pixels along an axis.
        factor: s.

    Returns:
        y, of s·(n + 1) pixels.

    Example:
        >>> upsample_bilinear(jnp.ones((1, 2, 2, 1)), 2)[0, 2, :, 0].tolist()
        [0.25, 0.75, 1.0, 1.0, 0.75, 0.25]

    Source: Long et al., 2015, https://arxiv.org/abs/1411.4038, section 3.3.
    """
    t = ((jnp.arange(factor) + 0.5) / factor).astype(images.dtype).reshape(1, 1, -1, 1, 1)
    for axis in (1, 2):
        x = jnp.moveaxis(images, axis, 1)
        here, before = _pad(x, 0, 1)[:, :, None], _pad(x, 1, 0)[:, :, None]
        y = t * here + (1 - t) * before
        images = jnp.moveaxis(y.reshape(len(x), -1, *x.shape[2:]), 1, axis)
    return images


def smooth_binomial(
    images: Images, padding: tuple[int, int]
) -> Float[Array, "batch tall wide channels"]:
    """Smooths by [1, 3, 3, 1]/8 along height and width.

    Args:
        images: x.
        padding: zeros before and behind.

    Returns:
        Images of padding − 3 more pixels along both.

    Example:
        >>> smooth_binomial(jnp.ones((1, 4, 4, 1)), (2, 2))[0, 2, :, 0].tolist()
        [0.5, 0.875, 1.0, 0.875, 0.5]
    """
    for axis in (1, 2):
        x = _pad(jnp.moveaxis(images, axis, 1), *padding)
        size = x.shape[1] - 3
        taps = [x[:, i : i + size] for i in range(4)]
        x = (taps[0] + 3 * (taps[1] + taps[2]) + taps[3]) / 8
        images = jnp.moveaxis(x, 1, axis)
    return images


# Along one axis, to double is to transpose to halve, but for a factor of two. Said so, gradients of
# any order are again these few sums, and not what autodiff makes of padding and slices.
@jax.custom_vjp
def _doubled(images: Array) -> Array:
    for axis in (1, 2):
        before, after = _shifted(images, axis, 1), _shifted(images, axis, -1)
        pairs = jnp.stack([before + 3 * images, 3 * images + after], axis + 1) / 4
        shape = [*images.shape[:axis], 2 * images.shape[axis], *images.shape[axis + 1 :]]
        images = pairs.reshape(shape)
    return images


@jax.custom_vjp
def _halved(images: Array) -> Array:
    for axis in (1, 2):
        shape = [*images.shape[:axis], images.shape[axis] // 2, 2, *images.shape[axis + 1 :]]
        even, odd = jnp.moveaxis(images.reshape(shape), axis + 1, 0)
        images = (_shifted(odd, axis, 1) + 3 * (even + odd) + _shifted(even, axis, -1)) / 8
    return images


def _shifted(x: Array, axis: int, by: int) -> Array:
    """Moves by one pixel ahead, or back; zeros move in."""
    size = x.shape[axis]
    ahead = max(by, 0), max(-by, 0)
    padded = jnp.pad(x, [ahead if i == axis else (0, 0) for i in range(x.ndim)])
    return lax.slice_in_dim(padded, ahead[1], ahead[1] + size, axis=axis)


_doubled.defvjp(lambda x: (_doubled(x), None), lambda _, gradient: (4 * _halved(gradient),))
_halved.defvjp(lambda x: (_halved(x), None), lambda _, gradient: (_doubled(gradient) / 4,))


def _pad(x: Array, before: int, behind: int) -> Array:
    return jnp.pad(x, [(0, 0), (before, behind), *[(0, 0)] * (x.ndim - 2)])
