import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jdl.optim.adam import bert_adam, scale_by_uncorrected_adam
from jdl.optim.decay import kernels_and_embeddings
from jdl.optim.schedules import with_warmup

PARAMS = {
    "words": {"embedding": jnp.array([[1.0, -2.0]])},
    "dense": {"kernel": jnp.array([[0.5], [3.0]]), "bias": jnp.array([2.0])},
    "norm": {"scale": jnp.array([1.5]), "bias": jnp.array([-1.0])},
}


def test_equals_the_equations_written_out():
    """Three updates: moments that begin at zero, decay beside them, clipped gradients."""
    rate = with_warmup(optax.linear_schedule(0.1, 0.0, 10), 2)
    adam = bert_adam(rate, weight_decay=0.2)
    params, state = PARAMS, adam.init(PARAMS)
    flat, tree = jax.tree.flatten(PARAMS)
    decayed = jax.tree.leaves(kernels_and_embeddings(PARAMS))
    expected = [np.asarray(leaf, np.float64) for leaf in flat]
    first = [np.zeros_like(leaf) for leaf in expected]
    second = [np.zeros_like(leaf) for leaf in expected]
    random = np.random.default_rng(0)
    for step, (scale, eta) in enumerate([(1.0, 0.0), (0.01, 0.05), (1.0, 0.08)]):
        gradients = [scale * random.standard_normal(leaf.shape) for leaf in expected]
        norm = np.sqrt(sum((g**2).sum() for g in gradients))
        assert (norm > 1) == (scale == 1.0)
        for i, gradient in enumerate(gradients):
            gradient = gradient / max(norm, 1.0)
            first[i] = 0.9 * first[i] + 0.1 * gradient
            second[i] = 0.999 * second[i] + 0.001 * gradient**2
            update = first[i] / (np.sqrt(second[i]) + 1e-6) + 0.2 * decayed[i] * expected[i]
            expected[i] = expected[i] - eta * update
        given = jax.tree.unflatten(tree, [jnp.asarray(g, jnp.float32) for g in gradients])
        updates, state = adam.update(given, state, params)
        params = optax.apply_updates(params, updates)
        for found, leaf in zip(jax.tree.leaves(params), expected, strict=True):
            np.testing.assert_allclose(found, leaf, rtol=1e-5, err_msg=f"step {step}")


def test_norms_and_biases_are_not_decayed():
    marked = kernels_and_embeddings(PARAMS)
    assert marked == {
        "words": {"embedding": True},
        "dense": {"kernel": True, "bias": False},
        "norm": {"scale": False, "bias": False},
    }


def test_without_correction_the_first_update_is_larger_than_adams():
    gradient = jnp.array([3.0])
    ours, theirs = (
        float(adam.update(gradient, adam.init(gradient))[0][0])
        for adam in (scale_by_uncorrected_adam(epsilon=1e-8), optax.scale_by_adam())
    )
    assert ours / theirs == pytest.approx(0.1 / 0.001**0.5, rel=1e-4)
