"""Filters of images: masks, smoothing, edges, medians, and bands of frequencies.

Images are batches with channels, and every channel is filtered alone. Beyond the border an image is
mirrored, its last pixel repeated, as scipy.ndimage does unless told otherwise. Masks are convolved
with, not correlated: they are turned round.
"""

from collections.abc import Sequence
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from jdl.errors import UserError
from jdl.ops.signals import convolve, fft_convolve, separable_convolve

Images = Float[Array, "batch height width channels"]

_BLUR = np.outer([1, 2, 1], [1, 2, 1])
_SOBEL = np.outer([1, 2, 1], [1, 0, -1])
_GAUSSIAN_7X7 = np.array(
    [
        [0, 0, 0, 5, 0, 0, 0],
        [0, 5, 18, 32, 18, 5, 0],
        [0, 18, 64, 100, 64, 18, 0],
        [5, 32, 100, 100, 100, 32, 5],
        [0, 18, 64, 100, 64, 18, 0],
        [0, 5, 18, 32, 18, 5, 0],
        [0, 0, 0, 5, 0, 0, 0],
    ]
)

MASKS = {
    name: np.asarray(mask, np.float32)
    for name, mask in {
        "identity": [[0, 0, 0], [0, 1, 0], [0, 0, 0]],
        "box_3x3": np.full((3, 3), 1 / 9),
        "box_5x5": np.full((5, 5), 1 / 25),
        "box_7x7": np.full((7, 7), 1 / 49),
        "gaussian_3x3": _BLUR / 16,
        "gaussian_7x7": _GAUSSIAN_7X7 / _GAUSSIAN_7X7.sum(),
        "sharpen": [[0, -1, 0], [-1, 5, -1], [0, -1, 0]],
        "edge": [[-1, -1, -1], [-1, 8, -1], [-1, -1, -1]],
        "emboss": [[2, 0, 0], [0, -1, 0], [0, 0, -1]],
        "laplacian_of_gaussian": [
            [0, 0, -1, 0, 0],
            [0, -1, -2, -1, 0],
            [-1, -2, 16, -2, -1],
            [0, -1, -2, -1, 0],
            [0, 0, -1, 0, 0],
        ],
        "sobel_x": _SOBEL,
        "sobel_y": _SOBEL.T,
    }.items()
}
"""The masks of the lectures by name. Those that smooth add up to 1, those for edges to 0."""


def filter_images(images: Images, mask: Float[np.ndarray, "rows columns"] | Array) -> Images:
    """Convolves every channel with a mask.

        y[i, j] = Σ_uv h[u, v] · x[i − u, j − v],  u, v counted from the mask's centre   (1)

    Args:
        images: x.
        mask: h, one of `MASKS` or any other with odd sides.

    Returns:
        y, of the same size.

    Raises:
        UserError: a mask with an even side, or larger than the image.

    Example:
        >>> x = jnp.arange(16.0).reshape(1, 4, 4, 1)
        >>> bool((filter_images(x, MASKS["identity"]) == x).all())
        True
    """
    planes = _mirrored(images, mask.shape)
    kernel = jnp.asarray(mask, images.dtype)
    # A sum of spectra's cost does not grow with the mask; below, a sum over taps is faster.
    y = (convolve if mask.size <= 121 else fft_convolve)(planes, kernel, "valid")
    return jnp.moveaxis(y, 1, -1)


def gaussian_kernel(sigma: float, size: int | None = None) -> Float[np.ndarray, " taps"]:
    """Samples a Gaussian, and scales the samples to add up to 1.

        h[u] ∝ exp(−u² / 2σ²),  u = −(k − 1)/2 … (k − 1)/2                          (2)

    Args:
        sigma: σ, pixels.
        size: k, odd; up to 4σ on both sides when not given.

    Returns:
        h.

    Raises:
        UserError: an even size, or a σ that is not positive.

    Example:
        >>> [f"{tap:.3f}" for tap in gaussian_kernel(1.0, 3)]
        ['0.274', '0.452', '0.274']
    """
    if sigma <= 0:
        raise UserError(f"sigma is positive, in pixels, not {sigma:g}")
    taps = 2 * int(4 * sigma + 0.5) + 1 if size is None else size
    _check_odd((taps,))
    offsets = np.arange(taps) - taps // 2
    kernel = np.exp(-0.5 * (offsets / sigma) ** 2)
    return (kernel / kernel.sum()).astype(np.float32)


