"""How many edits turn one sequence into another."""

import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Int


def edit_distance(
    first: Int[Array, "*batch steps"],
    first_length: Int[Array, "*batch"],
    second: Int[Array, "*batch others"],
    second_length: Int[Array, "*batch"],
) -> Int[Array, "*batch"]:
    """Counts the insertions, deletions and substitutions between sequences (Levenshtein).

        d(i, 0) = i,  d(0, j) = j                                                   (1)
        d(i, j) = min(d(i−1, j) + 1, d(i, j−1) + 1, d(i−1, j−1) + [aᵢ ≠ bⱼ])         (2)

    Args:
        first: a, padded at its end with anything.
        first_length: how much of a is there.
        second: b, padded alike.
        second_length: how much of b is there.

    Returns:
        d at both lengths.

    Example:
        >>> kitten, sitting = (jnp.array([list(map(ord, w))]) for w in ("kitten", "sitting"))
        >>> edit_distance(kitten, jnp.array([6]), sitting, jnp.array([7])).tolist()
        [3]

    Source: Levenshtein, 1966; Wagner and Fischer, 1974, https://doi.org/10.1145/321796.321811.
    """
    place = jnp.arange(second.shape[-1] + 1)
    start = jnp.broadcast_to(place, (*second.shape[:-1], len(place)))  # (1)

    def row(above, symbol):
        changed = above[..., :-1] + (symbol[..., None] != second)
        best = jnp.minimum(above[..., 1:] + 1, changed)
        best = jnp.concatenate([above[..., :1] + 1, best], axis=-1)
        # min over k ≤ j of best(k) + (j − k): what the insertions of (2) amount to.
        place_too = place.reshape((1,) * (best.ndim - 1) + (-1,))
        best = lax.cummin(best - place_too, axis=best.ndim - 1) + place_too
        return best, best

    _, rows = lax.scan(row, start, jnp.moveaxis(first, -1, 0))
    rows = jnp.moveaxis(jnp.concatenate([start[None], rows]), 0, -2)
    rows = jnp.take_along_axis(rows, first_length[..., None, None], axis=-2)[..., 0, :]
    return jnp.take_along_axis(rows, second_length[..., None], axis=-1)[..., 0]
