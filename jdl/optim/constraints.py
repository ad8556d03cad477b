"""Constraints that every update is projected back on."""

import jax
import jax.numpy as jnp
import optax
from jaxtyping import PyTree


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

    def project(update: jax.Array, weights: jax.Array) -> jax.Array:
        if weights.ndim < 3:
            return update
        new = weights + update
        rms = jnp.sqrt(jnp.square(new).mean(tuple(range(new.ndim - 1)), keepdims=True))
        return new * jnp.minimum(1, radius / jnp.maximum(rms, 1e-12)) - weights

    def update(updates: PyTree, state: PyTree, params: PyTree | None = None):
        if params is None:
            raise ValueError("renormalize_filters needs the parameters")
        return jax.tree.map(project, updates, params), state

    return optax.GradientTransformation(lambda _: optax.EmptyState(), update)
