"""Padded sequences."""

import jax.numpy as jnp
from jaxtyping import Array, Int


def length_before(tokens: Int[Array, "*batch steps"], end: int) -> Int[Array, "*batch"]:
    """Counts the tokens before the first `end`; all of them where there is none.

    Example:
        >>> length_before(jnp.array([[5, 6, 0, 0], [7, 8, 9, 9]]), end=0).tolist()
        [2, 4]
    """
    return jnp.cumprod(tokens != end, axis=-1).sum(-1)


def reversed_within(sequences: Array, lengths: Int[Array, " batch"]) -> Array:
    """Reverses what is there of each sequence; the padding stays where it is.

    Args:
        sequences: [batch, time, ...].
        lengths: how many steps of each are there.

    Example:
        >>> reversed_within(jnp.array([[1, 2, 3, 0]]), jnp.array([3])).tolist()
        [[3, 2, 1, 0]]
    """
    place = jnp.arange(sequences.shape[1])[None]
    source = jnp.where(place < lengths[:, None], lengths[:, None] - 1 - place, place)
    source = source.reshape(*source.shape, *(1,) * (sequences.ndim - 2))
    return jnp.take_along_axis(sequences, source, axis=1)
