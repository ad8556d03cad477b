"""Convolution and its transpose."""

from functools import partial

import jax
from jax import lax
from jaxtyping import Array, Float

Images = Float[Array, "batch height width features"]


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
    of a dilated convolution, the usual way to write this, gives a gradient by the kernel that took
    twenty times longer on a CPU.

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
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
    )
