"""Pooling: the maximum or the mean of each window, in torch's conventions."""

from functools import partial
from itertools import product

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Bool, Float

from jdl.errors import UserError
from jdl.ops.lowering import is_for_cpu, is_plain

Images = Float[Array, "batch height width channels"]
Pooled = Float[Array, "batch rows columns channels"]


def max_pool(
    images: Images,
    window: int = 2,
    stride: int | None = None,
    padding: int = 0,
    *,
    ceil_mode: bool = False,
) -> Pooled:
    """Takes the largest value of each window.

        y[i, j] = max over 0 ≤ u, v < k of x[s·i + u − p, s·j + v − p]              (1)

    with −∞ outside the image; windows that do not fit are left out, and of equal values the first
    in reading order gets the gradient, both as in torch. Computed as a maximum of k² shifted
    slices: on a CPU, `lax.reduce_window` took 4 to 38 times as long with its gradient for windows
    that do not overlap, and 0.7 to 6 times for windows of 3×3 with stride 2.

    Args:
        images: what is pooled.
        window: k, in pixels.
        stride: s, in pixels; the window when not given.
        padding: p, in pixels, on every side.
        ceil_mode: keep the last window that does not fit as well, unless it would start beyond the
            image and the padding before it.

    Returns:
        Maxima, (height + 2p − k) // s + 1 by (width + 2p − k) // s + 1; rounded up by `ceil_mode`.

    Example:
        >>> import jax.numpy as jnp
        >>> max_pool(jnp.arange(16.0).reshape(1, 4, 4, 1)).ravel().tolist()
        [5.0, 7.0, 13.0, 15.0]
        >>> max_pool(jnp.arange(9.0).reshape(1, 3, 3, 1), ceil_mode=True).ravel().tolist()
        [4.0, 5.0, 7.0, 8.0]
    """
    stride = stride or window
    rows, columns = (
        _overhang(size, window, stride, padding) if ceil_mode else 0 for size in images.shape[1:3]
    )
    if padding or rows or columns:
        pads = [(0, 0), (padding, padding + rows), (padding, padding + columns), (0, 0)]
        images = jnp.pad(images, pads, constant_values=-jnp.inf)
    if is_plain():
        sizes = (1, window, window, 1), (1, stride, stride, 1)
        return lax.reduce_window(images, -jnp.inf, lax.max, *sizes, "VALID")
    return _max_pool(images, window, stride)


