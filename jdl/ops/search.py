"""Search: the sequence that a step-by-step model likes best, or one that it draws.

One module serves every decoder, recurrent or Transformer. A decoder is a function

    step(carry, tokens) → (logits, carry)

of the tokens that came last, [rows], and of whatever it remembers of those before (states, caches:
a pytree whose leaves are rows first). What does not change from step to step, such as an encoder's
output, the function closes over.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Bool, Float, Int, Key, PyTree

Carry = Any  # a pytree whose leaves are rows first
Step = Callable[[Carry, Array], tuple[Array, Carry]]


class Coverage(NamedTuple):
    """Asks of a hypothesis that every part of the source was looked at.

    Attributes:
        penalty: β of equation (2) of `beam_search`.
        attention: carry → how much the last step looked at each part of the source, [rows, source].
        mask: what of the source is there, [batch, source].
    """

    penalty: float
    attention: Callable[[Carry], Array]
    mask: Bool[Array, "batch source"]


def repeat_rows(tree: PyTree, times: int) -> PyTree:
    """Repeats each row of each leaf, as `beam_search` does with the carry it is given.

    Args:
        tree: leaves are rows first.
        times: copies of each row, one after another.

    Example:
        >>> repeat_rows(jnp.array([1, 2]), 2).tolist()
        [1, 1, 2, 2]
    """
    return jax.tree.map(lambda leaf: jnp.repeat(leaf, times, axis=0), tree)


def length_normalizer(length: Array | int, penalty: float) -> Array | float:
    """Computes what the log-probability of a sequence is divided by.

        lp(Y) = ((5 + |Y|) / 6)^α                                                   (1)

    Args:
        length: |Y|, which counts the end.
        penalty: α.

    Example:
        >>> length_normalizer(7, penalty=1.0)
        2.0

    Source: Wu et al., 2016, https://arxiv.org/abs/1609.08144, Section 7.
    """
    return ((5.0 + length) / 6.0) ** penalty


def greedy_search(
    step: Step, carry: Carry, first: Int[Array, " batch"], *, end: int, length: int
) -> Int[Array, "batch {length}"]:
    """Takes the likeliest token at every step.

        yₜ = argmax_v p(v | y₁, …, yₜ₋₁)                                             (1)

    Args:
        step: one step of the decoder.
        carry: before the first step.
        first: the token that each sequence begins after.
        end: the token that ends a sequence.
        length: steps at most; it stops when all sequences have ended.

    Returns:
        The tokens; from the first `end` on, all are `end`.

    Example:
        >>> counting = lambda carry, tokens: (jax.nn.one_hot(tokens + 1, 5), carry)
        >>> greedy_search(counting, (), jnp.array([0, 2]), end=4, length=6).tolist()
        [[1, 2, 3, 4, 4, 4], [3, 4, 4, 4, 4, 4]]
    """

    def advance(state):
        time, carry, last, tokens = state
        logits, carry = step(carry, last)
        last = jnp.where(last == end, end, jnp.argmax(logits, axis=-1).astype(last.dtype))
        return time + 1, carry, last, tokens.at[:, time].set(last)

    def unfinished(state):
        time, _, last, _ = state
        return (time < length) & (last != end).any()

    # A beginning that happens to be the end's own token has ended nothing.
    tokens = jnp.full((first.shape[0], length), end, first.dtype)
    logits, carry = step(carry, first)
    last = jnp.argmax(logits, axis=-1).astype(first.dtype)
    state = (jnp.array(1), carry, last, tokens.at[:, 0].set(last))
    return lax.while_loop(unfinished, advance, state)[-1]


class _Beams(NamedTuple):
    time: Int[Array, ""]
    carry: PyTree  # of the living, rows = batch · width
    last: PyTree  # [batch, width]
    covered: PyTree  # [batch, width, source], attention added up
    tokens: PyTree  # [batch, width, length]
    scores: PyTree  # [batch, width], log p
    done_tokens: PyTree
    done_scores: PyTree  # by equation (1), best first


def beam_search(
    step: Step,
    carry: Carry,
    first: Int[Array, " batch"],
    *,
    end: int,
    length: int,
    width: int = 5,
    length_penalty: float = 0.0,
    coverage: Coverage | None = None,
) -> tuple[Int[Array, "batch {width} {length}"], Float[Array, "batch {width}"]]:
    """Keeps the best few beginnings at every step, and returns the best sequences found.

        s(Y) = log p(Y) / lp(Y) + cp(Y)                                             (1)
        cp(Y) = β Σᵢ log min(Σₜ aₜᵢ, 1)                                             (2)

    lp is that of `length_normalizer`; aₜᵢ is how much step t looked at part i of the source.
    Beginnings compete by log p, ended sequences by (1). It stops when no beginning can become
    better than the worst of the ended ones that are kept.

    Args:
        step: one step of the decoder; it is called with batch · width rows, so that what it closes
            over must have gone through `repeat_rows`.
        carry: before the first step, of batch rows.
        first: the token that each sequence begins after.
        end: the token that ends a sequence.
        length: steps at most.
        width: sequences kept, ended and not.
        length_penalty: α; 0 compares plain log-probabilities, which prefers short sequences.
        coverage: for (2); without it cp is 0.

    Returns:
        The tokens, filled up with `end`, and s(Y), best first. Where nothing ended in time, the
        beginnings are returned; where fewer than `width` did, the remaining scores are −∞.

    Example:
        >>> p = jnp.log(jnp.array([[0.1, 0.5, 0.4], [0.2, 0.4, 0.4], [0.0, 0.0, 1.0]]))
        >>> chain = lambda carry, tokens: (p[tokens], carry)
        >>> tokens, scores = beam_search(chain, (), jnp.array([0]), end=2, length=3, width=2)
        >>> tokens[0].tolist(), [round(float(p), 3) for p in jnp.exp(scores[0])]
        ([[2, 2, 2], [1, 2, 2]], [0.4, 0.2])

    Source: Wu et al., 2016, https://arxiv.org/abs/1609.08144, Section 7.
    """
    batch = first.shape[0]

    def normalised(scores: Array, covered: Array, steps: Array) -> Array:
        scores = scores / length_normalizer(steps, length_penalty)
        if coverage is None:
            return scores
        # The least positive number stands for parts that were never looked at.
        parts = jnp.log(jnp.clip(covered, jnp.finfo(jnp.float32).tiny, 1.0))
        parts = jnp.where(coverage.mask[:, None], parts, 0.0)
        return scores + coverage.penalty * parts.sum(-1)  # (1), (2)

    def advance(beams: _Beams) -> _Beams:
        logits, carry = step(beams.carry, beams.last.reshape(-1))
        covered = beams.covered
        if coverage is not None:
            covered += coverage.attention(carry).reshape(covered.shape)
        vocabulary = logits.shape[-1]
        steps = jax.nn.log_softmax(logits.astype(jnp.float32)).reshape(batch, width, vocabulary)
        scores = beams.scores[..., None] + steps

        ended = normalised(scores[..., end], covered, beams.time + 1)
        done_scores, chosen = lax.top_k(jnp.concatenate([beams.done_scores, ended], 1), width)
        done_tokens = _choose(jnp.concatenate([beams.done_tokens, beams.tokens], 1), chosen)

        going_on = scores.at[..., end].set(-jnp.inf).reshape(batch, width * vocabulary)
        scores, chosen = lax.top_k(going_on, width)
        parents, last = jnp.divmod(chosen, vocabulary)
        rows = (parents + width * jnp.arange(batch)[:, None]).reshape(-1)
        last = last.astype(first.dtype)
        return _Beams(
            time=beams.time + 1,
            carry=jax.tree.map(lambda leaf: leaf[rows], carry),
            last=last,
            covered=_choose(covered, parents),
            tokens=_choose(beams.tokens, parents).at[:, :, beams.time].set(last),
            scores=scores,
            done_tokens=done_tokens,
            done_scores=done_scores,
        )

    def unfinished(beams: _Beams) -> Array:
        # log p only falls, lp only grows, and cp is never above 0.
        hope = beams.scores[:, 0] / length_normalizer(length, length_penalty)
        return (beams.time < length) & (hope > beams.done_scores[:, -1]).any()

    source = 0 if coverage is None else coverage.mask.shape[1]
    nothing = jnp.full((batch, width), -jnp.inf)
    tokens = jnp.full((batch, width, length), end, first.dtype)
    beams = _Beams(
        time=jnp.array(0),
        carry=repeat_rows(carry, width),
        last=jnp.repeat(first[:, None], width, axis=1),
        covered=jnp.zeros((batch, width, source)),
        tokens=tokens,
        scores=nothing.at[:, 0].set(0.0),  # all rows are the same at first: one of them counts
        done_tokens=tokens,
        done_scores=nothing,
    )
    beams = lax.while_loop(unfinished, advance, beams)
    none_ended = jnp.isneginf(beams.done_scores[:, :1])
    scores, order = lax.top_k(normalised(beams.scores, beams.covered, beams.time), width)
    return (
        jnp.where(none_ended[..., None], _choose(beams.tokens, order), beams.done_tokens),
        jnp.where(none_ended, scores, beams.done_scores),
    )


def _choose(leaf: Array, chosen: Array) -> Array:
    """Picks entries along the second axis, for each example its own."""
    return jax.vmap(lambda row, index: row[index])(leaf, chosen)


def keep_likely(
    logits: Float[Array, "*batch vocabulary"], top_k: int | None = None, top_p: float | None = None
) -> Float[Array, "*batch vocabulary"]:
    """Gives −∞ to all tokens but the likeliest.

    Args:
        logits: of the next token.
        top_k: how many tokens are kept.
        top_p: the least probability that the kept tokens have together; the likeliest is kept
            always.

    Returns:
        Logits of the kept tokens as they were.

    Example:
        >>> logits = jnp.log(jnp.array([0.5, 0.3, 0.2]))
        >>> jnp.isfinite(keep_likely(logits, top_k=2)).tolist()
        [True, True, False]
        >>> jnp.isfinite(keep_likely(logits, top_p=0.45)).tolist()
        [True, False, False]

    Source: Fan et al., 2018, https://arxiv.org/abs/1805.04833 (top-k); Holtzman et al., 2020,
    https://arxiv.org/abs/1904.09751 (top-p, the nucleus).
    """
    if top_k is not None and top_k < logits.shape[-1]:
        least = lax.top_k(logits, top_k)[0][..., -1:]
        logits = jnp.where(logits < least, -jnp.inf, logits)
    if top_p is not None:
        ordered = jnp.flip(jnp.sort(logits, axis=-1), axis=-1)
        p = jax.nn.softmax(ordered)
        # A token is kept when those before it have not the wanted probability yet.
        kept = (jnp.cumsum(p, axis=-1) - p) < top_p
        least = jnp.where(kept, ordered, jnp.inf).min(axis=-1, keepdims=True)
        logits = jnp.where(logits < least, -jnp.inf, logits)
    return logits


def sample(
    step: Step,
    carry: Carry,
    first: Int[Array, " batch"],
    key: Key[Array, ""],
    *,
    length: int,
    temperature: float = 1.0,
    top_k: int | None = None,
    top_p: float | None = None,
    end: int | None = None,
) -> Int[Array, "batch {length}"]:
    """Draws each token from what the model thinks of it.

        yₜ ∼ softmax(logitsₜ / τ)                                                    (1)

    Args:
        step: one step of the decoder.
        carry: before the first step.
        first: the token that each sequence begins after.
        key: for the draws.
        length: tokens to draw.
        temperature: τ; below 1 it prefers the likely.
        top_k: as in `keep_likely`, after the division.
        top_p: as in `keep_likely`, after the division.
        end: the token after which a sequence only repeats it; None: sequences go on.

    Returns:
        The tokens.

    Example:
        >>> coin = lambda carry, tokens: (jnp.zeros((tokens.shape[0], 2)), carry)
        >>> tokens = sample(coin, (), jnp.zeros(1, int), jax.random.key(0), length=1000)
        >>> 400 < int(tokens.sum()) < 600
        True
    """

    def advance(state, key):
        carry, last, ended = state
        logits, carry = step(carry, last)
        logits = keep_likely(logits.astype(jnp.float32) / temperature, top_k, top_p)
        last = jax.random.categorical(key, logits).astype(last.dtype)
        if end is not None:
            last = jnp.where(ended, end, last)
            ended = last == end
        return (carry, last, ended), last

    state = (carry, first, jnp.zeros(first.shape, bool))
    return lax.scan(advance, state, jax.random.split(key, length))[1].T
