"""Clipping against a threshold that nobody has to choose."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, Int, PyTree


class PastNorms(NamedTuple):
    """How many gradients there were, and what their norms add up to."""

    seen: Int[Array, ""]
    total: Float[Array, ""]


def clip_by_average_norm(
    factor: float = 1.0, first_updates: int = 100
) -> optax.GradientTransformation:
    """Clips gradients whose norm is above that of past updates, on the average.

        τₜ = f / t · Σ_{s<t} ‖gₛ‖                                                   (1)
        g ← g · min(1, τₜ / ‖g‖),  once t ≥ n                                       (2)

    The norms in (1) are those before clipping, but for infinite ones and NaN. An explosion to k
    times the average raises the threshold by no more than the share k/t of itself.

    Args:
        factor: f; from 0.5 to 10 in the paper.
        first_updates: n, that are only looked at; at least 1.

    Returns:
        A transformation. `optax.clip_by_global_norm` is the one with a fixed threshold.

    Example:
        >>> clip = clip_by_average_norm(first_updates=2)
        >>> state = clip.init(jnp.zeros(2))
        >>> for gradient in ([3.0, 4.0], [0.0, 15.0], [40.0, 30.0]):
        ...     clipped, state = clip.update(jnp.array(gradient), state)
        ...     print(clipped)
        [3. 4.]
        [ 0. 15.]
        [8. 6.]

    Source: Pascanu et al., 2013, https://arxiv.org/abs/1211.5063, section 3.2 and Algorithm 1.
    """

    def init(params: PyTree) -> PastNorms:
        return PastNorms(jnp.int32(0), jnp.float32(0))

    def update(updates: PyTree, state: PastNorms, params: PyTree | None = None):
        norm = optax.global_norm(updates)
        average = state.total / jnp.maximum(state.seen, 1)
        # Written so that a norm of zero divides nothing.
        clips = (state.seen >= max(first_updates, 1)) & (norm > factor * average)
        scale = jnp.where(clips, factor * average / jnp.where(clips, norm, 1.0), 1.0)
        finite = jnp.isfinite(norm)
        state = PastNorms(state.seen + finite, state.total + jnp.where(finite, norm, 0.0))
        return jax.tree.map(lambda g: (g * scale).astype(g.dtype), updates), state

    return optax.GradientTransformation(init, update)
