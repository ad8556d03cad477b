"""Convolution and its transpose."""

from collections.abc import Sequence
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float

from jdl.ops.depthwise import depthwise_conv
from jdl.ops.winograd import conv3x3, wins

LAYOUT = ("NHWC", "HWIO", "NHWC")
MAX_GROUPS = 32  # More of them take too long to compile one by one.

Images = Float[Array, "batch height width features"]


def conv_general_dilated(
    images: Array,
    kernel: Array,
    window_strides: Sequence[int],
    padding: str | Sequence[tuple[int, int]],
    **options: Any,
) -> Array:
    """Convolves, by the fastest way that is known for the shape; else as `lax` does.

    A kernel of one pixel is a product of matrices. Said so, its gradient takes a half to a
    sixth of the time on a CPU. A kernel of 3×3 pixels goes by `jdl.ops.winograd` where that was
    measured to win, and one for each channel by `jdl.ops.depthwise`: on a CPU only. There, groups
    of channels are convolved one by one, because the gradient of XLA's own grouped convolution
    takes six to a hundred times as long.

    Args:
        images: NHWC.
        kernel: HWIO.
        window_strides: as `jax.lax.conv_general_dilated` takes them.
        padding: likewise.
        **options: likewise.

    Returns:
        What `jax.lax.conv_general_dilated` returns.

    Example:
        >>> import jax.numpy as jnp
        >>> x, w = jnp.ones((1, 2, 2, 3)), jnp.ones((1, 1, 3, 5))
        >>> conv_general_dilated(x, w, (1, 1), "SAME").shape
        (1, 2, 2, 5)
    """
    options.setdefault("dimension_numbers", LAYOUT)
    if _is_pointwise(kernel, window_strides, padding, options):
        pixels = images.reshape(-1, images.shape[-1])
        y = jnp.matmul(pixels, kernel[0, 0], precision=options.get("precision"))
        return y.reshape(*images.shape[:-1], -1)
    if _is_winograd(images, kernel, window_strides, padding, options):
        return conv3x3(images, kernel)
    if _is_depthwise(images, kernel, window_strides, padding, options):
        stride = window_strides[0]
        if isinstance(padding, str):
            padding = lax.padtype_to_pads(
                images.shape[1:3], kernel.shape[:2], window_strides, padding
            )
        return depthwise_conv(images, kernel, stride, padding)
    if _is_grouped(kernel, options):
        groups = options.pop("feature_group_count")
        pairs = zip(jnp.split(images, groups, -1), jnp.split(kernel, groups, -1), strict=True)
        parts = [conv_general_dilated(*p, window_strides, padding, **options) for p in pairs]
        return jnp.concatenate(parts, -1)
    return lax.conv_general_dilated(images, kernel, window_strides, padding, **options)


def _is_pointwise(kernel, window_strides, padding, options) -> bool:
    return (
        kernel.shape[:2] == (1, 1)
        and kernel.ndim == 4
        and set(window_strides) == {1}
        and (isinstance(padding, str) or not any(map(any, padding)))
        and options.get("feature_group_count", 1) == 1
        and _is_plain(kernel, options)
    )


def _is_winograd(images, kernel, window_strides, padding, options) -> bool:
    return (
        kernel.shape[:2] == (3, 3)
        and kernel.ndim == 4
        and set(window_strides) == {1}
        and (padding == "SAME" or [tuple(p) for p in padding] == [(1, 1), (1, 1)])
        and set(options.get("rhs_dilation") or (1,)) == {1}
        and options.get("feature_group_count", 1) == 1
        and _is_plain(kernel, options)
        and images.dtype == kernel.dtype == jnp.float32
        and wins(*images.shape[:3], *kernel.shape[2:])
        and jax.default_backend() == "cpu"
    )


