import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jdl.ops.attention import additive_weights, dot_product_weights


def draw(*shapes):
    random = np.random.default_rng(0)
    return [random.standard_normal(shape).astype(np.float32) for shape in shapes]


def test_dot_products_equal_loops():
    query, key = draw((2, 3, 4, 5), (2, 6, 4, 5))
    weights = dot_product_weights(jnp.array(query), jnp.array(key))
    for b in range(2):
        for h in range(4):
            for q in range(3):
                e = np.exp([query[b, q, h] @ key[b, k, h] / np.sqrt(5) for k in range(6)])
                np.testing.assert_allclose(weights[b, h, q], e / e.sum(), rtol=1e-5)


def test_additive_equals_loops():
    query, key, v = draw((2, 3, 5), (2, 6, 5), (5,))
    weights = additive_weights(*map(jnp.array, (query, key, v)))
    for b in range(2):
        for q in range(3):
            e = np.exp([v @ np.tanh(query[b, q] + key[b, k]) for k in range(6)])
            np.testing.assert_allclose(weights[b, q], e / e.sum(), rtol=1e-5)


@pytest.mark.parametrize("allowed", [[True, False, True], [False, False, False]])
def test_masked_keys_get_nothing_and_no_gradient(allowed):
    query, key = map(jnp.array, draw((1, 1, 1, 4), (1, 3, 1, 4)))
    mask = jnp.array(allowed)[None, None, None]

    def look(key):
        return dot_product_weights(query, key, mask)[0, 0, 0]

    weights, gradient = look(key), jax.jacobian(look)(key)
    if any(allowed):
        np.testing.assert_array_equal(weights[1], 0)
        assert (weights[np.array([0, 2])] > 0).all()
        np.testing.assert_array_equal(gradient[..., 1, :, :], 0)
    else:
        np.testing.assert_allclose(weights, [1 / 3] * 3, rtol=1e-6)
        np.testing.assert_array_equal(gradient, 0)
