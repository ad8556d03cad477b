"""Unpooling: what a pooling took the maxima of, from where they were."""

from itertools import product

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from jdl.ops.pooling import max_pool, shifted_views

Images = Float[Array, "batch height width channels"]
Pooled = Float[Array, "batch rows columns channels"]
Switches = Int[Array, "batch rows columns channels"]


def max_pool_with_switches(
    images: Images, window: int = 2, stride: int | None = None
) -> tuple[Pooled, Switches]:
    """Takes the largest value of each window, and remembers where it was.

        y[i, j] = x[m],  m = argmax over 0 ≤ u, v < k of x[s·i + u, s·j + v]        (1)

    Places are counted in reading order over the whole image, as torch counts them; of equal values
    it is the first.

    Args:
        images: x.
        window: k, in pixels.
        stride: s, in pixels; the window when not given.

    Returns:
        Maxima y and switches m, (height − k) // s + 1 by (width − k) // s + 1.

    Example:
        >>> import jax.numpy as jnp
        >>> x = jnp.array([[1.0, 5.0, 2.0, 2.0], [3.0, 4.0, 0.0, 1.0]])[None, :, :, None]
        >>> [y.ravel().tolist() for y in max_pool_with_switches(x)]
        [[5.0, 2.0], [1, 2]]

    Source: Zeiler and Fergus, 2014, https://arxiv.org/abs/1311.2901, section 2.1.
    """
    stride = stride or window
    maxima = max_pool(images, window, stride)
    _, rows, columns, _ = maxima.shape
    width = images.shape[2]
    corners = stride * (width * np.arange(rows)[:, None] + np.arange(columns))
    within = np.array([u * width + v for u, v in product(range(window), range(window))])
    first = jnp.stack(shifted_views(images, window, stride)).argmax(0)
    return maxima, jnp.asarray(corners, jnp.int32)[None, :, :, None] + jnp.asarray(within)[first]


def unpool(maxima: Pooled, switches: Switches, height: int, width: int) -> Images:
    """Puts values back to where the maxima came from, and zeros everywhere else.

        x[m[i, j]] = y[i, j]                                                        (2)

    for each image and channel. Where windows overlap and had one maximum, one of their values is
    put there, as by torch.

    Args:
        maxima: y, or values that came of them.
        switches: m, of `max_pool_with_switches`.
        height: of the image that was pooled, in pixels.
        width: likewise.

    Returns:
        x.

    Example:
        >>> import jax.numpy as jnp
        >>> y, m = jnp.array([5.0, 2.0]), jnp.array([1, 2])
        >>> unpool(y.reshape(1, 1, 2, 1), m.reshape(1, 1, 2, 1), 2, 4).ravel().tolist()
        [0.0, 5.0, 2.0, 0.0, 0.0, 0.0, 0.0, 0.0]

    Source: Noh et al., 2015, https://arxiv.org/abs/1505.04366, section 3.2.1.
    """
    batch, _, _, channels = maxima.shape
    values, places = (z.reshape(batch, -1, channels) for z in (maxima, switches))
    image, _, channel = np.ogrid[:batch, :1, :channels]
    pixels = jnp.zeros((batch, height * width, channels), maxima.dtype)
    pixels = pixels.at[image, places, channel].set(values)
    return pixels.reshape(batch, height, width, channels)
