"""How well scores put the positive examples before the negative ones."""

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float


def concordant_pairs(
    scores: Float[Array, " examples"],
    positive: Bool[Array, " examples"],
    weights: Float[Array, " examples"] | None = None,
) -> tuple[Float[Array, ""], Float[Array, ""]]:
    """Counts the pairs of a positive and a negative example whose scores are in the right order.

        AUC = (Σ_{p, n} [s_p > s_n] + ½ [s_p = s_n]) / (P N)                         (1)

    the area under the receiver operating characteristic: how probable it is that a positive
    example, drawn at random, scores higher than a negative one.

    Args:
        scores: s.
        positive: which examples should score high.
        weights: how often each example counts; once when None.

    Returns:
        Numerator and denominator of (1).

    Example:
        >>> scores, positive = jnp.array([0.1, 0.4, 0.8]), jnp.array([False, True, True])
        >>> wins, pairs = concordant_pairs(scores, positive)
        >>> float(wins), float(pairs)
        (2.0, 2.0)

    Source: Hanley and McNeil, 1982, https://doi.org/10.1148/radiology.143.1.7063747.
    """
    weights = jnp.ones(len(scores)) if weights is None else weights
    pairs = (positive * weights)[:, None] * (~positive * weights)[None]
    higher = (scores[:, None] > scores[None]) + 0.5 * (scores[:, None] == scores[None])
    return (pairs * higher).sum(), pairs.sum()
