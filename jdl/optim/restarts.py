"""Restarts of an optimiser and its schedule, from the best weights so far."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, Int, PyTree

from jdl.errors import UserError


class Restarting(NamedTuple):
    """The optimiser's state, and the best weights so far with their loss."""

    inner: PyTree
    best: PyTree
    best_loss: Float[Array, ""]
    total: Float[Array, ""]
    step: Int[Array, ""]


def restart_from_best(
    optimizer: optax.GradientTransformation, period: int, window: int = 1
) -> optax.GradientTransformationExtraArgs:
    """Begins anew every so often, from the weights that had the smallest loss.

        ℓ = mean of the losses of w updates in a row, which end with the one at θ   (1)
        θ*, ℓ* ← θ, ℓ  where ℓ < ℓ*                                                 (2)
        θ ← θ*, and the optimiser's state is that of its beginning, every T updates  (3)

    So the optimiser's schedule starts again too, from its largest rate, and momentum from rest.

    Args:
        optimizer: with a schedule that counts T updates.
        period: T.
        window: w; of mini-batches, one loss alone says little. It divides T.

    Returns:
        A transformation that is told the loss: `update(gradients, state, params, value=loss)`, as
        `jdl.tasks.classification` does.

    Raises:
        UserError: a window that does not divide the period; in use, a task that tells no loss.

    Example:
        >>> optimizer = restart_from_best(optax.sgd(1.0), period=2)
        >>> w, state = jnp.array(5.0), optimizer.init(jnp.array(5.0))
        >>> for loss in (1.0, 9.0, 4.0):
        ...     update, state = optimizer.update(jnp.array(1.0), state, w, value=jnp.array(loss))
        ...     w = w + update
        ...     print(float(w))  # After two updates it is back where the loss was 1.
        4.0
        5.0
        4.0

    Source: Loshchilov and Hutter, 2017, https://arxiv.org/abs/1608.03983, for warm restarts of the
    schedule; theirs go on from the last weights.
    """
    if window < 1 or period < 1 or period % window:
        raise UserError(f"a window of {window} updates does not divide a period of {period}")
    inner = optax.with_extra_args_support(optimizer)

    def init(params: PyTree) -> Restarting:
        # A copy of its own: the state is donated, and no buffer can be given away twice.
        best = jax.tree.map(jnp.copy, params)
        return Restarting(
            inner.init(params), best, jnp.float32(jnp.inf), jnp.float32(0), jnp.int32(0)
        )

    def update(
        updates: PyTree,
        state: Restarting,
        params: PyTree | None = None,
        *,
        value: Array | None = None,
        **extra: Any,
    ):
        if value is None or params is None:
            raise UserError("restart_from_best is told no loss by this task, and needs it")
        total, step = state.total + value, state.step + 1
        full = step % window == 0
        better = full & (total / window < state.best_loss)
        best_loss = jnp.where(better, total / window, state.best_loss)
        best = jax.tree.map(lambda new, old: jnp.where(better, new, old), params, state.best)
        updates, within = jax.lax.cond(
            step % period == 0,
            lambda: (jax.tree.map(jnp.subtract, best, params), inner.init(best)),
            lambda: inner.update(updates, state.inner, params, value=value, **extra),
        )
        return updates, Restarting(within, best, best_loss, jnp.where(full, 0.0, total), step)

    return optax.GradientTransformationExtraArgs(init, update)
