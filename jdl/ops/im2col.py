"""Convolution as one product of matrices, for float32 on a CPU.

With the windows of the padded images x as rows, one for each pixel of the result, and stride s,

    P[(n, i, j), (u, v, c)] = x[n, s·i + u, s·j + v, c]                             (1)
    y = P w,  dw = Pᵀ dy,  dx = Σ of the rows of dy wᵀ, each back in its window     (2)

P takes k²/s² times the memory of the images. It is made anew for the gradient: kept, it would be
there through the whole pass.

Source: Chellapilla, Puri and Simard, 2006, https://inria.hal.science/inria-00112631, section 3.
"""

from collections.abc import Sequence
from functools import partial

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float32

Images = Float32[Array, "batch height width channels"]
Padding = tuple[tuple[int, int], tuple[int, int]]

FEW = 16  # channels


def conv(
    images: Images,
    kernel: Float32[Array, "rows columns channels features"],
    stride: int,
    padding: Sequence[tuple[int, int]],
) -> Float32[Array, "batch tall wide features"]:
    """Convolves by equation (2).

    The few channels of an image are an exception: only dw is computed so.

    Args:
        images: x, before padding.
        kernel: w.
        stride: s, along rows and columns.
        padding: zeros above and below, and left and right.

    Returns:
        y.

    Example:
        >>> x, w = jnp.arange(8.0).reshape(1, 2, 2, 2), jnp.ones((3, 3, 2, 1))
        >>> conv(x, w, 2, [(1, 1), (1, 1)]).ravel().tolist()
        [28.0]
    """
    (above, below), (left, right) = padding
    return _conv(images, kernel, stride, ((above, below), (left, right)))


@partial(jax.custom_vjp, nondiff_argnums=(2, 3))
def _conv(images: Array, kernel: Array, stride: int, padding: Padding) -> Array:
    if kernel.shape[2] < FEW:
        return _lax(images, kernel, stride, padding)
    windows = _windows(images, kernel.shape[:2], stride, padding)
    y = _rows(windows) @ kernel.reshape(-1, kernel.shape[3])
    return y.reshape(*windows.shape[:3], -1)


def _forward(images, kernel, stride, padding):
    return _conv(images, kernel, stride, padding), (images, kernel)


def _backward(stride, padding, residuals, gradient):
    images, kernel = residuals
    cut = partial(_windows, size=kernel.shape[:2], stride=stride, padding=padding)
    by_kernel = _rows(cut(images)).T @ _rows(gradient)
    if kernel.shape[2] < FEW:
        by_images = jax.linear_transpose(lambda x: _lax(x, kernel, stride, padding), images)
        return by_images(gradient)[0], by_kernel.reshape(kernel.shape)
    by_windows = _rows(gradient) @ kernel.reshape(-1, kernel.shape[3]).T
    by_windows = by_windows.reshape(*gradient.shape[:3], -1)
    put_back = jax.linear_transpose(cut, images)
    return put_back(by_windows)[0], by_kernel.reshape(kernel.shape)


_conv.defvjp(_forward, _backward)


def _windows(images: Array, size: Sequence[int], stride: int, padding: Padding) -> Array:
    """Equation (1): windows of columns first, then of rows of these."""
    x = jnp.pad(images, [(0, 0), *padding, (0, 0)])
    down, across = ((n - k) // stride * stride + 1 for n, k in zip(x.shape[1:3], size))
    x = jnp.concatenate([x[:, :, v : v + across : stride] for v in range(size[1])], -1)
    return jnp.concatenate([x[:, u : u + down : stride] for u in range(size[0])], -1)


def _rows(x: Array) -> Array:
    return x.reshape(-1, x.shape[-1])


def _lax(images: Array, kernel: Array, stride: int, padding: Padding) -> Array:
    return lax.conv_general_dilated(
        images, kernel, (stride, stride), padding, dimension_numbers=("NHWC", "HWIO", "NHWC")
    )


def wins(
    batch: int,
    height: int,
    width: int,
    size: Sequence[int],
    stride: int,
    in_channels: int,
    out_channels: int,
) -> bool:
    """Tells whether `conv` beats XLA's convolution on a CPU, forward and both gradients.

    Milliseconds of y, dx and dw, each alone, on two cores with other work on them, the two in turn:

        images and kernel                   XLA                  here
        8×56×56×128, 3×3/2 → 128            29 / 26 / 56         28 / 27 / 39
        8×28×28×256, 3×3/2 → 256            30 / 24 / 42         24 / 22 / 29
        8×14×14×512, 3×3/2 → 512            58 / 31 / 47         31 / 26 / 30
        8×7×7×512, 3×3 → 512                52 / 40 / 39         26 / 22 / 28
        1×14×14×256, 3×3 → 256              3.5 / 2.5 / 4.7      2.0 / 1.6 / 3.3
        8×56×56×64, 3×3 → 64                26 / 22 / 52         39 / 27 / 55
        8×7×7×160, 3×3 → 160                1.9 / 1.8 / 2.8      2.4 / 1.6 / 2.6
        8×224×224×3, 7×7/2 → 64, dw only    184                  51 (one core of the two)
        8×224×224×3, 3×3/2 → 32, dw only    9.2                  10.0

    Args:
        batch: images on one device.
        height: pixels.
        width: pixels.
        size: rows and columns of the kernel.
        stride: s.
        in_channels: of the images.
        out_channels: of the result.

    Returns:
        Whether it does.

    Example:
        >>> wins(8, 7, 7, (3, 3), 1, 512, 512), wins(8, 56, 56, (3, 3), 1, 64, 64)
        (True, False)
    """
    narrow = min(in_channels, out_channels)
    if stride > 1:
        return narrow >= 128 or (in_channels < FEW and min(size) >= 7 and out_channels >= 64)
    return narrow >= 256 and batch * height * width < 2048
