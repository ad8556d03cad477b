"""Initialisers that Flax lacks."""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
from flax.typing import Initializer
from jax.typing import DTypeLike


def uniform_by_fan_in(fan_in: int) -> Initializer:
    """Draws from U(−2.4/F, 2.4/F).

    Args:
        fan_in: F, the number of inputs of a unit; the shape of the weights does not say it where
            weights are shared or a unit sees a part of the maps.

    Returns:
        An initialiser.

    Example:
        >>> weights = uniform_by_fan_in(24)(jax.random.key(0), (1000,))
        >>> bool((0.09 < abs(weights).max()) & (abs(weights).max() < 0.1))
        True

    Source: LeCun et al., 1998, http://yann.lecun.com/exdb/publis/pdf/lecun-98.pdf, Appendix A.
    """

    def init(key: jax.Array, shape: Sequence[int], dtype: DTypeLike = jnp.float32) -> jax.Array:
        return jax.random.uniform(key, shape, dtype, -2.4 / fan_in, 2.4 / fan_in)

    return init
