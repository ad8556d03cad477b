"""Positions as vectors."""

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from jdl.errors import UserError


def sinusoids(positions: Int[Array, "*shape"], width: int) -> Float[Array, "*shape width"]:
    """Returns the sines and cosines, interleaved, that tell a Transformer where a word stands.

        PE(p, 2i) = sin(p / 10000^(2i/d)),  PE(p, 2i + 1) = cos(p / 10000^(2i/d))   (1)

    Args:
        positions: p, from 0.
        width: d, even.

    Returns:
        One vector for each position.

    Raises:
        UserError: an odd width.

    Example:
        >>> sinusoids(jnp.array([0, 1]), 4).round(3)
        Array([[0.   , 1.   , 0.   , 1.   ],
               [0.841, 0.54 , 0.01 , 1.   ]], dtype=float32)

    Source: Vaswani et al., 2017, https://arxiv.org/abs/1706.03762, section 3.5.
    """
    if width % 2:
        raise UserError(f"sines and cosines go in pairs: a width of {width} is odd")
    frequencies = jnp.asarray(10_000.0 ** (-np.arange(0, width, 2) / width), jnp.float32)
    angles = positions[..., None] * frequencies.reshape((1,) * positions.ndim + (-1,))
    pairs = jnp.stack([jnp.sin(angles), jnp.cos(angles)], axis=-1)
    return pairs.reshape(*positions.shape, width)
