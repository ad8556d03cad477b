import itertools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jdl.ops.search import (
    Coverage,
    beam_search,
    greedy_search,
    keep_likely,
    repeat_rows,
    sample,
)

VOCABULARY, END, SOURCE = 4, 3, 5


def decoder(seed, batch=2):
    """A decoder whose logits depend on all tokens so far: its carry is a code of them."""
    tables = np.random.default_rng(seed).standard_normal((batch, 997, VOCABULARY)) * 1.5
    looks = np.random.default_rng(seed + 1).dirichlet(np.ones(SOURCE), (batch, 997))
    return tables.astype(np.float32), looks.astype(np.float32)


def code(state, token):
    return (state * 7 + token + 1) % 997


def make_step(tables, looks, times=1):
    tables, looks = (repeat_rows(jnp.array(x), times) for x in (tables, looks))

    def step(carry, tokens):
        state = code(carry["state"], tokens)
        row = jnp.arange(len(tokens))
        return tables[row, state], {"state": state, "looks": looks[row, state]}

    return step


def start(batch=2):
    carry = {"state": jnp.zeros(batch, jnp.int32), "looks": jnp.zeros((batch, SOURCE))}
    return carry, jnp.zeros(batch, jnp.int32)


def every_sequence(tables, looks, length, penalty, coverage):
    """All ended sequences of at most `length` tokens with their scores, best first."""
    found = []
    for count in range(length):
        for words in itertools.product([t for t in range(VOCABULARY) if t != END], repeat=count):
            tokens = (*words, END)
            state, log_p, covered = 0, 0.0, np.zeros(SOURCE)
            for last, token in zip((0, *words), tokens):
                state = code(state, last)
                logits = tables[state].astype(np.float64)
                log_p += logits[token] - np.log(np.exp(logits).sum())
                covered += looks[state]
            score = log_p / ((5 + len(tokens)) / 6) ** penalty
            score += coverage * np.log(np.minimum(covered[:-1], 1)).sum()
            found.append((score, tokens + (END,) * (length - len(tokens))))
    return sorted(found, reverse=True)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(("penalty", "beta"), [(0.0, 0.0), (0.8, 0.0), (0.6, 0.3)])
def test_a_wide_beam_finds_the_best_of_all(seed, penalty, beta):
    length, width = 4, 27
    tables, looks = decoder(seed)
    mask = jnp.arange(SOURCE)[None].repeat(2, 0) < SOURCE - 1
    coverage = Coverage(beta, lambda carry: carry["looks"], mask) if beta else None
    tokens, scores = beam_search(
        make_step(tables, looks, width),
        *start(),
        end=END,
        length=length,
        width=width,
        length_penalty=penalty,
        coverage=coverage,
    )
    for row in range(2):
        best = every_sequence(tables[row], looks[row], length, penalty, beta)[:width]
        np.testing.assert_allclose(scores[row], [s for s, _ in best], rtol=1e-5)
        assert tokens[row].tolist() == [list(t) for _, t in best]


@pytest.mark.parametrize("seed", range(3))
def test_a_narrow_beam_prunes_by_probability(seed):
    length, width = 5, 2
    tables, looks = decoder(seed, batch=1)
    tokens, scores = beam_search(
        make_step(tables, looks, width), *start(1), end=END, length=length, width=width
    )
    beams, done = [(0.0, (), 0)], []
    for _ in range(length):
        grown = []
        for log_p, words, state in beams:
            state = code(state, words[-1] if words else 0)
            logits = tables[0, state].astype(np.float64)
            steps = logits - np.log(np.exp(logits).sum())
            done.append((log_p + steps[END], (*words, END)))
            grown += [(log_p + steps[t], (*words, t), state) for t in range(VOCABULARY - 1)]
        beams = sorted(grown, reverse=True)[:width]
    for (score, words), found, s in zip(sorted(done, reverse=True), tokens[0], scores[0]):
        np.testing.assert_allclose(s, score, rtol=1e-5)
        assert found.tolist() == list(words) + [END] * (length - len(words))


def test_greedy_is_a_beam_of_one_that_stops_at_the_end():
    tables, looks = decoder(5)
    tables[..., END] += 0.5
    step = make_step(tables, looks)
    tokens = np.asarray(greedy_search(step, *start(), end=END, length=12))
    for row in range(2):
        state, last, ended = 0, 0, False
        for token in tokens[row]:
            state = code(state, last)
            last = END if ended else int(np.argmax(tables[row, state]))
            ended = ended or last == END
            assert token == last
    assert (tokens[:, -1] == END).all()


def test_it_begins_after_the_end_token_where_that_is_the_first():
    tables, looks = decoder(2)
    carry, first = start()
    tokens = greedy_search(make_step(tables, looks), carry, first + END, end=END, length=3)
    np.testing.assert_array_equal(tokens[:, 0], np.argmax(tables[:, code(0, END)], -1))


def test_beginnings_are_returned_where_nothing_can_end():
    tables, looks = decoder(1)
    tables[..., END] = -np.inf
    width = 3
    tokens, scores = beam_search(
        make_step(tables, looks, width), *start(), end=END, length=4, width=width
    )
    assert (tokens != END).all()
    assert np.isfinite(scores).all()
    assert (np.diff(scores) <= 0).all()


def test_more_steps_are_no_more_programs_and_no_more_work():
    calls = []

    def step(carry, tokens):
        jax.debug.callback(lambda: calls.append(1))
        return jnp.tile(jnp.array([[0.0, 0.0, 0.0, 50.0]]), (tokens.shape[0], 1)), carry

    beam_search(step, (), jnp.array([0]), end=END, length=1000, width=1)
    jax.effects_barrier()
    assert len(calls) < 4


def test_samples_follow_the_models_distribution():
    logits = jnp.array([1.0, 0.0, -1.0, 2.0])

    def step(carry, tokens):
        return jnp.tile(logits[None], (tokens.shape[0], 1)), carry

    for temperature in (0.5, 1.0, 2.0):
        drawn = sample(
            step, (), jnp.zeros(20, int), jax.random.key(0), length=500, temperature=temperature
        )
        shares = np.bincount(np.asarray(drawn).ravel(), minlength=4) / drawn.size
        expected = np.asarray(jax.nn.softmax(logits / temperature))
        np.testing.assert_allclose(shares, expected, atol=4 * math.sqrt(0.25 / drawn.size))


def test_samples_stop_at_the_end():
    tables, looks = decoder(3)
    tokens = sample(make_step(tables, looks), *start(), jax.random.key(1), length=40, end=END)
    for row in np.asarray(tokens):
        (ends,) = np.nonzero(row == END)
        assert len(ends)
        assert (row[ends[0] :] == END).all()


def test_the_nucleus_is_the_smallest_set_that_holds_the_share():
    logits = jnp.log(jnp.array([[0.1, 0.4, 0.2, 0.3]]))
    for share, kept in (
        (0.05, [1]),
        (0.39, [1]),
        (0.41, [1, 3]),
        (0.71, [1, 2, 3]),
        (1.0, range(4)),
    ):
        found = np.flatnonzero(np.isfinite(keep_likely(logits, top_p=share)[0]))
        assert list(found) == list(kept)
    assert list(np.flatnonzero(np.isfinite(keep_likely(logits, top_k=3)[0]))) == [1, 2, 3]
    np.testing.assert_array_equal(keep_likely(logits, top_k=9), logits)
    both = keep_likely(logits, top_k=2, top_p=0.5)
    assert list(np.flatnonzero(np.isfinite(both[0]))) == [1]