def gaussian_filter(images: Images, sigma: float, size: int | None = None) -> Images:
    """Smooths by a Gaussian: a pass along the columns and one along the rows.

    Args:
        images: x.
        sigma: σ, pixels.
        size: k, as in `gaussian_kernel`.

    Returns:
        y, of the same size.

    Raises:
        UserError: an even size, one larger than the image, or a σ that is not positive.

    Example:
        >>> dot = jnp.zeros((1, 3, 3, 1)).at[0, 1, 1, 0].set(1.0)
        >>> [f"{pixel:.3f}" for pixel in gaussian_filter(dot, 1.0, 3)[0, 1, :, 0]]
        ['0.124', '0.204', '0.124']
    """
    kernel = jnp.asarray(gaussian_kernel(sigma, size), images.dtype)
    return _in_passes(_mirrored(images, (kernel.size, kernel.size)), kernel, kernel)


class Gradients(NamedTuple):
    """What `sobel` finds at every pixel."""

    x: Images
    """Change from left to right."""
    y: Images
    """Change from top to bottom."""
    magnitude: Images
    """√(x² + y²)."""
    direction: Images
    """Of the steepest rise, radians: 0 to the right, π/2 down."""


def sobel(images: Images) -> Gradients:
    """Finds edges by Sobel's operator.

        g_x = [1, 2, 1]ᵀ ⊗ [1, 0, −1] * x,  g_y = [1, 0, −1]ᵀ ⊗ [1, 2, 1] * x       (3)
        |g| = √(g_x² + g_y²),  θ = atan2(g_y, g_x)                                   (4)

    Both masks are outer products, and are convolved along one axis after the other. Where an image
    is flat, the gradients of |g| and of θ are 0.

    Args:
        images: x.

    Returns:
        g_x, g_y, |g| and θ.

    Example:
        >>> ramp = jnp.broadcast_to(jnp.arange(5.0)[None, None, :, None], (1, 5, 5, 1))
        >>> edges = sobel(ramp)
        >>> [float(part[0, 2, 2, 0]) for part in edges]
        [8.0, 0.0, 8.0, 0.0]

    Source: Sobel and Feldman, 1968; Duda and Hart, "Pattern Classification and Scene Analysis",
    1973, pages 271 to 272.
    """
    smooth, change = (jnp.asarray(taps, images.dtype) for taps in ([1, 2, 1], [1, 0, -1]))
    planes = _mirrored(images, (3, 3))
    x, y = _in_passes(planes, smooth, change), _in_passes(planes, change, smooth)
    squares = jnp.square(x) + jnp.square(y)
    flat = squares == 0
    magnitude = jnp.where(flat, 0, jnp.sqrt(jnp.where(flat, 1, squares)))
    direction = jnp.arctan2(jnp.where(flat, 0, y), jnp.where(flat, 1, x))
    return Gradients(x, y, magnitude, direction)


