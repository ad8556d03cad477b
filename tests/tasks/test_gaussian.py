"""The Gaussian model, and classifiers that learn from more and more examples."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from sklearn.linear_model import LogisticRegression

from jdl.ops.gaussian import fit_gaussian
from jdl.tasks.gaussian import GaussianModel
from jdl.tasks.learning_curve import LearningCurve
from jdl.train.metrics import compute


def batch_of(images, **arrays):
    count = len(images)
    mask, row = jnp.ones(count), jnp.arange(count, dtype=jnp.int32)
    return {"image": jnp.asarray(images), "mask": mask, "row": row, **arrays}


@pytest.fixture(scope="module")
def fitted():
    random = np.random.RandomState(0)
    causes = random.randn(3000, 3) @ (25 * random.randn(3, 6))
    images = np.clip(causes + 128, 0, 255).astype(np.uint8).reshape(3000, 2, 3, 1)
    task, key = GaussianModel((2, 3, 1)), jax.random.key(0)
    state, _ = jax.jit(task.train_step)(task.init(key, batch_of(images)), batch_of(images), key)
    return task, state, images


def test_one_step_fits_the_dequantised_images(fitted):
    _, state, images = fitted
    pixels = (images.reshape(3000, 6) + 0.5) / 256
    np.testing.assert_allclose(state.params["mean"], pixels.mean(0), atol=2e-4)
    # The noise within a level adds its own variance; three axes have no other.
    expected = np.linalg.eigvalsh(np.cov(pixels.T, bias=True) + np.eye(6) / 12 / 256**2)[::-1]
    np.testing.assert_allclose(state.params["variances"], expected, rtol=0.1)


def test_bits_are_those_of_the_entropy(fitted):
    """What is left of 8 bits after a normal distribution of these variances is known."""
    task, state, images = fitted
    bits = compute(task.eval_step(state, batch_of(images), jax.random.key(1)))["bits_per_dimension"]
    variances = np.asarray(state.params["variances"], np.float64)
    entropy = 0.5 * np.log(2 * np.pi * np.e * variances).sum() / (6 * np.log(2))
    assert bits == pytest.approx(8 + entropy, abs=0.02)


def test_codes_and_images_are_each_others_inverse(fitted):
    task, state, _ = fitted
    codes = jax.random.normal(jax.random.key(2), (5, 6))
    back = task.encode(state, task.decode(state, codes))
    np.testing.assert_allclose(back, codes, atol=2e-2)
    samples = task.sample(state, jax.random.key(3), 4000)
    assert samples.shape == (4000, 2, 3, 1)
    assert samples.min() >= 0
    np.testing.assert_allclose(
        samples.reshape(4000, 6).std(0),
        np.asarray(fitted[2]).reshape(3000, 6).std(0) / 256,
        rtol=0.1,
    )
    drawn = task.figures(state, batch_of(fitted[2]), jax.random.key(0))
    assert set(drawn) == {"samples", "axes", "walks", "spectrum"}


def test_padding_is_not_fitted(fitted):
    task, _, images = fitted
    key = jax.random.key(0)
    batch = batch_of(images) | {"mask": jnp.asarray(np.arange(3000) < 1000, jnp.float32)}
    state, _ = jax.jit(task.train_step)(task.init(key, batch), batch, key)
    alone = fit_gaussian(jnp.asarray((images[:1000].reshape(1000, 6) + np.float32(0.5)) / 256))
    np.testing.assert_allclose(state.params["mean"], alone.mean, atol=3e-4)


def test_each_regression_learns_from_its_own_examples():
    random = np.random.RandomState(0)
    labels = np.tile([0, 1, 2], 40)
    images = (random.randn(120, 2, 2, 1) + np.eye(3, 4)[labels].reshape(120, 2, 2, 1)).astype(
        np.float32
    )
    batch = batch_of(
        images,
        label=jnp.asarray(labels, jnp.int32),
        rank=jnp.asarray(np.repeat(np.arange(40), 3), jnp.int32),
    )
    other = {"other": np.array([0.5, 0.25])}
    task = LearningCurve(optax.adam(0.05), (10, 40), 3, prior_deviation=1.0, others=other)
    state, step = task.init(jax.random.key(0), batch), jax.jit(task.train_step)
    for _ in range(500):
        state, _ = step(state, batch, jax.random.key(0))
    # scikit-learn minimises C Σᵢ losses + ½‖W‖², the same up to a factor where C = τ² = 1.
    for number, count in enumerate((30, 120)):
        theirs = LogisticRegression(C=1.0, tol=1e-6).fit(
            images[:count].reshape(count, 4), labels[:count]
        )
        ours = state.params["weights"][number].T
        np.testing.assert_allclose(ours, theirs.coef_, atol=5e-3)
    found = compute(task.test_step(state, batch, jax.random.key(0)))
    assert found["other"] == pytest.approx([0.5, 0.25])
    assert found["softmax"][1] == pytest.approx(theirs.score(images.reshape(120, 4), labels))
    assert set(task.figures(state, batch, jax.random.key(0))) == {"accuracy", "weights"}
