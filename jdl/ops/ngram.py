"""N-grams: how likely a sequence is, by how often its pieces were seen."""

from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from jdl.errors import UserError


class NGram(NamedTuple):
    """A Markov model of a given order, smoothed by interpolated Kneser–Ney.

        p(w | h) = max(c(h w) − D, 0) / c(h) + γ(h) p(w | h')                       (1)
        γ(h) = D · |{w : c(h w) > 0}| / c(h),   D = n₁ / (n₁ + 2 n₂)                 (2)

    where h' is the history h without its oldest symbol and nᵣ the number of n-grams of this order
    with c = r. For the longest history c counts occurrences; for a shorter one, the different
    symbols that come before the n-gram, unless it begins a sequence. What is left at last, of an
    empty history, is for all symbols alike.

    N-grams of order k are numbered in a trie: one of them is known by the number of its first
    k − 1 symbols and its last symbol.

    Attributes:
        keys: of each order from 2, ascending: number of the first symbols · size + last symbol.
        log_p: of each order, logarithms of (1); of order 1 those of all symbols, 0 being the end
            and the last one the start, which is only a history.
        log_rest: of each order but the highest, log γ; 0 for what is never a history.

    Source: Kneser and Ney, 1995, https://doi.org/10.1109/ICASSP.1995.479394; Chen and Goodman,
    1998, Harvard TR-10-98.
    """

    keys: tuple[Int[Array, " ngrams"], ...]
    log_p: tuple[Float[Array, " ngrams"], ...]
    log_rest: tuple[Float[Array, " ngrams"], ...]


def fit_ngram(
    sequences: Int[np.ndarray, "batch time"],
    lengths: Int[np.ndarray, " batch"],
    vocabulary_size: int,
    order: int,
) -> NGram:
    """Counts n-grams, and computes their probabilities.

    Args:
        sequences: symbols from 1 to `vocabulary_size`, padded at the end with anything.
        lengths: of each.
        vocabulary_size: V.
        order: n; the longest history has n − 1 symbols.

    Returns:
        The model.

    Raises:
        UserError: an order below 1, or more n-grams than 32 bits can number.

    Example:
        >>> model = fit_ngram(np.array([[1, 2], [1, 2], [1, 3]]), np.array([2, 2, 2]), 3, order=2)
        >>> p = jnp.exp(ngram_log_prob(model, jnp.array([[1, 2], [1, 3]]), jnp.array([2, 2])))
        >>> bool(p[0] > p[1])
        True
    """
    if order < 1:
        raise UserError(f"the order of n-grams must be at least 1, not {order}")
    size = vocabulary_size + 2
    symbols = np.asarray(_framed(jnp.asarray(sequences), jnp.asarray(lengths), size))
    there = symbols >= 0
    # Of each order: the n-gram that ends at each place, and of each n-gram its count, whether it
    # begins a sequence, and the numbers of all but its last and all but its first symbol. Of a
    # single symbol either is the empty n-gram, number 0.
    ends = [symbols]
    counts = [np.bincount(symbols[there], minlength=size)]
    begins = [np.arange(size) == size - 1]
    keys, histories, shorter = [], [np.zeros(size, int)], [np.zeros(size, int)]
    for _ in range(1, order):
        before = _before(ends[-1])
        here = there & (before >= 0)
        if not here.any():  # no sequence is so long
            break
        key = before[here].astype(np.int64) * size + symbols[here]
        if key.max() >= 2**31:
            raise UserError(f"{len(counts[-1])} n-grams of {size} symbols are too many to number")
        found, first, number, count = np.unique(
            key, return_index=True, return_inverse=True, return_counts=True
        )
        keys.append(found)
        counts.append(count)
        histories.append(found // size)
        shorter.append(ends[-1][here][first])
        begins.append(begins[-1][histories[-1]])
        ends.append(np.full_like(symbols, -1))
        ends[-1][here] = number
    for k, parts in enumerate(shorter[1:]):
        preceded = np.bincount(parts, minlength=len(counts[k]))
        counts[k] = np.where(begins[k], counts[k], preceded)
    counts[0][-1] = 0  # nothing is followed by a start

    p = np.full(1, 1 / (size - 1))
    log_p, log_rest = [], []
    for count, history, parts in zip(counts, histories, shorter):
        once, twice = ((count == times).sum() for times in (1, 2))
        discount = once / (once + 2 * twice) if once else 0.5
        total = np.maximum(np.bincount(history, count, len(p)), 1)
        rest = discount * np.bincount(history, count > 0, len(p)) / total
        p = np.maximum(count - discount, 0) / total[history] + rest[history] * p[parts]
        log_p.append(np.log(p))
        log_rest.append(np.log(rest, where=rest > 0, out=np.zeros_like(rest)))
    return NGram(
        tuple(jnp.asarray(each, jnp.int32) for each in keys),
        tuple(jnp.asarray(each, jnp.float32) for each in log_p),
        tuple(jnp.asarray(each, jnp.float32) for each in log_rest[1:]),
    )


def ngram_log_prob(
    model: NGram, sequences: Int[Array, "batch time"], lengths: Int[Array, " batch"]
) -> Float[Array, " batch"]:
    """Returns the logarithm of each sequence's probability, its end included.

        log p = Σₜ log p(wₜ | wₜ₋ₙ₊₁ … wₜ₋₁)                                          (3)

    Args:
        model: of `fit_ngram`.
        sequences: symbols, padded at the end with anything.
        lengths: of each.

    Returns:
        (3), in nats.

    Example:
        >>> model = fit_ngram(np.array([[1]]), np.array([1]), 1, order=1)
        >>> ngram_log_prob(model, jnp.array([[1]]), jnp.array([1])).shape
        (1,)
    """
    size = len(model.log_p[0])
    symbols = _framed(sequences, lengths, size)
    ends, log_p = symbols, model.log_p[0][symbols]
    for keys, longer, log_rest in zip(model.keys, model.log_p[1:], model.log_rest):
        before = _before(ends)
        key = before * size + symbols
        place = jnp.minimum(jnp.searchsorted(keys, key), len(keys) - 1)
        found = (before >= 0) & (symbols >= 0) & (keys[place] == key)
        backed_off = jnp.where(before >= 0, log_rest[before], 0.0) + log_p
        log_p = jnp.where(found, longer[place], backed_off)
        ends = jnp.where(found, place, -1)
    return jnp.where(symbols >= 0, log_p, 0.0)[:, 1:].sum(1)


def _framed(
    sequences: Int[Array, "batch time"], lengths: Int[Array, " batch"], size: int
) -> Int[Array, "batch time+2"]:
    """Puts a start before each sequence and the end after it; −1 beyond."""
    place = jnp.arange(sequences.shape[1] + 1)[None]
    symbols = jnp.pad(sequences, ((0, 0), (0, 1)))
    symbols = jnp.where(place < lengths[:, None], symbols, -(place > lengths[:, None]).astype(int))
    return jnp.pad(symbols, ((0, 0), (1, 0)), constant_values=size - 1)


def _before(ends):
    """Moves what ends at each place one place on."""
    module = jnp if isinstance(ends, jnp.ndarray) else np
    return module.pad(ends[:, :-1], ((0, 0), (1, 0)), constant_values=-1)
