"""Convolution as one product of matrices, for float32 on a CPU.

With the windows of the padded images x as rows, one for each pixel of the result, and stride s,

    P[(n, i, j), (u, v, c)] = x[n, s·i + u, s·j + v, c]                             (1)
    y = P w,  dw = Pᵀ dy,  dx = Σ of the rows of dy wᵀ, each back in its window     (2)

P takes k²/s² times the memory of the images. It is made anew for the gradient: kept, it would be
there through the whole pass. For dw, it is made of one row of the kernel after the other.

Source: Chellapilla, Puri and Simard, 2006, https://inria.hal.science/inria-00112631, section 3.
"""

from collections.abc import Sequence
from functools import partial

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float32

Images = Float32[Array, "batch height width channels"]
Kernel = Float32[Array, "rows columns channels features"]
Result = Float32[Array, "batch tall wide features"]
Padding = tuple[tuple[int, int], tuple[int, int]]


def conv(images: Images, kernel: Kernel, stride: int, padding: Sequence[tuple[int, int]]) -> Result:
    """Convolves by equation (2).

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


def conv_with_lax(
    images: Images, kernel: Kernel, stride: int, padding: Sequence[tuple[int, int]]
) -> Result:
    """Convolves as `lax` does, and so computes dx; but dw by equation (2).

    Args:
        images: x, before padding.
        kernel: w.
        stride: s, along rows and columns.
        padding: zeros above and below, and left and right.

    Returns:
        y.

    Example:
        >>> x, w = jnp.arange(8.0).reshape(1, 2, 2, 2), jnp.ones((3, 3, 2, 1))
        >>> conv_with_lax(x, w, 2, [(1, 1), (1, 1)]).ravel().tolist()
        [28.0]
    """
    (above, below), (left, right) = padding
    return _conv_with_lax(images, kernel, stride, ((above, below), (left, right)))


def kernel_gradient(
    images: Images, gradient: Result, shape: Sequence[int], stride: int, padding: Padding
) -> Kernel:
    """Computes dw, the gradient by the kernel of any convolution, by equation (2).

    Args:
        images: x, before padding.
        gradient: dy.
        shape: of the kernel.
        stride: s, along rows and columns.
        padding: zeros above and below, and left and right.

    Returns:
        dw.

    Example:
        >>> x, dy = jnp.ones((1, 2, 2, 1)), jnp.ones((1, 1, 1, 1))
        >>> kernel_gradient(x, dy, (3, 3, 1, 1), 2, ((1, 1), (1, 1)))[:, :, 0, 0].tolist()
        [[0.0, 0.0, 0.0], [0.0, 1.0, 1.0], [0.0, 1.0, 1.0]]
    """
    return _kernel_gradient(images, gradient, tuple(shape), stride, padding)


@partial(jax.custom_vjp, nondiff_argnums=(2, 3))
def _conv(images: Array, kernel: Array, stride: int, padding: Padding) -> Array:
    windows = _windows(images, kernel.shape[:2], stride, padding)
    y = _rows(windows) @ kernel.reshape(-1, kernel.shape[3])
    return y.reshape(*windows.shape[:3], -1)


def _conv_forward(images, kernel, stride, padding):
    return _conv(images, kernel, stride, padding), (images, kernel)


def _conv_backward(stride, padding, residuals, gradient):
    images, kernel = residuals
    by_windows = _rows(gradient) @ kernel.reshape(-1, kernel.shape[3]).T
    by_windows = by_windows.reshape(*gradient.shape[:3], -1)
    cut = partial(_windows, size=kernel.shape[:2], stride=stride, padding=padding)
    by_images = jax.linear_transpose(cut, images)(by_windows)[0]
    return by_images, kernel_gradient(images, gradient, kernel.shape, stride, padding)


_conv.defvjp(_conv_forward, _conv_backward)


@partial(jax.custom_vjp, nondiff_argnums=(2, 3))
def _conv_with_lax(images: Array, kernel: Array, stride: int, padding: Padding) -> Array:
    return _lax(images, kernel, stride, padding)


def _conv_with_lax_forward(images, kernel, stride, padding):
    return _conv_with_lax(images, kernel, stride, padding), (images, kernel)


def _conv_with_lax_backward(stride, padding, residuals, gradient):
    images, kernel = residuals
    by_images = _by_images(gradient, kernel, images.shape, stride, padding)
    return by_images, kernel_gradient(images, gradient, kernel.shape, stride, padding)


_conv_with_lax.defvjp(_conv_with_lax_forward, _conv_with_lax_backward)


def _by_images(
    gradient: Array, kernel: Array, shape: Sequence[int], stride: int, padding: Padding
) -> Array:
    """Computes dx, as `_conv_with_lax` where that can be: it may be differentiated again."""
    back = [
        (size - 1 - before, size - 1 - behind)
        for size, (before, behind) in zip(kernel.shape[:2], padding)
    ]
    if stride == 1 and min(map(min, back)) >= 0:
        turned = jnp.flip(kernel, (0, 1)).swapaxes(2, 3)
        return _conv_with_lax(gradient, turned, 1, (back[0], back[1]))
    images = jax.ShapeDtypeStruct(tuple(shape), gradient.dtype)
    transposed = jax.linear_transpose(lambda x: _lax(x, kernel, stride, padding), images)
    return transposed(gradient)[0]


# Bilinear like the convolution, it has gradients that are convolutions: penalties on gradients
# differentiate twice.
@partial(jax.custom_vjp, nondiff_argnums=(2, 3, 4))
def _kernel_gradient(
    images: Array, gradient: Array, shape: tuple[int, ...], stride: int, padding: Padding
) -> Array:
    columns = _columns(jnp.pad(images, [(0, 0), *padding, (0, 0)]), shape[1], stride)
    down = (gradient.shape[1] - 1) * stride + 1
    rows = [columns[:, u : u + down : stride] for u in range(shape[0])]
    return jnp.stack([_rows(row).T @ _rows(gradient) for row in rows]).reshape(shape)


def _kernel_gradient_forward(images, gradient, shape, stride, padding):
    return _kernel_gradient(images, gradient, shape, stride, padding), (images, gradient)


def _kernel_gradient_backward(shape, stride, padding, residuals, kernel):
    images, gradient = residuals
    by_images = _by_images(gradient, kernel, images.shape, stride, padding)
    return by_images, _conv_with_lax(images, kernel, stride, padding)


_kernel_gradient.defvjp(_kernel_gradient_forward, _kernel_gradient_backward)


def _windows(images: Array, size: Sequence[int], stride: int, padding: Padding) -> Array:
    """Equation (1): windows of columns first, then of rows of these."""
    x = _columns(jnp.pad(images, [(0, 0), *padding, (0, 0)]), size[1], stride)
    down = (x.shape[1] - size[0]) // stride * stride + 1
    return jnp.concatenate([x[:, u : u + down : stride] for u in range(size[0])], -1)


def _columns(x: Array, size: int, stride: int) -> Array:
    across = (x.shape[2] - size) // stride * stride + 1
    return jnp.concatenate([x[:, :, v : v + across : stride] for v in range(size)], -1)


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

    Args:
        batch: images on one device.
        height: pixels.
        width: pixels.
        stride: s.
        in_channels: of the images.
        out_channels: of the result.

    Returns:
        Whether it does.

    Example:
        >>> wins(8, 7, 7, 1, 512, 512), wins(8, 56, 56, 1, 64, 64)
        (True, False)
    """
    narrow = min(in_channels, out_channels)
    return narrow >= 128 if stride > 1 else narrow >= 256 and batch * height * width < 2048


