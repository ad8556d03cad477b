"""N-gram probabilities beside their definition, written out."""

from collections import Counter

import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jdl.data.sequences import pad_sequences
from jdl.errors import UserError
from jdl.ops.ngram import fit_ngram, ngram_log_prob

SYMBOLS = 3
END, START = 0, SYMBOLS + 1
texts = st.lists(st.lists(st.integers(1, SYMBOLS), max_size=5), min_size=1, max_size=8)


def padded(sequences, value=0):
    return pad_sequences(sequences, 6, value), np.array([len(s) for s in sequences])


class Definition:
    """Equations (1) and (2), one n-gram at a time."""

    def __init__(self, sequences, order):
        framed = [(START, *s, END) for s in sequences]
        seen = [
            Counter(s[i : i + k] for s in framed for i in range(len(s) + 1 - k))
            for k in range(1, order + 1)
        ]
        self.counts = [Counter(seen[-1])]
        for k in range(order - 1, 0, -1):
            before = Counter(gram[1:] for gram in seen[k])
            starts = {gram: n for gram, n in seen[k - 1].items() if gram[0] == START and k > 1}
            self.counts.insert(0, before | Counter(starts))
        self.counts[0].pop((START,), None)

    def p(self, word, history):
        counts = self.counts[len(history)]
        of_counts = Counter(counts.values())
        once, twice = of_counts[1], of_counts[2]
        discount = once / (once + 2 * twice) if once else 0.5
        here = {gram: n for gram, n in counts.items() if gram[:-1] == history}
        lower = self.p(word, history[1:]) if history else 1 / (SYMBOLS + 1)
        if not here:
            return lower
        total = sum(here.values())
        own = max(here.get((*history, word), 0) - discount, 0) / total
        return own + discount * len(here) / total * lower


@settings(max_examples=25)  # every example compiles programs of its own
@given(texts, texts, st.integers(1, 4))
def test_equals_the_definition(known, asked, order):
    definition = Definition(known, order)
    model = fit_ngram(*padded(known), SYMBOLS, order)
    found = ngram_log_prob(model, *map(jnp.asarray, padded(asked)))
    for sequence, log_p in zip(asked, found.tolist()):
        framed = (START, *sequence, END)
        expected = 0.0
        for i in range(1, len(framed)):
            history = framed[max(i - order + 1, 0) : i]
            p = [definition.p(word, history) for word in range(SYMBOLS + 1)]
            assert sum(p) == pytest.approx(1)
            expected += np.log(p[framed[i]])
        np.testing.assert_allclose(log_p, expected, rtol=1e-4, atol=1e-5)


def test_padding_is_not_read():
    model = fit_ngram(*padded([[1, 2, 3], [2]]), SYMBOLS, 3)
    same = fit_ngram(*padded([[1, 2, 3], [2]], value=3), SYMBOLS, 3)
    for ours, theirs in zip(model.log_p, same.log_p, strict=True):
        np.testing.assert_array_equal(ours, theirs)
    lengths = jnp.array([1])
    one, other = (ngram_log_prob(model, jnp.array([[2, x]]), lengths) for x in (0, 3))
    assert float(one[0]) == float(other[0])


def test_a_history_is_worth_its_order():
    """After 1 2 comes 3, after 3 2 comes 1: only trigrams can know."""
    known = padded([[1, 2, 3], [3, 2, 1]] * 8)
    asked = padded([[1, 2, 3], [1, 2, 1]])
    gaps = []
    for order in (2, 3):
        right, wrong = ngram_log_prob(fit_ngram(*known, SYMBOLS, order), *map(jnp.asarray, asked))
        gaps.append(float(right - wrong))
    assert gaps[0] < 0.1
    assert gaps[1] > 1


def test_orders_below_one_are_refused():
    with pytest.raises(UserError, match="order of n-grams must be at least 1, not 0"):
        fit_ngram(*padded([[1]]), SYMBOLS, 0)


def test_more_ngrams_than_32_bits_can_number_are_refused():
    with pytest.raises(UserError, match="50001 n-grams of 50001 symbols are too many to number"):
        fit_ngram(*padded([[49_999, 1]]), 49_999, 2)
