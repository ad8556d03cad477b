"""Convolution of signals, images and volumes: one operation, computed in five ways.

A signal x and a kernel h are arrays with as many axes as the kernel has, one to three; axes of the
signal in front of those are a batch. Convolution turns the kernel round, correlation does not:

    convolution:  y[i] = Σ_m h[m] · x[i − m]                                        (1)
    correlation:  y[i] = Σ_m h[m] · x[i + m]                                        (2)

where i and m are indices along all axes, and x is zero outside. The same y comes out of a sum
(`convolve`), of a product with a matrix (`convolution_matrix`), of a product of spectra
(`fft_convolve`), and, if the kernel is an outer product, of a pass along each axis
(`separable_convolve`); with channels, strides and groups it is the layer of a network
(`correlate_channels`).

Source: Oppenheim and Schafer, "Discrete-Time Signal Processing", 2010, sections 2.3 and 8.7.
"""

from collections.abc import Sequence
from math import prod
from typing import Literal

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float
from scipy.fft import next_fast_len

from jdl.errors import UserError
from jdl.ops.lowering import is_for_cpu, is_plain

MAX_SHIFTS = 225  # taps; more take long to compile

Padding = Literal["valid", "same", "full"] | Sequence[tuple[int, int]]
Signals = Float[Array, "..."]
Kernel = Float[Array, "*taps"]


def output_size(size: int, taps: int, stride: int = 1, padding: int = 0, dilation: int = 1) -> int:
    """Returns how many numbers a convolution leaves of an axis.

        ⌊(n + p − d·(k − 1) − 1) / s⌋ + 1                                           (3)

    Args:
        size: n, of the signal.
        taps: k, of the kernel.
        stride: s, how far the kernel moves.
        padding: p, zeros in front and behind together.
        dilation: d, how far the taps are apart.

    Returns:
        The number.

    Raises:
        UserError: the kernel is larger than the padded signal.

    Example:
        >>> output_size(32, 5), output_size(224, 7, stride=2, padding=6)
        (28, 112)

    Source: Dumoulin and Visin, 2016, https://arxiv.org/abs/1603.07285, relationships 1 to 6 and 15.
    """
    reach = dilation * (taps - 1) + 1
    if reach > size + padding:
        raise UserError(
            f"a kernel that reaches over {reach} samples does not fit into {size + padding}"
        )
    return (size + padding - reach) // stride + 1


def convolve(
    signals: Signals,
    kernel: Kernel,
    padding: Padding = "full",
    stride: int = 1,
    dilation: int = 1,
) -> Signals:
    """Convolves, equation (1).

    Args:
        signals: x; the last axes are those of the kernel, the others a batch.
        kernel: h, of one to three axes.
        padding: "full" keeps every place where kernel and signal meet, "same" as many numbers as
            the signal has, from the middle of those (scipy's convention for even kernels), "valid"
            only those that see no zeros; or zeros in front and behind, for each axis.
        stride: keep every s-th result along each axis.
        dilation: zeros between the taps, less one.

    Returns:
        y, of `output_size` along each axis.

    Raises:
        UserError: a kernel with more axes than the signal or than three, or larger than the padded
            signal.

    Example:
        >>> convolve(jnp.array([1.0, 2.0, 3.0]), jnp.array([1.0, -1.0])).tolist()
        [1.0, 1.0, 1.0, -3.0]
    """
    return correlate(signals, jnp.flip(kernel), padding, stride, dilation)


def correlate(
    signals: Signals,
    kernel: Kernel,
    padding: Padding = "valid",
    stride: int = 1,
    dilation: int = 1,
) -> Signals:
    """Correlates, equation (2): what networks call a convolution.

    Args:
        signals: x; the last axes are those of the kernel, the others a batch.
        kernel: h, of one to three axes.
        padding: as in `convolve`.
        stride: likewise.
        dilation: likewise.

    Returns:
        y, of `output_size` along each axis.

    Raises:
        UserError: as in `convolve`.

    Example:
        >>> correlate(jnp.array([1.0, 2.0, 4.0]), jnp.array([1.0, -1.0])).tolist()
        [-1.0, -2.0]
    """
    batch, space = _split(signals, kernel)
    if kernel.size <= MAX_SHIFTS and is_for_cpu() and not is_plain():
        return _sum_of_shifts(signals, kernel, padding, stride, dilation)
    y = correlate_channels(
        signals.reshape(-1, *space, 1), kernel[..., None, None], padding, stride, dilation
    )
    return y.reshape(*batch, *y.shape[1:-1])


def _sum_of_shifts(signals, kernel, padding, stride, dilation) -> Array:
    """Equation (2) tap by tap, which XLA's CPU compiler fuses into one loop over the result.

    A photograph of 512×512 took a fiftieth (3×3) to a tenth (15×15) of the time of `lax`.
    """
    pads = _pads(kernel.shape, padding, dilation)
    axes = signals.ndim - kernel.ndim
    x = jnp.pad(signals, [(0, 0)] * axes + list(pads))
    counts = [
        output_size(n, k, stride, sum(pad), dilation)
        for n, k, pad in zip(signals.shape[axes:], kernel.shape, pads, strict=True)
    ]

    def shifted(tap: tuple[int, ...]) -> Array:
        starts = [dilation * place for place in tap]
        windows = (
            slice(start, start + (count - 1) * stride + 1, stride)
            for start, count in zip(starts, counts, strict=True)
        )
        return kernel[tap] * x[(..., *windows)]

    return jax.tree.reduce(jnp.add, [shifted(tap) for tap in np.ndindex(*kernel.shape)])


