"""Monotone alignment: which symbols of the target each symbol of the source stands for."""

from collections.abc import Callable, Iterable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

# Of a source symbol and none, one or two target symbols; 0 where there are fewer.
Weights = Float[Array, "sources targets targets"]

NEVER = -1e9


class Pairs(NamedTuple):
    """Sequences x and what they stand for, y; symbols from 1, padded at the end with 0.

    Attributes:
        source: x.
        source_length: of each x.
        target: y.
        target_length: of each y.
    """

    source: Int[Array, "batch time"]
    source_length: Int[Array, " batch"]
    target: Int[Array, "batch steps"]
    target_length: Int[Array, " batch"]


def align(
    log_q: Weights, pairs: Pairs
) -> tuple[Int[Array, "batch time two"], Bool[Array, " batch"]]:
    """Finds the likeliest way in which each symbol of x stands for at most two of y.

        â = argmaxₐ Σᵢ log q(xᵢ, yₐᵢ)                                                 (1)

    over ways a to cut y into as many pieces as x has symbols.

    Args:
        log_q: of a symbol and a piece.
        pairs: x and y.

    Returns:
        The piece of each symbol of x, 0 where it is shorter than two symbols; and whether there is
        any way: there is none if y has more than twice as many symbols as x.

    Example:
        >>> log_q = jnp.zeros((2, 3, 3)).at[1, 2, 0].set(1.0)
        >>> pair = Pairs(jnp.array([[1, 1]]), jnp.array([2]), jnp.array([[2, 2]]), jnp.array([2]))
        >>> align(log_q, pair)[0].tolist()
        [[[2, 0], [2, 0]]]

    Source: Viterbi, 1967, https://doi.org/10.1109/TIT.1967.1054010.
    """

    def largest(ways):
        # By its place, so that of two equal ways only one has a derivative.
        return jnp.take_along_axis(ways, ways.argmax(0)[None], axis=0)[0]

    edges = _edges(log_q, pairs)
    score, derivative = jax.vjp(lambda edges: _over_ways(largest, edges, pairs), edges)
    # The derivative by an edge's weight is one where the best way takes it, and zero elsewhere.
    (taken,) = derivative(jnp.ones_like(score))
    before, last = _two_before(pairs.target)
    none = jnp.zeros_like(last)
    pieces = jnp.array([[none, last, before], [none, none, last]]).astype(taken.dtype)
    pieces = jnp.einsum("kbij,pkbj->bip", taken, pieces)
    return pieces.round().astype(jnp.int32), score > NEVER / 2


def fit_alignment(
    batches: Iterable[Pairs], sources: int, targets: int, iterations: int = 8
) -> Weights:
    """Learns what source symbols stand for, by expectation–maximisation.

        log p(x, y) = log Σₐ Πᵢ q(xᵢ, yₐᵢ)                                            (2)
        q(s, t) ← E[n(s, t) | x, y, q] / Σ                                           (3)

    where n(s, t) is how often symbol s stands for piece t, the sum is over all of them, and q is
    the same for all to begin with. The expectation is the gradient of (2) with respect to log q.

    Args:
        batches: of pairs; those without an alignment count for nothing.
        sources: number of source symbols, and one for the padding.
        targets: number of target symbols, likewise.
        iterations: of (3).

    Returns:
        log q.

    Example:
        >>> source, target = jnp.array([[1, 2], [1, 0]]), jnp.array([[1], [1]])
        >>> pairs = Pairs(source, jnp.array([2, 1]), target, jnp.array([1, 1]))
        >>> log_q = fit_alignment([pairs], 3, 2)
        >>> bool(log_q[1, 1, 0] > log_q[2, 1, 0])  # of the second pair, 1 stands for 1
        True

    Source: Bisani and Ney, 2008, https://doi.org/10.1016/j.specom.2008.01.002.
    """
    batches = list(batches)
    log_q = jnp.full((sources, targets, targets), -np.log(sources * targets**2), jnp.float32)
    for _ in range(iterations):
        expected = np.sum([_expected(log_q, pairs) for pairs in batches], axis=0, dtype=np.float64)
        # What was not seen here may be met elsewhere.
        log_q = jnp.asarray(np.log(np.maximum(expected, 1e-6) / expected.sum()), jnp.float32)
    return log_q


@jax.jit
@jax.grad
def _expected(log_q: Weights, pairs: Pairs) -> Float[Array, ""]:
    log_p = _over_ways(lambda ways: jax.nn.logsumexp(ways, axis=0), _edges(log_q, pairs), pairs)
    return jnp.where(log_p > NEVER / 2, log_p, 0.0).sum()


def _edges(log_q: Weights, pairs: Pairs) -> Float[Array, "3 batch time places"]:
    """Weighs each symbol of x with what ends at each place of y: nothing, one symbol, or two."""
    source = pairs.source[:, :, None]
    before, last = (each[:, None] for each in _two_before(pairs.target))
    none = jnp.zeros_like(last)
    return jnp.stack(
        [log_q[source, none, none], log_q[source, last, none], log_q[source, before, last]]
    )


def _two_before(target: Int[Array, "batch steps"]) -> tuple[Array, Array]:
    """Returns the last but one and the last symbol before each place of y, the one after it too."""
    return jnp.pad(target, ((0, 0), (2, 0)))[:, :-1], jnp.pad(target, ((0, 0), (1, 0)))


def _over_ways(
    join: Callable[[Array], Array], edges: Float[Array, "3 batch time places"], pairs: Pairs
) -> Float[Array, " batch"]:
    """Adds up weights along all ways through x and y, and joins those that meet."""

    def step(reached, here):
        there, edges = here
        ways = [reached]
        for _ in range(2):
            ways.append(jnp.pad(ways[-1][:, :-1], ((0, 0), (1, 0)), constant_values=NEVER))
        return jnp.where(there[:, None], join(jnp.stack(ways) + edges), reached), None

    batch, time, places = edges.shape[1:]
    start = jnp.full((batch, places), NEVER).at[:, 0].set(0.0)
    there = jnp.arange(time)[:, None] < pairs.source_length[None]
    reached, _ = jax.lax.scan(step, start, (there, jnp.moveaxis(edges, 2, 0)))
    return jnp.take_along_axis(reached, pairs.target_length[:, None], axis=1)[:, 0]
