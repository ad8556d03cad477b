"""Initialisers that Flax lacks."""

from collections.abc import Callable, Sequence
from typing import Literal

import flax.linen as nn
import jax
import jax.numpy as jnp
from flax.typing import Initializer
from jax.typing import DTypeLike

from jdl.errors import UserError


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


def orthogonal(key: jax.Array, shape: Sequence[int], dtype: DTypeLike = jnp.float32) -> jax.Array:
    """Draws a square matrix whose columns are at right angles, evenly among all of them.

    Columns of normal numbers, from each of which those before it are taken away, twice, because
    once leaves too much of them in float32:

        v ← v − Q Qᵀ v,  v ← v − Q Qᵀ v,  Q ← [Q, v / |v|]                          (1)

    These are the numbers of Flax's `orthogonal`, which asks LAPACK for them. On a processor with
    two threads, two such calls of one program wait for each other for ever (jaxlib 0.10.2).

    Args:
        key: of the normal numbers.
        shape: of the matrix.
        dtype: of its numbers.

    Returns:
        Q.

    Example:
        >>> q = orthogonal(jax.random.key(0), (8, 8))
        >>> bool(jnp.allclose(q.T @ q, jnp.eye(8), atol=1e-6))
        True

    Source: Saxe et al., 2014, https://arxiv.org/abs/1312.6120; (1): Giraud et al., 2005,
    https://doi.org/10.1007/s00211-005-0615-4.
    """
    normal = jax.random.normal(key, shape, jnp.float32)

    def add_column(i, q):
        v = normal[:, i]
        v -= q @ (q.T @ v)
        v -= q @ (q.T @ v)
        return q.at[:, i].set(v / jnp.linalg.norm(v))

    return jax.lax.fori_loop(0, shape[1], add_column, jnp.zeros_like(normal)).astype(dtype)


def kumar(
    activation: Callable[[jax.Array], jax.Array],
    distribution: Literal["normal", "uniform"] = "normal",
) -> Initializer:
    """Draws weights that keep the variance of what any activation gives at 1.

        σ² = 1 / (N · g′(0)² · (1 + g(0)²))                                         (1)

    of N(0, σ²) or U(−√3 σ, √3 σ), where N is the number of inputs of a unit. For the identity and
    tanh this is Xavier's σ² = 1/N; ReLU, which has no derivative at 0, wants He's σ² = 2/N, which
    Flax has as `he_normal` and `he_uniform`.

    Args:
        activation: g, differentiable at 0, where it is not flat.
        distribution: which of both.

    Returns:
        An initialiser.

    Raises:
        UserError: g is flat at 0.

    Example:
        >>> weights = kumar(jax.nn.sigmoid)(jax.random.key(0), (100, 1000))
        >>> round(float(weights.var() * 100 * (1 / 4) ** 2 * (1 + 1 / 4)), 2)
        1.0

    Source: Kumar, 2017, https://arxiv.org/abs/1704.08863, equation (13).
    """
    value, slope = jax.value_and_grad(lambda x: activation(x).astype(jnp.float32))(0.0)
    if slope == 0:
        raise UserError("an activation that is flat at 0 has no variance to keep")
    scale = 1 / (float(slope) ** 2 * (1 + float(value) ** 2))
    return nn.initializers.variance_scaling(
        scale, "fan_in", "uniform" if distribution == "uniform" else "normal"
    )
