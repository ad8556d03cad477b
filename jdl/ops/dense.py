"""Product of many vectors and one matrix, whose gradient is fast on a CPU."""

from typing import Any

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float

from jdl.ops.lowering import is_for_cpu


def dot_general(x: Array, kernel: Array, dimensions: Any, **options: Any) -> Array:
    """Multiplies as `lax.dot_general`; on a CPU, in float32, with another gradient by the matrix.

        y = x w,  dw = xᵀ dy,  dx = dy wᵀ                                           (1)

    XLA's CPU compiler folds xᵀ into the product, whose loops then run along the columns of x. With
    788 tokens and from 768 to 3072 numbers, dw took 80 ms so and 42 ms with a transpose of its own,
    on one core (AVX2). From many to fewer numbers it is dy that is transposed, and the product too:
    52 and 46 ms. (A transpose of x would there cost more than it gains, for the compiler puts what
    x was computed by, such as GELU, into its loop.) With 768 tokens, from 128 to 512 numbers and
    back: 1.7 and 1.3 ms, 2.1 and 1.4 ms. It is left folded with very many vectors, where it is the
    other way round (29 and 76 ms, with 100,352 from 147 to 64 numbers).

    Args:
        x: vectors, along the last axis.
        kernel: w.
        dimensions: as `nn.Dense` gives them.
        **options: likewise.

    Returns:
        y.

    Example:
        >>> x, w = jnp.ones((2, 3)), jnp.ones((3, 5))
        >>> dot_general(x, w, (((1,), (0,)), ((), ()))).shape
        (2, 5)
    """
    vectors = x.size // x.shape[-1]
    usual = dimensions == (((x.ndim - 1,), (0,)), ((), ()))
    if usual and _is_for_transposes(vectors, *kernel.shape, x.dtype, kernel.dtype):
        return _dot(x.reshape(vectors, -1), kernel).reshape(*x.shape[:-1], -1)
    return lax.dot_general(x, kernel, dimensions, **options)


@jax.custom_vjp
def _dot(x: Float[Array, "vectors inputs"], kernel: Float[Array, "inputs outputs"]) -> Array:
    return x @ kernel


def _forward(x, kernel):
    return x @ kernel, (x, kernel)


def _backward(residuals, gradient):
    x, kernel = residuals
    return gradient @ kernel.T, _transposed_product(x, gradient)


_dot.defvjp(_forward, _backward)


def transposed_product(
    x: Float[Array, "vectors inputs"], y: Float[Array, "vectors outputs"]
) -> Float[Array, "inputs outputs"]:
    """Computes xᵀ y, as the gradient by a matrix is; on a CPU as that of `dot_general`.

    With 4,096 vectors of 256 and of 1,024 numbers, alone and at best of 30 times, 13.0 ms instead
    of 14.2, on two cores of an AMD EPYC (AVX2).

    Args:
        x: vectors.
        y: as many.

    Returns:
        The sum of their outer products.

    Example:
        >>> transposed_product(jnp.ones((7, 2)), jnp.ones((7, 3))).tolist()
        [[7.0, 7.0, 7.0], [7.0, 7.0, 7.0]]
    """
    if _is_for_transposes(*x.shape, y.shape[1], x.dtype, y.dtype):
        return _transposed_product(x, y)
    return x.T @ y


def _is_for_transposes(vectors: int, inputs: int, outputs: int, *dtypes: Any) -> bool:
    large = min(inputs, outputs) >= 128 and 256 <= vectors <= 4096
    return large and is_for_cpu() and all(dtype == jnp.float32 for dtype in dtypes)


def _transposed_product(x: Array, y: Array) -> Array:
    # Also behind the product, into which a transpose of the result would be folded, and before the
    # transpose, which is slow in one loop with what x was computed by.
    barrier = lax.optimization_barrier
    if x.shape[1] <= y.shape[1]:
        return barrier(barrier(barrier(x).T) @ y)
    return barrier(barrier(barrier(y).T) @ x).T