def wins_with_lax(batch: int, height: int, width: int, stride: int, out_channels: int) -> bool:
    """Tells whether `conv_with_lax` beats XLA's convolution on a CPU, forward and both gradients.

    For dw, XLA convolves the images with one huge kernel, dy, as wide as they are. Milliseconds of
    y, dx and dw together, two quiet cores of an AMD EPYC (AVX2); `python benchmarks/convolution.py`
    has more:

        images and kernel         XLA   here     images and kernel         XLA   here
        32×32×32×32, 3×3 → 32      54     47     2×224×224×64, 3×3 → 64   2403    321
        32×32×32×32, 3×3 → 64     429     82     8×112×112×64, 3×3 → 64   2146    355
        32×32×32×16, 3×3 → 32      93     31     8×56×56×128, 3×3 → 128    508    221
        64×28×28×32, 3×3 → 32      97     75     16×27×27×64, 5×5 → 64     160    130
        64×28×28×3, 3×3 → 64       61     34     32×32×32×64, 3×3/2 → 64    63     52
        8×12×12×64, 3×3 → 192    12.0   12.1     8×224×224×3, 3×3/2 → 32    59     35
        8×17×17×32, 3×3 → 32      4.1    4.6     8×224×224×3, 7×7/2 → 64   728    248
        64×7×7×32, 3×3 → 32       5.7    5.6     32×32×32×64, 3×3 → 16      51     75

    Args:
        batch: images on one device.
        height: pixels.
        width: pixels.
        stride: s.
        out_channels: of the result.

    Returns:
        Whether it does.

    Example:
        >>> wins_with_lax(8, 56, 56, 1, 64), wins_with_lax(64, 7, 7, 1, 32)
        (True, False)
    """
    pixels = batch * (height // stride) * (width // stride)
    return out_channels >= 32 and pixels * out_channels >= 2**17
