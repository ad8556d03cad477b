import jax.numpy as jnp

from jdl.ops.sequences import length_before, reversed_within


def test_length_before_the_end():
    assert length_before(jnp.array([[0, 1], [1, 0], [1, 1]]), 0).tolist() == [0, 1, 2]


def test_only_what_is_there_is_reversed():
    sequences, lengths = jnp.array([[1, 2, 3, 4], [5, 6, 7, 8]]), jnp.array([3, 0])
    assert reversed_within(sequences, lengths).tolist() == [[3, 2, 1, 4], [5, 6, 7, 8]]
    vectors = jnp.stack([sequences, -sequences], axis=-1)
    assert reversed_within(vectors, lengths)[0].tolist() == [[3, -3], [2, -2], [1, -1], [4, -4]]
