import functools

import jax.numpy as jnp
import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from jdl.data.sequences import pad_sequences
from jdl.ops.edit_distance import edit_distance

words = st.lists(st.integers(0, 3), max_size=6)


def distance(pairs):
    first, second = zip(*pairs)
    return edit_distance(
        *(
            jnp.array(a)
            for words in (first, second)
            for a in (pad_sequences(words, 8, value=9), [len(w) for w in words])
        )
    )


def by_recursion(a, b):
    @functools.cache
    def d(i, j):
        if i == 0 or j == 0:
            return i + j
        return min(d(i - 1, j) + 1, d(i, j - 1) + 1, d(i - 1, j - 1) + (a[i - 1] != b[j - 1]))

    return d(len(a), len(b))


@given(st.lists(st.tuples(words, words), min_size=4, max_size=4))
def test_equals_the_recursion(pairs):
    assert distance(pairs).tolist() == [by_recursion(a, b) for a, b in pairs]


@given(words, words, words)
def test_is_a_metric(a, b, c):
    ab, bc, ac, ba = distance([(a, b), (b, c), (a, c), (b, a)]).tolist()
    assert ab == ba
    assert ac <= ab + bc
    assert (ab == 0) == (a == b)


def test_more_axes_are_batches():
    random = np.random.default_rng(0)
    first, second = random.integers(0, 3, (2, 2, 3, 5))
    lengths = random.integers(0, 6, (2, 2, 3))
    found = edit_distance(*map(jnp.array, (first, lengths[0], second, lengths[1])))
    for place in np.ndindex(2, 3):
        a, b = first[place][: lengths[0][place]], second[place][: lengths[1][place]]
        assert found[place] == by_recursion(tuple(a), tuple(b))
