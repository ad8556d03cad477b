"""Activation functions: what JAX lacks of them, and all of the lectures' by name."""

from functools import partial

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jdl.ops.lowering import is_for_cpu

# Of x in the numerator and of 1 in the denominator, by falling powers of x².
_NUMERATOR = (
    -2.76076847742355e-16,
    2.00018790482477e-13,
    -8.60467152213735e-11,
    5.12229709037114e-08,
    1.48572235717979e-05,
    6.37261928875436e-04,
    4.89352455891786e-03,
)
_DENOMINATOR = (
    1.19825839466702e-06,
    1.18534705686654e-04,
    2.26843463243900e-03,
    4.89352518554385e-03,
)
_SATURATION = 7.90531110763549805


@jax.custom_jvp
def tanh(x: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
    """Returns tanh x, of float32 on a CPU by arithmetic that XLA shares among its threads.

        tanh x = x p(x²) / q(x²)  within ±7.9,  p and q polynomials                  (1)
        d tanh x / dx = 1 − tanh² x                                                 (2)

    XLA computes `jnp.tanh` by (1) too, with the same largest relative error, 3.1e−7, but counts no
    arithmetic for it, and so leaves a recurrent network's few thousand numbers to one thread. The
    others fall asleep, and the next product waits until they are awake: `benchmarks/lstm.py` took
    55 ms so, and 48 by this.

    Args:
        x: of any shape.

    Returns:
        Numbers from −1 to 1.

    Example:
        >>> x = jnp.array([-100.0, 0.0, 1.0])
        >>> bool(jnp.allclose(tanh(x), jnp.tanh(x)))
        True

    Source: the rational minimax approximation of Eigen, https://eigen.tuxfamily.org.
    """
    if x.dtype != jnp.float32 or not is_for_cpu():
        return jnp.tanh(x)
    x = jnp.clip(x, -_SATURATION, _SATURATION)
    p, q = (jnp.polyval(jnp.array(c, x.dtype), x**2) for c in (_NUMERATOR, _DENOMINATOR))
    return x * p / q


@tanh.defjvp
def _tanh_jvp(primals, tangents):
    y = tanh(*primals)
    return y, (1 - y**2) * tangents[0]


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
