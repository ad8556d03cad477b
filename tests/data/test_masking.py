import jax
import jax.numpy as jnp
import numpy as np

from jdl.data.masking import mask_tokens, most_frequent_next

MASK, VOCABULARY = 4, 1000


def masked(tokens, rows=None, guesses=6, seed=0):
    rows = jnp.arange(len(tokens)) if rows is None else rows
    return jax.jit(
        lambda tokens, rows: mask_tokens(
            jax.random.key(seed),
            tokens,
            tokens > MASK,
            rows,
            mask_id=MASK,
            vocabulary_size=VOCABULARY,
            guesses=guesses,
        )
    )(tokens, rows)


def test_a_share_of_the_words_is_chosen_and_no_special_token():
    # Texts of 0, 1, 2, … 49 words between special tokens.
    lengths = np.arange(50)
    place = np.arange(54)[None]
    tokens = np.where(place <= lengths[:, None], 5 + (7 * place) % 900, 0)
    tokens[:, 0] = 2
    result = masked(jnp.asarray(tokens, jnp.int32))
    counts = np.asarray(result.weights).sum(1)
    expected = np.minimum(np.minimum(np.maximum(1, np.round(0.15 * lengths)), 6), lengths)
    np.testing.assert_array_equal(counts, expected)
    assert counts[0] == 0
    assert counts.max() == 6
    chosen = np.asarray(result.weights) > 0
    positions = np.asarray(result.positions)
    for row in range(50):
        own = positions[row][chosen[row]]
        assert len(set(own.tolist())) == len(own)
        np.testing.assert_array_equal(tokens[row, own], result.targets[row][chosen[row]])
        others = np.setdiff1d(np.arange(54), own)
        np.testing.assert_array_equal(tokens[row, others], result.tokens[row, others])
    assert (np.take_along_axis(tokens, positions, 1)[chosen] > MASK).all()


def test_of_the_chosen_eight_tenths_are_hidden_one_replaced_one_kept():
    tokens = jnp.full((2000, 42), 77, jnp.int32).at[:, 0].set(2)
    result = masked(tokens)
    seen = np.take_along_axis(np.asarray(result.tokens), np.asarray(result.positions), 1)
    assert np.asarray(result.weights).all()  # round(0.15 · 41) = 6
    total = seen.size
    # Four standard deviations of a share of 12,000.
    assert abs((seen == MASK).sum() / total - 0.8) < 0.015
    assert abs((seen == 77).sum() / total - 0.1) < 0.011
    random = seen[(seen != MASK) & (seen != 77)]
    assert abs(len(random) / total - 0.1) < 0.011
    assert random.min() < 20
    assert random.max() > VOCABULARY - 20
    # All positions alike, but the first, which is special.
    places = np.bincount(np.asarray(result.positions).ravel(), minlength=42)
    assert places[0] == 0
    assert abs(places[1:] - total / 41).max() < 4.5 * np.sqrt(total / 41)


def test_a_row_draws_the_same_wherever_it_is():
    tokens = jax.random.randint(jax.random.key(1), (8, 30), 5, VOCABULARY)
    whole = masked(tokens)
    half = masked(tokens[4:], jnp.arange(4, 8))
    for one, other in zip(whole, half, strict=True):
        np.testing.assert_array_equal(one[4:], other)
    assert (masked(tokens, seed=1).positions != whole.positions).any()


def test_the_most_frequent_follower():
    texts = [np.array([7, 8, 7, 9]), np.array([7, 8, 8, 8, 8])]
    table = most_frequent_next(texts, 12, mask_id=MASK)
    assert table[7] == 8
    assert table[8] == 8
    assert table[9] == table[MASK] == table[0] == 8  # nothing follows: the most frequent of all
    # No pair spans two texts: 9 was followed by 7 only across them.
    assert table.shape == (12,)
