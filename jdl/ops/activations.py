"""Activation functions: the one that JAX lacks, and all of the lectures' by name."""

from functools import partial

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float


def scaled_tanh(x: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
    """Returns 1.7159 tanh(2x/3): ±1 at ±1, where its curvature is largest.

    Args:
        x: of any shape.

    Returns:
        Numbers from −1.7159 to 1.7159.

    Example:
        >>> scaled_tanh(jnp.array([0.0, 1.0])).round(3).tolist()
        [0.0, 1.0]

    Source: LeCun et al., 1998, http://yann.lecun.com/exdb/publis/pdf/lecun-98.pdf, Appendix A.
    """
    return 1.7159 * jnp.tanh(2 / 3 * x)


ACTIVATIONS = {
    "sign": jnp.sign,
    "sigmoid": jax.nn.sigmoid,
    "tanh": jnp.tanh,
    "scaled_tanh": scaled_tanh,
    "relu": jax.nn.relu,
    "softplus": jax.nn.softplus,
    "leaky_relu": partial(jax.nn.leaky_relu, negative_slope=0.1),
    "elu": jax.nn.elu,
}
"""The activations of the lectures; the slope of leaky ReLU is 0.1 below 0."""