def _overhang(size: int, window: int, stride: int, padding: int) -> int:
    """Returns by how many pixels the last window of `ceil_mode` sticks out of the padding."""
    steps = -(-(size + 2 * padding - window) // stride)
    if steps * stride >= size + padding:
        steps -= 1
    return max(steps * stride + window - size - 2 * padding, 0)


def avg_pool(
    images: Images,
    window: int = 2,
    stride: int | None = None,
    padding: int = 0,
    *,
    count_padding: bool = True,
) -> Pooled:
    """Takes the mean of each window, in which padded zeros count, as in torch.

        y[i, j] = 1/k² · Σ over 0 ≤ u, v < k of x[s·i + u − p, s·j + v − p]         (2)

    Where they do not count, as in TensorFlow, the number of pixels in the image takes the place of
    k².

    Args:
        images: what is pooled.
        window: k, in pixels.
        stride: s, in pixels; the window when not given.
        padding: p, in pixels, on every side.
        count_padding: whether padded zeros count.

    Returns:
        Means, (height + 2p − k) // s + 1 by (width + 2p − k) // s + 1.

    Example:
        >>> import jax.numpy as jnp
        >>> avg_pool(jnp.arange(16.0).reshape(1, 4, 4, 1)).ravel().tolist()
        [2.5, 4.5, 10.5, 12.5]
        >>> avg_pool(jnp.ones((1, 1, 2, 1)), 3, 1, 1, count_padding=False).ravel().tolist()
        [1.0, 1.0]
    """
    stride = stride or window
    batch, height, width, channels = images.shape
    if window == stride and not padding and not height % window and not width % window:
        # Its gradient is a broadcast; that of slices would be computed for each of them anew.
        blocks = (batch, height // window, window, width // window, window, channels)
        return images.reshape(blocks).mean((2, 4))
    counts = np.full((1, 1, 1, 1), window**2, np.float32)
    if padding and not count_padding:
        rows, columns = (_counts(size, window, stride, padding) for size in images.shape[1:3])
        counts = np.multiply.outer(rows, columns)[None, :, :, None]
    if padding:
        images = jnp.pad(images, [(0, 0), (padding, padding), (padding, padding), (0, 0)])
    sums = jax.tree.reduce(jnp.add, shifted_views(images, window, stride))
    return sums / counts.astype(sums.dtype)


def _counts(size: int, window: int, stride: int, padding: int) -> np.ndarray:
    """Returns how many pixels of an axis are in each window."""
    starts = np.arange(-padding, size + padding - window + 1, stride)
    return np.minimum(starts + window, size) - np.maximum(starts, 0)


def sum_pool(
    images: Images, window: int = 2, stride: int | None = None, padding: int = 0
) -> Pooled:
    """Adds up each window.

        y[i, j] = Σ over 0 ≤ u, v < k of x[s·i + u − p, s·j + v − p]                (3)

    Args:
        images: what is pooled.
        window: k, in pixels.
        stride: s, in pixels; the window when not given, and smaller where windows overlap.
        padding: p, in pixels, on every side.

    Returns:
        Sums, (height + 2p − k) // s + 1 by (width + 2p − k) // s + 1.

    Example:
        >>> sum_pool(jnp.ones((1, 4, 4, 1))).ravel().tolist()
        [4.0, 4.0, 4.0, 4.0]
    """
    return window**2 * avg_pool(images, window, stride, padding)


def adaptive_avg_pool(images: Images, rows: int, columns: int) -> Pooled:
    """Takes the mean of as many windows as are asked for, spread over the image as torch does.

        y[i, j] = mean of x[⌊i·h/r⌋ : ⌈(i + 1)·h/r⌉, ⌊j·w/c⌋ : ⌈(j + 1)·w/c⌉]       (4)

    Windows are of different sizes and overlap where the size is no multiple of their number, and an
    image smaller than that is repeated.

    Args:
        images: x, h pixels high and w wide.
        rows: r, of the result.
        columns: c, of the result.

    Returns:
        y.

    Example:
        >>> import jax.numpy as jnp
        >>> adaptive_avg_pool(jnp.arange(5.0).reshape(1, 5, 1, 1), 2, 1).ravel().tolist()
        [1.0, 3.0]
    """
    return _spread_means(_spread_means(images, 1, rows), 2, columns)


def _spread_means(images: Array, axis: int, count: int) -> Array:
    """Takes the means (4) along one axis."""
    size = images.shape[axis]
    if size == count:
        return images
    if size % count == 0:
        shape = (*images.shape[:axis], count, size // count, *images.shape[axis + 1 :])
        return images.reshape(shape).mean(axis + 1)
    windows = [
        lax.slice_in_dim(images, i * size // count, -(-(i + 1) * size // count), axis=axis)
        for i in range(count)
    ]
    return jnp.stack([window.mean(axis) for window in windows], axis)


def global_pool(images: Images, kind: str = "avg") -> Float[Array, "batch channels"]:
    """Leaves one number of each channel: the mean over all pixels, the largest, or half of both.

        avg: y = 1/hw · Σᵢⱼ x[i, j];  max: y = maxᵢⱼ x[i, j];  avgmax: y = (avg + max) / 2   (5)

    Args:
        images: x, h pixels high and w wide.
        kind: "avg", "max" or "avgmax".

    Returns:
        y.

    Raises:
        UserError: another kind.

    Example:
        >>> x = jnp.arange(4.0).reshape(1, 2, 2, 1)
        >>> [float(global_pool(x, kind)[0, 0]) for kind in ("avg", "max", "avgmax")]
        [1.5, 3.0, 2.25]

    Source: timm (https://github.com/huggingface/pytorch-image-models), `SelectAdaptivePool2d`.
    """
    if kind == "avg":
        return images.mean((1, 2))
    if kind == "max":
        return images.max((1, 2))
    if kind == "avgmax":
        return 0.5 * (images.mean((1, 2)) + images.max((1, 2)))
    raise UserError(f"global_pool is one of avg, max and avgmax, not {kind!r}")


def stochastic_pool(
    images: Images, window: int = 2, stride: int | None = None, *, key: Array | None = None
) -> Pooled:
    """Draws one value of each window, the larger the likelier; at test time takes their mean.

        p_i = a_i / Σ_k a_k  within a window                                        (6)
        training: y = a_l, l ~ p;  test: y = Σ_i p_i a_i                            (7)

    Args:
        images: a, activations that are not negative, as after a ReLU. Windows of zeros give 0.
        window: in pixels.
        stride: in pixels; the window when not given.
        key: of the draws; without one, it is test time.

    Returns:
        y. Its gradient goes to the value drawn; at test time p is differentiated too.

    Example:
        >>> a = jnp.array([[1.0, 0.0], [0.0, 3.0]]).reshape(1, 2, 2, 1)
        >>> float(stochastic_pool(a)[0, 0, 0, 0])
        2.5
        >>> float(stochastic_pool(a, key=jax.random.key(0))[0, 0, 0, 0]) in (1.0, 3.0)
        True

    Source: Zeiler and Fergus, 2013, https://arxiv.org/abs/1301.3557, equations (4) to (6).
    """
    places = jnp.stack(shifted_views(images, window, stride or window))
    if key is None:
        total = places.sum(0)
        return jnp.square(places).sum(0) / jnp.where(total > 0, total, 1)
    drawn = jax.random.categorical(key, jnp.log(lax.stop_gradient(places)), axis=0)
    return jnp.take_along_axis(places, drawn[None], 0)[0]


@partial(jax.custom_vjp, nondiff_argnums=(1, 2))
def _max_pool(images: Images, window: int, stride: int) -> Pooled:
    first, *others = shifted_views(images, window, stride)
    return jax.tree.reduce(jnp.maximum, others, first)


def _max_pool_forward(images, window, stride):
    maxima = _max_pool(images, window, stride)
    return maxima, (images, maxima)


def _max_pool_backward(window, stride, residuals, gradient):
    images, maxima = residuals

    def by_images(images, maxima, gradient):
        hits = _first_hits(images, maxima, window, stride)
        return _scatter(images, hits, gradient, window, stride)

    # XLA's CPU compiler would compute what the gradient is a sum of once for each place in the
    # window, if the operands of a loop were not computed before it: 1/15 of DenseNet-121's step.
    # The loop is over halves of the channels, which no device mesh divides.
    if window != stride and is_for_cpu() and images.shape[3] % 2 == 0:
        halves = [_halves(z) for z in (images, maxima, gradient)]
        pixels = lax.map(lambda half: by_images(*half), tuple(halves))
        return (jnp.moveaxis(pixels, 0, 3).reshape(images.shape),)
    return (by_images(images, maxima, gradient),)


def _halves(x: Images) -> Float[Array, "2 batch height width half"]:
    return jnp.moveaxis(x.reshape(*x.shape[:3], 2, -1), 3, 0)


def _first_hits(
    images: Images, maxima: Pooled, window: int, stride: int
) -> list[Bool[Array, "batch rows columns channels"]]:
    """Returns, for each place in the window, where the window's first maximum is."""
    taken = jnp.zeros(maxima.shape, bool)
    hits = []
    for shifted in shifted_views(images, window, stride):
        hits.append((shifted == maxima) & ~taken)
        taken |= hits[-1]
    return hits


def _scatter(images, hits, gradient, window, stride):
    """Adds up, for each pixel, the gradients of the windows whose first maximum it is."""
    _, height, width, _ = images.shape
    _, rows, columns, _ = gradient.shape
    parts = [jnp.where(hit, gradient, 0) for hit in hits]
    if window == stride:  # every pixel is in one window: interleave instead of adding
        grid = [jnp.stack(parts[u * window : (u + 1) * window], 3) for u in range(window)]
        pixels = jnp.stack(grid, 2).reshape(
            gradient.shape[0], rows * window, columns * window, gradient.shape[3]
        )
        rest = [(0, 0), (0, height - rows * window), (0, width - columns * window), (0, 0)]
        return jnp.pad(pixels, rest)

    def placed(part, u, v):
        after = height - u - (rows - 1) * stride - 1, width - v - (columns - 1) * stride - 1
        spread = [(0, 0, 0), (u, after[0], stride - 1), (v, after[1], stride - 1), (0, 0, 0)]
        return lax.pad(part, jnp.zeros((), part.dtype), spread)

    places = product(range(window), range(window))
    return sum(placed(part, u, v) for part, (u, v) in zip(parts, places, strict=True))


_max_pool.defvjp(_max_pool_forward, _max_pool_backward)


def shifted_views(images: Images, window: int, stride: int) -> list[Pooled]:
    """Returns k² strided views of images: for each place in a window, in reading order.

    Args:
        images: what is pooled.
        window: k, in pixels.
        stride: from one window to the next, in pixels.

    Raises:
        UserError: the images are smaller than the window.

    Example:
        >>> x = jnp.arange(4.0).reshape(1, 1, 4, 1)
        >>> [view.ravel().tolist() for view in shifted_views(x, 1, 2)]
        [[0.0, 2.0]]
    """
    if min(images.shape[1:3]) < window:
        raise UserError(
            f"maps of {images.shape[1]}x{images.shape[2]} pixels are pooled by windows of "
            f"{window}x{window}: the images are too small for this network"
        )
    rows = (images.shape[1] - window) // stride + 1
    columns = (images.shape[2] - window) // stride + 1
    return [
        images[
            :, u : u + (rows - 1) * stride + 1 : stride, v : v + (columns - 1) * stride + 1 : stride
        ]
        for u, v in product(range(window), range(window))
    ]
