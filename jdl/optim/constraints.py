"""Constraints that every update is projected back on."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, PyTree


def renormalize_filters(radius: float = 0.1) -> optax.GradientTransformation:
    """Keeps the root mean square of every convolution filter at or below a radius.

        w ← w · min(1, r / √(mean w²))                                              (1)

    over each filter's height, width and input channels. Without it, Zeiler and Fergus found, a few
    filters of the first layer come to dominate. Put it last in an `optax.chain`.

    Args:
        radius: r.

    Returns:
        A transformation that needs the parameters; kernels are leaves of three dimensions or more.

    Example:
        >>> kernel = jnp.ones((3, 3, 2, 4))
        >>> limit = renormalize_filters(0.5)
        >>> update, _ = limit.update(jnp.zeros_like(kernel), limit.init(kernel), kernel)
        >>> float((kernel + update).max())
        0.5

    Source: Zeiler and Fergus, 2014, https://arxiv.org/abs/1311.2901, section 3.1.
    """

    def project(weights: Array) -> Array:
        rms = jnp.sqrt(jnp.square(weights).mean(_inputs(weights), keepdims=True))
        return weights * jnp.minimum(1, radius / jnp.maximum(rms, 1e-12))

    return optax.stateless(lambda updates, params: _project(project, 3, updates, params))


def max_norm(radius: float = 3.0) -> optax.GradientTransformation:
    """Keeps the norm of the weights that come into every unit at or below a radius.

        w ← w · min(1, c / ‖w‖₂)                                                    (1)

    for the weights w of one unit: a column of a dense kernel, a filter of a convolution. Put it
    last in an `optax.chain`. It lets dropout be trained at large rates.

    Args:
        radius: c; 3 to 4 in the paper.

    Returns:
        A transformation that needs the parameters; biases and scales are left as they are.

    Example:
        >>> kernel = jnp.array([[3.0, 0.3], [4.0, 0.4]])
        >>> limit = max_norm(1.0)
        >>> update, _ = limit.update(jnp.zeros_like(kernel), limit.init(kernel), kernel)
        >>> jnp.linalg.norm(kernel + update, axis=0).round(3).tolist()
        [1.0, 0.5]

    Source: Srivastava et al., 2014, https://jmlr.org/papers/v15/srivastava14a.html, section 5.1.
    """

    def project(weights: Array) -> Array:
        norm = jnp.sqrt(jnp.square(weights).sum(_inputs(weights), keepdims=True))
        return weights * jnp.minimum(1, radius / jnp.maximum(norm, 1e-12))

    return optax.stateless(lambda updates, params: _project(project, 2, updates, params))


def soft_threshold(threshold: optax.ScalarOrSchedule) -> optax.GradientTransformation:
    """Minimises an ℓ1 penalty λ Σ|w| exactly: every update ends with its proximal step.

        w ← sign(w) · max(|w| − γ λ, 0)                                             (1)

    Put it last in an `optax.chain`; γ is the rate of the gradient step before it. The gradient of
    the penalty, λ sign(w), would have weights flicker around zero: here they become zero.

    Args:
        threshold: γ λ, or its schedule.

    Returns:
        A transformation that needs the parameters; it acts on kernels, of two dimensions or more.

    Example:
        >>> kernel = jnp.array([[3.0, -0.2, -2.0]])
        >>> shrink = soft_threshold(0.5)
        >>> update, _ = shrink.update(jnp.zeros_like(kernel), shrink.init(kernel), kernel)
        >>> (kernel + update).tolist()
        [[2.5, 0.0, -1.5]]

    Source: Daubechies et al., 2004, https://arxiv.org/abs/math/0307152, equation 1.4.
    """

    def init(params: PyTree) -> optax.ScaleByScheduleState:
        return optax.ScaleByScheduleState(jnp.int32(0))

    def update(updates: PyTree, state: optax.ScaleByScheduleState, params: PyTree | None = None):
        reach = threshold(state.count) if callable(threshold) else threshold

        def project(weights: Array) -> Array:
            return jnp.sign(weights) * jnp.maximum(jnp.abs(weights) - reach, 0)

        updates = _project(project, 2, updates, params)
        return updates, optax.ScaleByScheduleState(state.count + 1)

    return optax.GradientTransformation(init, update)


def _inputs(weights: Array) -> tuple[int, ...]:
    """The axes of a kernel over which one unit adds up: all but the last."""
    return tuple(range(weights.ndim - 1))


def _project(
    project: Callable[[Array], Array], least_ndim: int, updates: PyTree, params: PyTree | None
) -> PyTree:
    """Has updates end where the projection of their kernels lies."""
    if params is None:
        raise ValueError("a constraint needs the parameters")

    def ending_there(update: Array, weights: Array) -> Array:
        return update if update.ndim < least_ndim else project(weights + update) - weights

    return jax.tree.map(ending_there, updates, params)