def correlate_channels(
    signals: Float[Array, "batch *space channels"],
    kernels: Float[Array, "*taps group_channels features"],
    padding: Padding = "valid",
    stride: int = 1,
    dilation: int = 1,
    groups: int = 1,
) -> Float[Array, "batch *places features"]:
    """Correlates each feature's kernel with all channels of its group, and adds up.

        y[i, f] = Σ_c Σ_m h[m, c, f] · x[s·i + d·m, c],  c in the group of f        (4)

    Args:
        signals: x, of one to three axes between batch and channels.
        kernels: h.
        padding: as in `convolve`.
        stride: s.
        dilation: d.
        groups: into how many groups channels and features are cut, in order.

    Returns:
        y, of `output_size` along each axis.

    Raises:
        UserError: numbers of channels or axes that do not go together, or a kernel larger than the
            padded signal.

    Example:
        >>> correlate_channels(jnp.ones((1, 8, 8, 6)), jnp.ones((3, 3, 2, 9)), groups=3).shape
        (1, 6, 6, 9)
    """
    taps, (per_group, features) = kernels.shape[:-2], kernels.shape[-2:]
    if not 1 <= len(taps) <= 3 or signals.ndim != len(taps) + 2:
        raise UserError(
            f"kernels of {len(taps)} axes do not go with signals of {signals.ndim - 2}: both have "
            "one, two or three"
        )
    if per_group * groups != signals.shape[-1] or features % groups:
        raise UserError(
            f"{signals.shape[-1]} channels and {features} features in {groups} groups need kernels "
            f"of {signals.shape[-1] / groups:g} channels, and as many features in every group"
        )
    pads = _pads(taps, padding, dilation)
    for size, k, pad in zip(signals.shape[1:-1], taps, pads, strict=True):
        output_size(size, k, stride, sum(pad), dilation)  # refuses what does not fit
    axes = "DHW"[3 - len(taps) :]
    return lax.conv_general_dilated(
        signals,
        kernels,
        (stride,) * len(taps),
        pads,
        rhs_dilation=(dilation,) * len(taps),
        dimension_numbers=(f"N{axes}C", f"{axes}IO", f"N{axes}C"),
        feature_group_count=groups,
        precision=lax.Precision.HIGHEST,
    )


def convolution_matrix(
    kernel: Kernel, shape: Sequence[int], padding: Padding = "full"
) -> Float[Array, "results samples"]:
    """Writes the convolution with a kernel as a matrix.

        y = T x,  T[i, j] = h[i − j]                                                (5)

    With one axis it is a Toeplitz matrix; with two, a matrix of Toeplitz blocks, the blocks
    arranged as in a Toeplitz matrix, where x and y are read row by row.

    Args:
        kernel: h.
        shape: of the signal, as many axes as the kernel has.
        padding: as in `convolve`.

    Returns:
        T.

    Raises:
        UserError: another number of axes, or a kernel larger than the padded signal.

    Example:
        >>> convolution_matrix(jnp.array([1.0, 2.0]), (3,)).astype(int).tolist()
        [[1, 0, 0], [2, 1, 0], [0, 2, 1], [0, 0, 2]]
    """
    if len(shape) != kernel.ndim:
        raise UserError(f"a signal of {len(shape)} axes and a kernel of {kernel.ndim}")
    # How far the result i lies behind the sample j along each axis: i − j where nothing is cut off.
    lags = []
    for axis, (n, k, pad) in enumerate(
        zip(shape, kernel.shape, _pads(kernel.shape, padding), strict=True)
    ):
        size = output_size(n, k, padding=sum(pad))
        lag = np.arange(size)[:, None] - np.arange(n) + k - 1 - pad[0]
        place = [1] * (2 * kernel.ndim)
        place[axis], place[kernel.ndim + axis] = lag.shape
        lags.append(lag.reshape(place))
    inside = np.all(
        np.broadcast_arrays(*((lag >= 0) & (lag < k) for lag, k in zip(lags, kernel.shape))), 0
    )
    taps = tuple(np.clip(lag, 0, k - 1) for lag, k in zip(lags, kernel.shape, strict=True))
    matrix = jnp.where(inside, kernel[taps], 0)
    return matrix.reshape(-1, prod(shape))


