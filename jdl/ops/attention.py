"""Attention: how much each query looks at each key."""

import math

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float


def dot_product_weights(
    query: Float[Array, "batch queries heads size"],
    key: Float[Array, "batch keys heads size"],
    mask: Bool[Array, "#batch #heads #queries #keys"] | None = None,
) -> Float[Array, "batch heads queries keys"]:
    """Returns the weights of scaled dot-product attention, in float32.

        α = softmax(q kᵀ / √d), over the keys that the mask allows                  (1)

    A query that may look at no key looks at all of them alike.

    Args:
        query: q, of d numbers for each head.
        key: k.
        mask: where a query may look; everywhere when not given.

    Returns:
        α; each row adds up to one.

    Example:
        >>> q, k = jnp.ones((1, 1, 1, 4)), jnp.ones((1, 3, 1, 4))
        >>> allowed = jnp.array([True, True, False])[None, None, None]
        >>> dot_product_weights(q, k, allowed)[0, 0, 0].tolist()
        [0.5, 0.5, 0.0]

    Source: Vaswani et al., 2017, https://arxiv.org/abs/1706.03762, Equation 1.
    """
    scores = jnp.einsum("bqhd,bkhd->bhqk", query, key) / math.sqrt(query.shape[-1])
    return masked_softmax(scores, mask)


def additive_weights(
    query: Float[Array, "batch queries size"],
    key: Float[Array, "batch keys size"],
    direction: Float[Array, " size"],
    mask: Bool[Array, "#batch #queries #keys"] | None = None,
) -> Float[Array, "batch queries keys"]:
    """Returns the weights of additive attention, in float32.

        α = softmax(vᵀ tanh(q + k)), over the keys that the mask allows             (1)

    Queries and keys are projected already (W s and U h in the paper), so that the keys' projection
    is computed once for all steps of a decoder.

    Args:
        query: q.
        key: k.
        direction: v.
        mask: where a query may look; everywhere when not given.

    Returns:
        α; each row adds up to one.

    Example:
        >>> weights = additive_weights(jnp.ones((1, 2, 3)), jnp.ones((1, 4, 3)), jnp.ones(3))
        >>> weights[0, 0].tolist()
        [0.25, 0.25, 0.25, 0.25]

    Source: Bahdanau et al., 2015, https://arxiv.org/abs/1409.0473, Appendix A.1.2.
    """
    scores = jnp.tanh(query[:, :, None] + key[:, None]) @ direction
    return masked_softmax(scores, mask)


def masked_softmax(
    scores: Float[Array, "batch *heads queries keys"],
    mask: Bool[Array, "#batch *#heads #queries #keys"] | None = None,
) -> Float[Array, "batch *heads queries keys"]:
    """Returns the softmax over the keys that the mask allows, in float32.

        αₖ = exp sₖ / Σⱼ exp sⱼ, over allowed j                                     (1)

    A query that may look at no key looks at all of them alike.

    Args:
        scores: s.
        mask: where a query may look; everywhere when not given.

    Returns:
        α; each row adds up to one.

    Example:
        >>> masked_softmax(jnp.zeros((1, 1, 3)), jnp.array([[[True, False, True]]])).tolist()
        [[[0.5, 0.0, 0.5]]]

    Source: Vaswani et al., 2017, https://arxiv.org/abs/1706.03762, Section 3.2.3.
    """
    scores = scores.astype(jnp.float32)
    if mask is not None:
        # The least number rather than −∞, whose softmax is not a number where nothing is allowed.
        scores = jnp.where(mask, scores, jnp.finfo(jnp.float32).min)
    return jax.nn.softmax(scores)
