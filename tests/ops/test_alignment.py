"""Alignment beside all ways to cut a target in pieces."""

from itertools import pairwise, product

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jdl.data.sequences import pad_sequences
from jdl.ops.alignment import Pairs, align, fit_alignment

SOURCES, TARGETS = 3, 4
jit_align = jax.jit(align)
sources = st.lists(st.integers(1, SOURCES - 1), max_size=4)
targets = st.lists(st.integers(1, TARGETS - 1), max_size=6)
pairs = st.lists(st.tuples(sources, targets), min_size=3, max_size=3)


def padded(some, value=0):
    x, y = zip(*some)
    sides = (
        jnp.asarray(array)
        for side, longest in ((x, 5), (y, 7))
        for array in (pad_sequences(side, longest, value), np.array([len(s) for s in side]))
    )
    return Pairs(*sides)


def ways(source, target):
    """All ways: the piece of each source symbol."""
    for sizes in product(range(3), repeat=len(source)):
        if sum(sizes) == len(target):
            cuts = np.cumsum((0, *sizes))
            pieces = [target[a:b] for a, b in pairwise(cuts)]
            yield [tuple([*piece, 0, 0][:2]) for piece in pieces]


def weigh(log_q, source, way):
    return sum(float(log_q[(s, *piece)]) for s, piece in zip(source, way))


@pytest.fixture(scope="module")
def log_q():
    return np.random.default_rng(0).normal(size=(SOURCES, TARGETS, TARGETS)).astype(np.float32)


@given(some=pairs)
def test_the_best_of_all_ways(some, log_q):
    found, aligned = jit_align(log_q, padded(some))
    for (source, target), pieces, there in zip(some, found.tolist(), aligned.tolist()):
        weights = {tuple(way): weigh(log_q, source, way) for way in ways(source, target)}
        assert there == bool(weights)
        if there:
            chosen = tuple(map(tuple, pieces[: len(source)]))
            assert weights[chosen] == pytest.approx(max(weights.values()), abs=1e-5)


def test_of_equal_ways_one_is_taken():
    found, aligned = align(jnp.zeros((SOURCES, TARGETS, TARGETS)), padded([([1, 1, 2], [3, 2])]))
    assert aligned.all()
    assert [tuple(piece) for piece in found[0, :3].tolist()] in list(ways([1, 1, 2], [3, 2]))


@given(some=pairs)
def test_padding_is_not_read(some, log_q):
    for ours, theirs in zip(*(jit_align(log_q, padded(some, value)) for value in (0, 2))):
        np.testing.assert_array_equal(ours, theirs)


@given(some=pairs)
def test_counts_are_what_is_expected_over_all_ways(some):
    counts = np.zeros((SOURCES, TARGETS, TARGETS))
    for source, target in some:
        every = list(ways(source, target))  # equally likely to begin with
        for way in every:
            for symbol, piece in zip(source, way):
                counts[(symbol, *piece)] += 1 / len(every)
    if not counts.sum():
        return
    found = fit_alignment([padded(some)], SOURCES, TARGETS, iterations=1)
    expected = np.maximum(counts, 1e-6) / counts.sum()
    np.testing.assert_allclose(np.exp(found), expected, rtol=1e-3, atol=1e-9)


def test_it_learns_what_letters_stand_for():
    """1 stands for 1, 2 for 2 and 3 together, or for nothing where a 1 comes before."""
    some = [([1], [1]), ([2], [2, 3]), ([2, 2], [2, 3, 2, 3]), ([2, 1], [2, 3, 1]), ([1, 2], [1])]
    log_q = fit_alignment([padded(some)], SOURCES, TARGETS)
    found, _ = align(log_q, padded([([2, 1], [2, 3, 1]), ([1, 2], [1])]))
    assert found[:, :2].tolist() == [[[2, 3], [1, 0]], [[1, 0], [0, 0]]]
