"""The joint n-gram model: two sequences as one, of pieces that belong together."""

from collections.abc import Iterator
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike
from jaxtyping import Array, Bool, Float, Int

from jdl.ops.alignment import Pairs, Weights, align, fit_alignment
from jdl.ops.ngram import NGram, fit_ngram, ngram_log_prob

BATCH = 4096


class JointNGram(NamedTuple):
    """How likely x and y are together, by n-grams of symbols of x with what they stand for in y.

        â = the likeliest alignment of x and y                                      (1)
        log p(x, y) ≈ Σᵢ log p(gᵢ | gᵢ₋ₙ₊₁ … gᵢ₋₁),   gᵢ = (xᵢ, yₐᵢ)                    (2)

    each gᵢ a symbol of x with none, one or two symbols of y. All gᵢ that were never seen are one
    symbol, and so are those of a y that has more than twice as many symbols as x.

    Attributes:
        log_q: of the alignment.
        seen: the numbers of all gᵢ that were seen, ascending.
        ngram: of gᵢ, numbered by their places in `seen` from 1; the last number is of all others.

    Source: Bisani and Ney, 2008, https://doi.org/10.1016/j.specom.2008.01.002; aligned once for
    all, as in Novak et al., 2016, https://doi.org/10.1017/S1351324915000315.
    """

    log_q: Weights
    seen: Int[Array, " pieces"]
    ngram: NGram

    def log_prob(self, pairs: Pairs) -> Float[Array, " batch"]:
        """Returns (2) of each pair, in nats."""
        found, _ = _pieces(self.log_q, pairs)
        place = jnp.minimum(jnp.searchsorted(self.seen, found), len(self.seen) - 1)
        number = jnp.where(self.seen[place] == found, place, len(self.seen)) + 1
        return ngram_log_prob(self.ngram, number, pairs.source_length)


def fit_joint_ngram(pairs: Pairs, sources: int, targets: int, order: int) -> JointNGram:
    """Learns to align, aligns, and counts n-grams.

    Args:
        pairs: x and y, all of them.
        sources: number of source symbols, and one for the padding.
        targets: number of target symbols, likewise.
        order: n.

    Returns:
        The model.

    Example:
        >>> x = y = np.array([[1, 2], [2, 1], [1, 0]])
        >>> length = np.array([2, 2, 1])
        >>> model = fit_joint_ngram(Pairs(x, length, y, length), 3, 3, order=2)
        >>> x, y, length = jnp.array([[2], [2]]), jnp.array([[2], [1]]), jnp.array([1, 1])
        >>> log_p = model.log_prob(Pairs(x, length, y, length))
        >>> bool(log_p[0] > log_p[1])
        True
    """
    log_q = fit_alignment(_batches(pairs), sources, targets)
    width, aligned = pairs.source.shape[1], []
    for batch in _batches(pairs):
        pieces, there = map(np.asarray, _pieces(log_q, batch))
        pieces = np.pad(pieces[there], ((0, 0), (0, width - pieces.shape[1])))
        aligned.append((pieces, batch.source_length[there]))
    found, lengths = map(np.concatenate, zip(*aligned))
    there = np.arange(width)[None] < lengths[:, None]
    seen, number = np.unique(found[there], return_inverse=True)
    found[there] = number + 1
    return JointNGram(log_q, jnp.asarray(seen), fit_ngram(found, lengths, len(seen) + 1, order))


def _batches(pairs: Pairs) -> Iterator[Pairs]:
    """Cuts pairs into batches of similar lengths, padded no further."""
    order = np.argsort(pairs.source_length, kind="stable")
    for rows in np.split(order, range(BATCH, len(order), BATCH)):
        source, source_length, target, target_length = (leaf[rows] for leaf in pairs)
        yield Pairs(
            source[:, : _longest(source_length)],
            source_length,
            target[:, : _longest(target_length)],
            target_length,
        )


@jax.jit
def _pieces(log_q: Weights, pairs: Pairs) -> tuple[Int[Array, "batch time"], Bool[Array, " batch"]]:
    """Numbers what (2) is about; 0 where nothing is aligned. Also says where anything is."""
    targets = log_q.shape[1]
    pieces, aligned = align(log_q, pairs)
    first, second = jnp.moveaxis(pieces, -1, 0)
    number = (pairs.source * targets + first) * targets + second
    return jnp.where(aligned[:, None], number, 0), aligned


def _longest(lengths: ArrayLike) -> int:
    """Returns the longest, rounded up to eights, so that few programs are compiled."""
    return -8 * (-int(np.max(lengths)) // 8)
