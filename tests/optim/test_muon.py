import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jdl.optim.muon import muon


def first_update(gradient, learning_rate=0.1):
    params = {"w": jnp.zeros(gradient.shape), "b": jnp.zeros(3)}
    optimizer = muon(learning_rate, 0.01)
    updates, _ = optimizer.update(
        {"w": gradient, "b": jnp.array([1.0, -2.0, 0.5])}, optimizer.init(params), params
    )
    return updates


def test_kernels_step_along_the_orthogonal_factor_of_their_matrix():
    gradient = jax.random.normal(jax.random.key(0), (3, 3, 4, 8))
    update = first_update(gradient)["w"].reshape(36, 8)
    u, _, vt = jnp.linalg.svd(gradient.reshape(36, 8), full_matrices=False)
    # Newton–Schulz leaves the singular values between about 0.7 and 1.2; the directions are exact.
    inner = jnp.diagonal(u.T @ update @ vt.T) / -0.1
    assert ((inner > 0.6) & (inner < 1.3)).all()
    rest = u.T @ update @ vt.T + 0.1 * jnp.diag(inner)
    np.testing.assert_allclose(rest, 0, atol=2e-3)


def test_vectors_step_by_adam():
    updates = first_update(jnp.ones((2, 3)))["b"]
    adam = optax.nadam(0.01, b1=0.95, b2=0.99)  # Nesterov's momentum, as the kernels have
    gradient = jnp.array([1.0, -2.0, 0.5])
    expected, _ = adam.update(gradient, adam.init(jnp.zeros(3)))
    np.testing.assert_allclose(jnp.sign(updates), jnp.sign(expected))
    np.testing.assert_allclose(abs(updates), abs(updates[0]), rtol=1e-5)


@pytest.mark.parametrize("embeddings", [True, False])
def test_embeddings_step_as_matrices_or_as_vectors(embeddings):
    gradient = jax.random.normal(jax.random.key(0), (5, 3))
    params = {"kernel": jnp.zeros((5, 3)), "embedding": jnp.zeros((5, 3)), "bias": jnp.zeros(3)}
    optimizer = muon(0.1, 0.01, embeddings=embeddings)
    gradients = {"kernel": gradient, "embedding": gradient, "bias": gradient[0]}
    updates, _ = optimizer.update(gradients, optimizer.init(params), params)
    if embeddings:
        np.testing.assert_array_equal(updates["embedding"], updates["kernel"])
    else:
        np.testing.assert_allclose(updates["embedding"][0], updates["bias"], rtol=1e-6)
        np.testing.assert_allclose(abs(updates["embedding"]), abs(updates["bias"][0]), rtol=1e-5)


def test_matrices_decay_and_vectors_do_not():
    params = {"kernel": jnp.full((2, 3), 5.0), "bias": jnp.full(3, 5.0)}
    nothing = jax.tree.map(jnp.zeros_like, params)
    optimizer = muon(0.1, 0.01, weight_decay=0.2)
    updates, _ = optimizer.update(nothing, optimizer.init(params), params)
    np.testing.assert_allclose(updates["kernel"], -0.1 * 0.2 * 5, rtol=1e-6)
    np.testing.assert_array_equal(updates["bias"], 0)


def test_it_finds_a_minimum():
    target = jax.random.normal(jax.random.key(1), (6, 6))
    optimizer = muon(optax.linear_schedule(0.3, 0.0, 200), 0.01)

    def loss(w):
        return jnp.square(w - target).mean()

    def step(carry, _):
        w, state = carry
        updates, state = optimizer.update(jax.grad(loss)(w), state, w)
        return (optax.apply_updates(w, updates), state), None

    w = jnp.zeros((6, 6))
    (w, _), _ = jax.lax.scan(step, (w, optimizer.init(w)), length=200)
    assert loss(w) < 1e-3
