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


def average_precision(
    scores: Float[Array, " examples"],
    positive: Bool[Array, " examples"],
    weights: Float[Array, " examples"] | None = None,
) -> Float[Array, ""]:
    """Averages the precision over the thresholds at which a positive example is found.

        P(t) = |{i positive: sᵢ ≥ t}| / |{i: sᵢ ≥ t}|                               (1)
        AP = mean of P(sᵢ) over the positive i                                      (2)

    the area under the curve of precision against recall, by steps. Scores at random give the share
    of positive examples.

    Args:
        scores: s.
        positive: which examples should score high.
        weights: how often each example counts; once when None.

    Returns:
        A number in [0, 1]; NaN where nothing is positive.

    Example:
        >>> scores, positive = jnp.array([0.1, 0.4, 0.8]), jnp.array([True, False, True])
        >>> round(float(average_precision(scores, positive)), 4)  # (1 + 2/3) / 2
        0.8333

    Source: as scikit-learn has it, after Everingham et al., 2010,
    https://doi.org/10.1007/s11263-009-0275-4, section 4.2.
    """
    weights = jnp.ones(len(scores)) if weights is None else weights
    order = jnp.argsort(-scores)
    descending, hits, weights = -scores[order], (positive * weights)[order], weights[order]
    # Those that tie are found together.
    last = jnp.searchsorted(descending, descending, side="right", method="sort") - 1
    precision = (jnp.cumsum(hits) / jnp.maximum(jnp.cumsum(weights), 1e-9))[last]
    return (hits * precision).sum() / hits.sum()