def median_filter(images: Images, size: int = 3) -> Images:
    """Replaces each pixel by the median of the window around it.

    The k² numbers go through a network of comparisons (`median_network`), each of which is a
    minimum and a maximum of whole images.

    Args:
        images: x.
        size: k, odd, pixels.

    Returns:
        y, of the same size.

    Raises:
        UserError: an even size, or one larger than the image.

    Example:
        >>> specks = jnp.zeros((1, 5, 5, 1)).at[0, 2, 2, 0].set(9.0)
        >>> float(median_filter(specks).max())
        0.0
    """
    planes = _mirrored(images, (size, size))
    height, width = images.shape[1:3]
    wires = [planes[..., u : u + height, v : v + width] for u in range(size) for v in range(size)]
    for low, high in median_network(size**2):
        a, b = wires[low], wires[high]
        wires[low], wires[high] = jnp.minimum(a, b), jnp.maximum(a, b)
    return jnp.moveaxis(wires[size**2 // 2], 1, -1)


def median_network(count: int) -> Sequence[tuple[int, int]]:
    """Lists comparisons after which the middle one of some numbers is the median.

    They are those of Batcher's merge exchange that the middle number depends on.

    Args:
        count: how many numbers; odd.

    Returns:
        Pairs of places: the smaller number goes to the first, the larger to the second.

    Example:
        >>> numbers = [3, 1, 2]
        >>> for low, high in median_network(3):
        ...     numbers[low], numbers[high] = sorted((numbers[low], numbers[high]))
        >>> numbers[1]
        2

    Source: Knuth, "The Art of Computer Programming", volume 3, 1998, algorithm 5.2.2M.
    """
    exchanges = []
    top = 1 << (count - 1).bit_length() >> 1
    p = top
    while p:
        q, r, d = top, 0, p
        while True:
            exchanges += [(i, i + d) for i in range(count - d) if i & p == r]
            if q == p:
                break
            q, r, d = q >> 1, p, q - p
        p >>= 1
    needed, kept = {count // 2}, []
    for pair in reversed(exchanges):
        if not needed.isdisjoint(pair):
            needed.update(pair)
            kept.append(pair)
    return kept[::-1]


def low_pass(images: Images, cutoff: float) -> Images:
    """Keeps the frequencies up to a limit, in the Fourier domain.

        Y(f) = X(f) · [|f| ≤ c]                                                     (5)

    So sharp a limit leaves waves beside edges; `gaussian_low_pass` does not. In the Fourier domain
    an image goes on at the other side where it ends.

    Args:
        images: x.
        cutoff: c, cycles per pixel; 0.5 is the highest along an axis.

    Returns:
        y, of the same size.

    Raises:
        UserError: a negative limit.

    Example:
        >>> float(low_pass(jnp.eye(8)[None, :, :, None], 0.0).round(3).max())
        0.125
    """
    if cutoff < 0:
        raise UserError(f"the highest frequency is 0 or more cycles per pixel, not {cutoff:g}")
    return _respond(images, _frequencies(images) <= cutoff)


def high_pass(images: Images, cutoff: float) -> Images:
    """Keeps the frequencies above a limit: what `low_pass` takes away.

        Y(f) = X(f) · [|f| > c]                                                     (6)

    Args:
        images: x.
        cutoff: c, cycles per pixel.

    Returns:
        y, of the same size.

    Raises:
        UserError: a negative limit.

    Example:
        >>> float(high_pass(jnp.ones((1, 8, 8, 1)), 0.0).round(3).max())
        0.0
    """
    return images - low_pass(images, cutoff)


def gaussian_low_pass(images: Images, sigma: float) -> Images:
    """Smooths by a Gaussian in the Fourier domain, where it is a Gaussian too.

        Y(f) = X(f) · exp(−2π² σ² |f|²)                                             (7)

    Args:
        images: x.
        sigma: σ, pixels; the response has the deviation 1/(2πσ).

    Returns:
        y, of the same size.

    Example:
        >>> float(gaussian_low_pass(jnp.ones((1, 8, 8, 1)), 2.0).round(3).min())
        1.0
    """
    return _respond(images, np.exp(-2 * (np.pi * sigma * _frequencies(images)) ** 2))


def spectrum(images: Images) -> Images:
    """Computes how strong each frequency is, the lowest in the middle.

        |X(f)|,  X(f) = Σ_ij x[i, j] exp(−2πi (f₁ i + f₂ j))                         (8)

    Args:
        images: x.

    Returns:
        Amplitudes, of the same size.

    Example:
        >>> spectrum(jnp.ones((1, 2, 2, 1)))[0, :, :, 0].tolist()
        [[0.0, 0.0], [0.0, 4.0]]
    """
    return jnp.abs(jnp.fft.fftshift(jnp.fft.fft2(images, axes=(1, 2)), axes=(1, 2)))


def _frequencies(images: Images) -> np.ndarray:
    """Returns |f| in the layout of `rfft2`."""
    height, width = images.shape[1:3]
    return np.hypot(np.fft.fftfreq(height)[:, None], np.fft.rfftfreq(width)[None])


def _respond(images: Images, response: np.ndarray) -> Images:
    spectra = jnp.fft.rfft2(images, axes=(1, 2))
    weights = jnp.asarray(response, images.dtype)[None, :, :, None]
    return jnp.fft.irfft2(spectra * weights, images.shape[1:3], axes=(1, 2))


def _in_passes(planes: Array, down: Array, across: Array) -> Images:
    return jnp.moveaxis(separable_convolve(planes, [down, across], "valid"), 1, -1)


def _mirrored(images: Images, sides: Sequence[int]) -> Float[Array, "batch channels tall wide"]:
    """Mirrors at the borders so that masks of these sides fit at every pixel, channels first."""
    _check_odd(sides)
    height, width = images.shape[1:3]
    if sides[0] > height or sides[1] > width:
        raise UserError(
            f"a mask of {sides[0]}x{sides[1]} is larger than the image of {height}x{width}"
        )
    pads = [(side // 2, side // 2) for side in sides]
    return jnp.pad(jnp.moveaxis(images, -1, 1), [(0, 0), (0, 0), *pads], mode="symmetric")


def _check_odd(sides: Sequence[int]) -> None:
    if any(side % 2 == 0 for side in sides):
        raise UserError(f"a mask has odd sides, so that it has a centre, not {list(sides)}")
