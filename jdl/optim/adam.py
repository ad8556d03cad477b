"""Adam as BERT was trained by."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax
from jaxtyping import PyTree

from jdl.optim.decay import kernels_and_embeddings


class Moments(NamedTuple):
    """Running means of the gradient and of its square."""

    first: PyTree
    second: PyTree


def scale_by_uncorrected_adam(
    b1: float = 0.9, b2: float = 0.999, epsilon: float = 1e-6
) -> optax.GradientTransformation:
    """Scales gradients as Adam does, without making up for moments that begin at zero.

        m ← β₁ m + (1 − β₁) g;  v ← β₂ v + (1 − β₂) g²                              (1)
        u = m / (√v + ε)                                                            (2)

    The first updates are (1 − β₁)/√(1 − β₂) = 3.2 times as large as Adam's, which a warm-up of
    the rate absorbs.

    Args:
        b1: β₁.
        b2: β₂.
        epsilon: ε.

    Returns:
        An optax transformation, to be followed by one that multiplies by minus the rate.

    Example:
        >>> adam = scale_by_uncorrected_adam()
        >>> updates, _ = adam.update(jnp.array(5.0), adam.init(jnp.array(0.0)))
        >>> round(float(updates), 3)
        3.162

    Source: Devlin et al., 2019, https://arxiv.org/abs/1810.04805, appendix A.2, and its authors'
    code; Kingma and Ba, 2015, https://arxiv.org/abs/1412.6980, whose corrections it leaves out.
    """

    def init(params):
        zeros = jax.tree.map(jnp.zeros_like, params)
        return Moments(zeros, jax.tree.map(jnp.zeros_like, params))

    def update(updates, state, params=None):
        first = optax.tree_utils.tree_update_moment(updates, state.first, b1, 1)
        second = optax.tree_utils.tree_update_moment(updates, state.second, b2, 2)
        scaled = jax.tree.map(lambda m, v: m / (jnp.sqrt(v) + epsilon), first, second)
        return scaled, Moments(first, second)

    return optax.GradientTransformation(init, update)


def bert_adam(
    learning_rate: optax.ScalarOrSchedule, weight_decay: float = 0.01
) -> optax.GradientTransformation:
    """Builds BERT's optimiser.

        θ ← θ − η (u + λ θ),  with u of `scale_by_uncorrected_adam` on gradients     (1)

    whose norm is at most 1. Norms and biases are not decayed: for them λ is 0.

    Args:
        learning_rate: η; BERT's rises linearly and then falls linearly to zero.
        weight_decay: λ.

    Returns:
        An optax transformation.

    Example:
        >>> params = {"kernel": jnp.array([[2.0]]), "bias": jnp.array([2.0])}
        >>> adam = bert_adam(0.1)
        >>> gradients = jax.tree.map(lambda x: 0.3 * x, params)
        >>> updates, _ = adam.update(gradients, adam.init(params), params)
        >>> [round(float(updates[name].sum()), 4) for name in ("kernel", "bias")]
        [-0.3182, -0.3162]

    Source: Devlin et al., 2019, https://arxiv.org/abs/1810.04805, appendix A.2.
    """
    return optax.chain(
        optax.clip_by_global_norm(1.0),
        scale_by_uncorrected_adam(),
        optax.add_decayed_weights(weight_decay, kernels_and_embeddings),
        optax.scale_by_learning_rate(learning_rate),
    )
