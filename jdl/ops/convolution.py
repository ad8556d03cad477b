"""Convolution and its transpose."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float

from jdl.ops import im2col, winograd
from jdl.ops.depthwise import depthwise_conv
from jdl.ops.lowering import is_for_cpu, is_plain

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

    A kernel of one pixel is a product of matrices. Said so, its gradient takes a half to a sixth of
    the time on a CPU, and a tenth where it strides. There, for float32, a kernel for each channel
    goes by `jdl.ops.depthwise`, and others by `jdl.ops.winograd` or `jdl.ops.im2col` where that was
    measured to win; of most large maps the latter has the gradient by the kernel only. A
    convolution of volumes (NDHWC) is one of slices, and groups of channels are convolved one by
    one, because the gradient of XLA's own grouped convolution takes six to a hundred times as long.
    `jdl.ops.lowering.plain_lowerings` leaves everything to `lax`.

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
    groups = options.get("feature_group_count", 1)
    if not is_plain() and _is_ordinary(kernel, window_strides, options):
        stride, size = window_strides[0], kernel.shape[:2]
        pads = _pads(images, size, window_strides, padding)
        if groups == 1 and size == (1, 1) and not any(map(any, pads)):
            if stride == 1 or is_for_cpu():
                return _product(images[:, ::stride, ::stride], kernel, options.get("precision"))
        elif is_for_cpu() and images.dtype == kernel.dtype == jnp.float32:
            convolve = _for_cpu(images, kernel, stride, pads, options)
            if convolve is not None:
                return convolve(images, kernel)
        if is_for_cpu() and 1 < groups <= MAX_GROUPS:
            options["feature_group_count"] = 1
            pairs = zip(jnp.split(images, groups, -1), jnp.split(kernel, groups, -1), strict=True)
            parts = [conv_general_dilated(*p, window_strides, padding, **options) for p in pairs]
            return jnp.concatenate(parts, -1)
    if is_for_cpu() and _is_of_volumes(kernel, window_strides, options):
        return _convolve_volumes(images, kernel, padding)
    return lax.conv_general_dilated(images, kernel, window_strides, padding, **options)


def _is_of_volumes(kernel, window_strides, options) -> bool:
    """Tells whether it is of NDHWC by DHWIO, with stride 1 and neither dilation nor groups."""
    return (
        kernel.ndim == 5
        and set(window_strides) == {1}
        and set(options.get("lhs_dilation") or (1,)) == {1}
        and set(options.get("rhs_dilation") or (1,)) == {1}
        and options.get("feature_group_count", 1) == 1
        and lax.conv_dimension_numbers(kernel.shape, kernel.shape, options["dimension_numbers"])
        == lax.conv_dimension_numbers(kernel.shape, kernel.shape, ("NDHWC", "DHWIO", "NDHWC"))
    )


def _convolve_volumes(
    volumes: Float[Array, "batch depth height width channels"],
    kernel: Float[Array, "taps rows columns channels features"],
    padding: str | Sequence[tuple[int, int]],
) -> Array:
    """Convolves slices, the channels of as many neighbours as there are taps side by side.

    On a CPU, forward and both gradients took a half to a third of the time of XLA's convolution of
    volumes, for videos of 16×32×32 with 1 to 16 channels.
    """
    if isinstance(padding, str):
        padding = lax.padtype_to_pads(volumes.shape[1:4], kernel.shape[:3], (1, 1, 1), padding)
    volumes = jnp.pad(volumes, [(0, 0), padding[0], *[(0, 0)] * 3])
    taps, depth = len(kernel), volumes.shape[1] - len(kernel) + 1
    beside = jnp.concatenate([volumes[:, i : i + depth] for i in range(taps)], -1)
    slices = beside.reshape(-1, *beside.shape[2:])
    flat = jnp.concatenate(list(kernel), 2)
    y = conv_general_dilated(slices, flat, (1, 1), list(padding[1:]))
    return y.reshape(-1, depth, *y.shape[1:])


def _is_ordinary(kernel, window_strides, options) -> bool:
    """Tells whether it is of images, laid out as here, with one stride and no dilation."""
    layout = options["dimension_numbers"]
    return (
        kernel.ndim == 4
        and len(set(window_strides)) == 1
        and set(options.get("lhs_dilation") or (1,)) == {1}
        and set(options.get("rhs_dilation") or (1,)) == {1}
        and lax.conv_dimension_numbers(kernel.shape, kernel.shape, layout)
        == lax.conv_dimension_numbers(kernel.shape, kernel.shape, LAYOUT)
    )


def _pads(images, size, window_strides, padding) -> tuple[tuple[int, int], tuple[int, int]]:
    if isinstance(padding, str):
        padding = lax.padtype_to_pads(images.shape[1:3], size, window_strides, padding)
    (above, below), (left, right) = padding
    return (above, below), (left, right)


def _product(images: Array, kernel: Array, precision: lax.PrecisionLike) -> Array:
    pixels = images.reshape(-1, images.shape[-1])
    y = jnp.matmul(pixels, kernel[0, 0], precision=precision)
    return y.reshape(*images.shape[:-1], -1)


def _for_cpu(images, kernel, stride, pads, options) -> Callable[[Array, Array], Array] | None:
    """Returns the way that beats `lax` on a CPU in float32, forward and backward, if one does."""
    batch, height, width, in_channels = images.shape
    *size, channels, features = kernel.shape
    if min(map(min, pads)) < 0:
        return None
    if options.get("feature_group_count", 1) > 1:
        one_each = channels == 1 and features == in_channels
        return partial(depthwise_conv, stride=stride, padding=pads) if one_each else None
    same3x3 = (size, stride, pads) == ([3, 3], 1, ((1, 1), (1, 1)))
    if same3x3 and winograd.wins(batch, height, width, channels, features):
        return winograd.conv3x3
    if im2col.wins(batch, height, width, stride, channels, features):
        return partial(im2col.conv, stride=stride, padding=pads)
    if im2col.wins_with_lax(batch, height, width, stride, features):
        return partial(im2col.conv_with_lax, stride=stride, padding=pads)
    return None


def causal_conv(
    signals: Float[Array, "batch time inputs"],
    kernel: Float[Array, "taps inputs outputs"],
    dilation: int = 1,
) -> Float[Array, "batch time outputs"]:
    """Convolves along time so that no output sees a later input.

        y_t = Σⱼ w_j x_{t − (k − 1 − j)·d},  j = 0 … k − 1, with zeros before the beginning  (1)

    Args:
        signals: x.
        kernel: w, of k taps; the last is that of the present.
        dilation: d, steps from one tap to the next.

    Returns:
        y, as long as x.

    Example:
        >>> import jax.numpy as jnp
        >>> x = jnp.arange(1.0, 6.0)[None, :, None]
        >>> causal_conv(x, jnp.ones((2, 1, 1)), dilation=2)[0, :, 0].tolist()
        [1.0, 2.0, 4.0, 6.0, 8.0]

    Source: van den Oord et al., 2016, https://arxiv.org/abs/1609.03499, section 2.1.
    """
    past = (len(kernel) - 1) * dilation
    return lax.conv_general_dilated(
        signals,
        kernel,
        (1,),
        [(past, 0)],
        rhs_dilation=(dilation,),
        dimension_numbers=("NWC", "WIO", "NWC"),
    )


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
    batch, height, width, _ = gradient.shape
    is_float32 = images.dtype == kernel.dtype == jnp.float32
    wins = im2col.wins_with_lax(batch, height, width, stride, kernel.shape[3])
    if is_for_cpu() and is_float32 and wins:
        pads = ((padding, padding), (padding, padding))
        return by_images, im2col.kernel_gradient(gradient, images, kernel.shape, stride, pads)
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
