"""Which pixels a score depends on: its gradient on the picture, and guided backpropagation."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jdl.errors import UserError
from jdl.explore.interpreter import count_rectifiers, with_rectifier

Images = Float[Array, "batch height width channels"]
Score = Callable[[Images], Float[Array, " batch"]]


def input_gradient(score: Score, images: Images) -> Images:
    """Differentiates a score on the pixels.

        S = ∂f(x)/∂x                                                                (1)

    Going back through y = max(x, 0), what comes from above is stopped where x ≤ 0:

        ∂f/∂x = 1[x > 0] · ∂f/∂y                                                    (2)

    Args:
        score: f, of each image on its own.
        images: x.

    Returns:
        S.

    Example:
        >>> brightness = lambda images: jnp.square(images).sum((1, 2, 3))
        >>> input_gradient(brightness, jnp.full((1, 1, 2, 1), 0.5)).ravel().tolist()
        [1.0, 1.0]

    Source: Simonyan et al., 2014, https://arxiv.org/abs/1312.6034, section 3.
    """
    return jax.grad(lambda x: score(x).sum())(images)


def guided_gradient(score: Score, images: Images) -> Images:
    """Goes back to the pixels along what raises a score, and along nothing that lowers it.

    A gradient whose rule for y = max(x, 0) stops what comes from above also where it is negative:

        g(x) = 1[x > 0] · 1[g(y) > 0] · g(y)                                        (1)

    The gradient has the first factor alone, Zeiler's deconvnet the second alone. ReLU6 lets all
    pass that is not above 6 as well.

    Args:
        score: f, of each image on its own.
        images: x.

    Returns:
        g at the pixels.

    Raises:
        UserError: the score is computed without any ReLU: it would be the gradient.

    Example:
        >>> image = jnp.ones((1, 1, 2, 1))
        >>> signs = jnp.array([1.0, -1.0]).reshape(1, 1, 2, 1)
        >>> mixed = lambda x: (jax.nn.relu(x) * signs).sum((1, 2, 3))
        >>> input_gradient(mixed, image).ravel().tolist()
        [1.0, -1.0]
        >>> guided_gradient(mixed, image).ravel().tolist()
        [1.0, 0.0]

    Source: Springenberg et al., 2015, https://arxiv.org/abs/1412.6806, section 3.4.
    """
    if not count_rectifiers(score, images):
        raise UserError("guided backpropagation is a rule for ReLUs, and this network has none")
    return input_gradient(with_rectifier(score, guided_relu), images)


@jax.custom_vjp
def guided_relu(x: Array) -> Array:
    """Rectifies; its gradient follows rule (1) of `guided_gradient`.

    Args:
        x: of any shape.

    Example:
        >>> float(jax.grad(lambda x: -guided_relu(x))(jnp.float32(2.0)))
        0.0
    """
    return jnp.maximum(x, 0)


def _forward(x):
    return guided_relu(x), x > 0


def _backward(active, gradient):
    return (jnp.where(active, jnp.maximum(gradient, 0), 0),)


guided_relu.defvjp(_forward, _backward)


def saliency_map(gradient: Images) -> Float[Array, "batch height width"]:
    """Makes one number of each pixel: that of the channel which counts most.

        M = max_c |S_c|                                                             (1)

    Args:
        gradient: S.

    Returns:
        M.

    Example:
        >>> saliency_map(jnp.array([0.1, -0.5, 0.2]).reshape(1, 1, 1, 3)).item()
        0.5

    Source: Simonyan et al., 2014, https://arxiv.org/abs/1312.6034, section 3.1.
    """
    return jnp.abs(gradient).max(-1)
