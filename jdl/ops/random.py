"""Random draws that do not depend on how a batch is cut over devices."""

import jax
from jaxtyping import Array, Int, Key


def per_example_keys(key: Key[Array, ""], rows: Int[Array, " batch"]) -> Key[Array, " batch"]:
    """Derives one key for each example from its row number in the global batch.

        keyᵢ = fold_in(key, rowᵢ)                                                   (1)

    Whoever holds row i, on whichever device or host, draws the same numbers for it.

    Args:
        key: the step's key.
        rows: row numbers in the global batch, `batch["row"]`.

    Returns:
        A key for each example.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> keys = per_example_keys(jax.random.key(0), jnp.arange(4))
        >>> half = per_example_keys(jax.random.key(0), jnp.arange(2, 4))
        >>> bool((keys[2:] == half).all())
        True
    """
    return jax.vmap(jax.random.fold_in, in_axes=(None, 0))(key, rows)


def piece_key(key: Key[Array, ""], rows: Int[Array, " batch"]) -> Key[Array, ""]:
    """Derives the key of what is drawn for a whole piece of a batch at once, as dropout masks are.

        key' = fold_in(key, row₀)                                                   (1)

    Micro-batches and mapped devices hold different rows, so none drops what another drops.

    Args:
        key: the step's key.
        rows: the piece's row numbers in the global batch.

    Returns:
        A key for the piece.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> one, two = (piece_key(jax.random.key(0), jnp.arange(4) + i) for i in range(2))
        >>> bool(one == two)
        False
    """
    return jax.random.fold_in(key, rows[0])