def _is_depthwise(images, kernel, window_strides, padding, options) -> bool:
    return (
        kernel.ndim == 4
        and kernel.shape[2:] == (1, images.shape[-1])
        and options.get("feature_group_count", 1) == images.shape[-1] > 1
        and len(set(window_strides)) == 1
        and (isinstance(padding, str) or min(map(min, padding)) >= 0)
        and set(options.get("rhs_dilation") or (1,)) == {1}
        and _is_plain(kernel, options)
        and images.dtype == kernel.dtype == jnp.float32
        and jax.default_backend() == "cpu"
    )


def _is_grouped(kernel, options) -> bool:
    return (
        1 < options.get("feature_group_count", 1) <= MAX_GROUPS
        and kernel.ndim == 4
        and _is_plain(kernel, options)
        and jax.default_backend() == "cpu"
    )


def _is_plain(kernel, options) -> bool:
    return set(options.get("lhs_dilation") or (1,)) == {1} and lax.conv_dimension_numbers(
        kernel.shape, kernel.shape, options["dimension_numbers"]
    ) == lax.conv_dimension_numbers(kernel.shape, kernel.shape, LAYOUT)


def conv_transpose(
    images: Images,
    kernel: Float[Array, "rows columns channels features"],
    stride: int = 1,
    padding: int = 0,
    output_padding: int = 0,
) -> Float[Array, "batch tall wide channels"]:
    """Transposes a convolution: what the gradient of the convolution by its input computes.

        y[s·i + u − p, s·j + v − p] += Σ_f x[i, j, f] · w[u, v, c, f]               (1)

    Forward and backward pass are the three products of one ordinary strided convolution. Autodiff
    of a dilated convolution, the usual way to write this, took six to ten times as long on a CPU
    for maps of 4 to 8 pixels and 64 to 256 channels.

    Args:
        images: x.
        kernel: w, laid out as of the convolution that is transposed: from c to f channels. torch's
            `weight` transposed by (2, 3, 1, 0).
        stride: s, in pixels of the result.
        padding: p, in pixels that are cut off the result on every side.
        output_padding: pixels added to the result below and to the right.

    Returns:
        y, of s·(height − 1) + rows − 2p + output_padding by the same of the width.

    Example:
        >>> import jax.numpy as jnp
        >>> x, w = jnp.array([1.0, 2.0]).reshape(1, 2, 1, 1), jnp.ones((2, 1, 1, 1))
        >>> conv_transpose(x, w, stride=2).ravel().tolist()
        [1.0, 1.0, 2.0, 2.0]

    Source: Dumoulin and Visin, 2016, https://arxiv.org/abs/1603.07285, Chapter 4.
    """
    return _conv_transpose(images, kernel, stride, padding, output_padding)


@partial(jax.custom_vjp, nondiff_argnums=(2, 3, 4))
def _conv_transpose(images, kernel, stride, padding, output_padding):
    batch, height, width, _ = images.shape
    rows, columns, channels, _ = kernel.shape
    result = jax.ShapeDtypeStruct(
        (
            batch,
            stride * (height - 1) + rows - 2 * padding + output_padding,
            stride * (width - 1) + columns - 2 * padding + output_padding,
            channels,
        ),
        images.dtype,
    )
    by_input = jax.linear_transpose(lambda y: _conv(y, kernel, stride, padding), result)
    return by_input(images)[0]


def _forward(images, kernel, stride, padding, output_padding):
    y = _conv_transpose(images, kernel, stride, padding, output_padding)
    return y, (images, kernel)


def _backward(stride, padding, output_padding, residuals, gradient):
    images, kernel = residuals
    by_images = _conv(gradient, kernel, stride, padding)
    by_kernel = jax.linear_transpose(lambda w: _conv(gradient, w, stride, padding), kernel)
    return by_images, by_kernel(images)[0]


_conv_transpose.defvjp(_forward, _backward)


def _conv(images: Array, kernel: Array, stride: int, padding: int) -> Array:
    return lax.conv_general_dilated(
        images,
        kernel,
        (stride, stride),
        [(padding, padding)] * 2,
        dimension_numbers=LAYOUT,
    )
