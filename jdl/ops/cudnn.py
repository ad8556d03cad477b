"""cuDNN's LSTM, where JAX offers it: on NVIDIA GPUs."""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
from jax.experimental import rnn
from jaxtyping import Array, Float, Int

from jdl.ops.lowering import is_plain

Layer = tuple[Array, Array, Array]  # W_ih, W_hh, bias, as `jdl.ops.recurrent.lstm` takes them


def is_available() -> bool:
    """Tells whether computations go to a GPU whose cuDNN JAX can call.

    Example:
        >>> is_available() and jax.default_backend() != "gpu"
        False
    """
    return not is_plain() and jax.default_backend() == "gpu" and rnn.gpu_rnn is not None


def pack(directions: Sequence[Layer]) -> Float[Array, " weights"]:
    """Lays the weights of a layer out as cuDNN wants them: all matrices, then all biases.

    Args:
        directions: of one or two directions, gates in the order i, f, g, o.

    Returns:
        One vector. cuDNN's second bias is zero.

    Example:
        >>> matrices = jnp.ones((12, 2)), jnp.ones((12, 3)), jnp.ones(12)
        >>> pack([matrices]).shape
        (84,)
    """
    matrices = [matrix.reshape(-1) for w_ih, w_hh, _ in directions for matrix in (w_ih, w_hh)]
    biases = [part for _, _, bias in directions for part in (bias, jnp.zeros_like(bias))]
    return jnp.concatenate([*matrices, *biases])


def lstm(
    inputs: Float[Array, "batch time features"],
    directions: Sequence[Layer],
    hidden: Float[Array, "directions batch hidden"],
    cell: Float[Array, "directions batch hidden"],
    lengths: Int[Array, " batch"],
) -> tuple[
    Float[Array, "batch time outputs"],
    Float[Array, "directions batch hidden"],
    Float[Array, "directions batch hidden"],
]:
    """Runs one layer of long short-term memories, in one or both directions.

    That the weights are where cuDNN looks for them is tested against JAX's own reference of it; the
    call itself has not been run on a GPU yet.

    Args:
        inputs: one vector per step.
        directions: weights of each.
        hidden: states to start from.
        cell: cells to start from.
        lengths: steps that are there.

    Returns:
        Hidden states at all steps, the directions side by side; the last hidden states; the last
        cells.
    """
    size = hidden.shape[-1]
    # cuDNN wants a step of every sequence; those without one are put right afterwards.
    outputs, last_hidden, last_cell = rnn.lstm(
        inputs,
        hidden,
        cell,
        pack(directions),
        jnp.maximum(lengths, 1).astype(jnp.int32),
        inputs.shape[-1],
        size,
        1,
        0.0,
        len(directions) == 2,
    )
    empty = (lengths == 0)[None, :, None]
    return (
        jnp.where(empty.reshape(-1, 1, 1), 0, outputs),
        jnp.where(empty, hidden, last_hidden),
        jnp.where(empty, cell, last_cell),
    )