def fft_convolve(signals: Signals, kernel: Kernel, padding: Padding = "full") -> Signals:
    """Convolves by the convolution theorem: as a product of spectra.

        y = F⁻¹(F(x) · F(h))                                                        (6)

    with x and h padded to n + k − 1 samples along each axis, so that the circle on which the
    Fourier transform lives does not close. Its cost does not depend on the size of the kernel.

    Args:
        signals: x; the last axes are those of the kernel, the others a batch.
        kernel: h, of one to three axes.
        padding: as in `convolve`.

    Returns:
        y.

    Raises:
        UserError: as in `convolve`.

    Example:
        >>> fft_convolve(jnp.array([1.0, 2.0, 3.0]), jnp.array([1.0, -1.0])).round(5).tolist()
        [1.0, 1.0, 1.0, -3.0]
    """
    batch, space = _split(signals, kernel)
    axes = tuple(range(-kernel.ndim, 0))
    full = tuple(n + k - 1 for n, k in zip(space, kernel.shape, strict=True))
    # Products of small primes are fast; a large prime is many times slower.
    sizes = tuple(next_fast_len(size, real=True) for size in full)
    spectra = jnp.fft.rfftn(signals, sizes, axes)
    response = jnp.fft.rfftn(kernel, sizes).reshape((1,) * len(batch) + spectra.shape[len(batch) :])
    y = jnp.fft.irfftn(spectra * response, sizes, axes)
    y = y[(..., *(slice(size) for size in full))]
    pads = _pads(kernel.shape, padding)
    widths = []
    for n, k, (before, behind) in zip(space, kernel.shape, pads, strict=True):
        output_size(n, k, padding=before + behind)
        widths.append((before - k + 1, behind - k + 1, 0))
    return lax.pad(y, jnp.zeros((), y.dtype), [*[(0, 0, 0)] * len(batch), *widths])


def separable_convolve(
    signals: Signals, kernels: Sequence[Float[Array, "_"]], padding: Padding = "full"
) -> Signals:
    """Convolves with an outer product of kernels, by a pass along each axis.

        h = h₁ ⊗ h₂  ⇒  x * h = (x * h₁) * h₂,  k₁ + k₂ products a pixel, not k₁·k₂  (7)

    Args:
        signals: x; the last axes are those of the kernels in their order, the others a batch.
        kernels: h₁, h₂, …: one for each axis.
        padding: as in `convolve`.

    Returns:
        y.

    Raises:
        UserError: as in `convolve`.

    Example:
        >>> taps = jnp.array([1.0, 2.0, 1.0])
        >>> separable_convolve(jnp.ones((1, 1)), [taps, taps]).tolist()
        [[1.0, 2.0, 1.0], [2.0, 4.0, 2.0], [1.0, 2.0, 1.0]]
    """
    count = len(kernels)
    if not isinstance(padding, str) and len(padding) != count:
        raise UserError(f"zeros are told for {len(padding)} axes, kernels for {count}")
    for axis, kernel in enumerate(kernels):
        along = kernel.reshape([-1 if i == axis else 1 for i in range(count)])
        if isinstance(padding, str):
            signals = convolve(signals, along, padding)
        else:
            here = [padding[i] if i == axis else (0, 0) for i in range(count)]
            signals = convolve(signals, along, here)
    return signals


def separate(kernel: Float[np.ndarray, "rows columns"]) -> tuple[np.ndarray, np.ndarray]:
    """Finds the two kernels whose outer product a kernel is.

        h = u ⊗ v  ⇔  h has one singular value                                      (8)

    Args:
        kernel: h.

    Returns:
        u and v, of equal norm.

    Raises:
        UserError: h is no outer product.

    Example:
        >>> column, row = separate(np.outer([1.0, 0.0, -1.0], [1.0, 2.0, 1.0]))
        >>> bool(np.allclose(np.outer(column, row)[0], [1.0, 2.0, 1.0]))
        True
    """
    left, values, right = np.linalg.svd(kernel)
    if values[1:].max(initial=0.0) > 1e-6 * values[0]:
        raise UserError(
            f"this kernel of {kernel.shape[0]}x{kernel.shape[1]} is not separable: it is a sum of "
            f"{np.sum(values > 1e-6 * values[0])} outer products"
        )
    return left[:, 0] * values[0] ** 0.5, right[0] * values[0] ** 0.5


def _pads(taps: Sequence[int], padding: Padding, dilation: int = 1) -> Sequence[tuple[int, int]]:
    """Returns the zeros in front and behind along each axis."""
    reaches = [dilation * (k - 1) for k in taps]
    if padding == "full":
        return [(reach, reach) for reach in reaches]
    if padding == "same":
        return [((reach + 1) // 2, reach // 2) for reach in reaches]
    if padding == "valid":
        return [(0, 0)] * len(taps)
    if isinstance(padding, str):
        raise UserError(f"padding is valid, same, full or numbers of zeros, not {padding!r}")
    if len(padding) != len(taps):
        raise UserError(f"zeros are told for {len(padding)} axes, the kernel has {len(taps)}")
    return [(before, behind) for before, behind in padding]


def _split(signals: Array, kernel: Array) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Returns the shape of the batch and that of a signal."""
    if not 1 <= kernel.ndim <= 3 or signals.ndim < kernel.ndim:
        raise UserError(
            f"a kernel of {kernel.ndim} axes and a signal of {signals.ndim}: a kernel has one to "
            "three, and the signal at least as many"
        )
    return signals.shape[: -kernel.ndim], signals.shape[-kernel.ndim :]
