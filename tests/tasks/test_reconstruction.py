"""Reconstruction and the three uses of it: denoising, anomalies, codes."""

from functools import partial

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from skimage.metrics import peak_signal_noise_ratio

from jdl.data.noise import gaussian_noise
from jdl.models.generative.autoencoder import Autoencoder
from jdl.ops.gaussian import fit_gaussian
from jdl.tasks.anomaly import AnomalyDetection
from jdl.tasks.codes import (
    Representation,
    cluster_agreement,
    linear_accuracy,
    principal_axes,
    principal_error,
)
from jdl.tasks.denoising import Denoising, non_local_means
from jdl.tasks.reconstruction import Reconstruction
from jdl.train.metrics import compute


def signal_to_noise(images, clean):
    """By scikit-image, in decibels."""
    return peak_signal_noise_ratio(clean, np.clip(images, 0, 1), data_range=1)


class Dim(nn.Module):
    """Keeps the first pixel as its code, and answers with it in every pixel."""

    latent_size: int = 1

    def setup(self):
        self.scale = self.param("scale", nn.initializers.constant(0.5), ())

    def encode(self, images):
        return self.scale * images[:, 0, 0, :1]

    def decode(self, latents):
        return jnp.broadcast_to(latents[:, None, None], (len(latents), 2, 2, 1))

    def __call__(self, images, *, train: bool = False):
        codes = self.encode(images)
        return self.decode(codes), codes


def batch_of(images, **arrays):
    count = len(images)
    mask, row = jnp.ones(count), jnp.arange(count, dtype=jnp.int32)
    return {"image": jnp.asarray(images), "mask": mask, "row": row, **arrays}


IMAGES = np.array([[0.8, 0.4, 0.4, 0.0], [0.2, 0.1, 0.3, 0.1]], np.float32).reshape(2, 2, 2, 1)


def test_losses_follow_their_equations():
    key, batch = jax.random.key(0), batch_of(IMAGES)
    codes, pixels = 0.5 * IMAGES[:, 0, 0, 0], IMAGES.reshape(2, 4)
    task = Reconstruction(Dim(), optax.sgd(0.1), likelihood="gaussian", sparsity=0.3)
    found = compute(task.eval_step(task.init(key, batch), batch, key))
    squared = (codes[:, None] - pixels) ** 2
    assert found["loss"] == pytest.approx(float((squared.sum(1) + 0.3 * codes).mean()), rel=1e-5)
    assert found["mean_squared_error"] == pytest.approx(float(squared.mean()), rel=1e-5)
    task = Reconstruction(Dim(), optax.sgd(0.1), sparsity=0.3)
    found = compute(task.eval_step(task.init(key, batch), batch, key))
    p = 1 / (1 + np.exp(-codes[:, None]))
    entropy = -(pixels * np.log(p) + (1 - pixels) * np.log(1 - p)).sum(1)
    assert found["loss"] == pytest.approx(float((entropy + 0.3 * codes).mean()), rel=1e-5)
    assert found["mean_squared_error"] == pytest.approx(float(((p - pixels) ** 2).mean()), rel=1e-5)


def test_padded_rows_do_not_count_and_baselines_are_told():
    key = jax.random.key(0)
    task = Reconstruction(Dim(), optax.sgd(0.1), baselines={"other": 0.25})
    batch = batch_of(IMAGES) | {"mask": jnp.array([1.0, 0.0])}
    state = task.init(key, batch)
    one = compute(task.test_step(state, batch_of(IMAGES[:1]), key))
    assert compute(task.test_step(state, batch, key)) == pytest.approx(one, rel=1e-5)
    assert one["other"] == 0.25


def test_a_price_on_codes_empties_them():
    images = np.random.RandomState(0).rand(64, 3, 3, 1).astype(np.float32)
    batch, active = batch_of(images), {}
    model = Autoencoder(24, hidden_sizes=(), image_shape=(3, 3, 1), code_activation=nn.relu)
    for price in (0.0, 0.2):
        task = Reconstruction(model, optax.adam(0.01), "gaussian", sparsity=price)
        state, step = task.init(jax.random.key(0), batch), jax.jit(task.train_step)
        for _ in range(300):
            state, metrics = step(state, batch, jax.random.key(0))
        active[price] = compute(metrics)["active_code"]
    assert active[0.2] < 0.5 * active[0.0]


def test_noise_is_added_to_what_is_seen_and_not_to_what_is_wanted():
    images = np.full((400, 2, 2, 1), 0.5, np.float32)
    noise = partial(gaussian_noise, deviation=0.2)
    task = Reconstruction(Dim(), optax.sgd(0.1), "gaussian", corruption=noise)
    batch, key = batch_of(images), jax.random.key(0)
    state = task.init(key, batch)
    state = state.replace(params={"scale": jnp.float32(1.0)})
    # The answer is the first pixel with its noise; the wanted image has none.
    error = compute(task.eval_step(state, batch, key))["mean_squared_error"]
    assert error == pytest.approx(0.04, rel=0.2)


def test_both_ways_are_compared_on_the_same_noise():
    test = (255 * np.random.RandomState(0).rand(6, 8, 8, 1)).astype(np.uint8)
    noise = partial(gaussian_noise, deviation=0.1)
    model = Autoencoder(4, hidden_sizes=(), image_shape=(8, 8, 1))
    task = Denoising(model, optax.sgd(0.1), corruption=noise, test=test, deviation=0.1)
    state, key = task.init(jax.random.key(0), batch_of(test)), jax.random.key(1)
    found = task.denoised(state, key)
    clean, noisy = found["clean"], found["noisy"]
    np.testing.assert_allclose(clean, test / np.float32(255), rtol=1e-6)
    rebuilt = task.reconstruct(state, jnp.asarray(noisy))
    np.testing.assert_allclose(found["autoencoder"], rebuilt, atol=1e-6)
    np.testing.assert_allclose(found["non_local_means"], non_local_means(noisy, 0.1))
    lines = dict(
        line.split()[:2] for line in task.texts(state, key)["signal_to_noise"].splitlines()
    )
    expected = np.mean([signal_to_noise(*pair) for pair in zip(noisy, clean)])
    assert float(lines["noisy"]) == pytest.approx(expected, abs=0.01)
    assert set(lines) == {"noisy", "autoencoder", "non_local_means"}


def test_non_local_means_help_where_the_image_repeats_itself():
    stripes = np.tile(np.repeat([0.2, 0.8], 4), 4)[:, None] * np.ones((1, 32))
    clean = stripes.astype(np.float32).reshape(1, 32, 32, 1)
    noisy = clean + 0.1 * np.random.RandomState(0).randn(*clean.shape).astype(np.float32)
    denoised = non_local_means(noisy, 0.1)
    assert signal_to_noise(denoised, clean) > signal_to_noise(noisy, clean) + 6
    # Told that there is hardly any noise, it leaves the image as it is.
    assert signal_to_noise(non_local_means(noisy, 0.001), clean) < 21


def test_what_training_has_not_shown_is_found():
    random = np.random.RandomState(0)
    normal = np.repeat(random.rand(60, 1, 1, 1), 4, 1).repeat(4, 2).astype(np.float32)
    strange = random.rand(20, 4, 4, 1).astype(np.float32)
    model = Autoencoder(1, hidden_sizes=(), image_shape=(4, 4, 1))
    task = AnomalyDetection(model, optax.adam(0.03), "gaussian")
    state, step = task.init(jax.random.key(0), batch_of(normal)), jax.jit(task.train_step)
    for _ in range(200):
        state, _ = step(state, batch_of(normal), jax.random.key(0))
    together = np.concatenate([normal, strange])
    batch = batch_of(together, anomaly=jnp.asarray(np.repeat([0.0, 1.0], [60, 20])))
    assert compute(task.test_step(state, batch, jax.random.key(0)))["roc_auc"] > 0.99
    # Named the wrong way round, it is as wrong as it was right.
    turned = batch | {"anomaly": 1 - batch["anomaly"]}
    assert compute(task.test_step(state, turned, jax.random.key(0)))["roc_auc"] < 0.01
    assert {"detection", "mistakes"} <= set(task.figures(state, batch, jax.random.key(0)))


def blobs(count, seed):
    random = np.random.RandomState(seed)
    labels = np.arange(count) % 3
    centres = np.array([[0, 0, 200, 30], [200, 0, 0, 60], [0, 200, 0, 90]])
    images = (centres[labels] + random.randint(0, 30, (count, 4))).astype(np.uint8)
    return {"image": images.reshape(count, 2, 2, 1), "label": labels}


def test_codes_are_tried_as_features_and_as_clusters():
    train, test = blobs(60, 0), blobs(30, 1)
    model = Autoencoder(2, hidden_sizes=(), image_shape=(2, 2, 1))
    task = Representation(
        model,
        optax.adam(0.03),
        "gaussian",
        labelled=train,
        test=test,
        unlabelled=train["image"],
    )
    batch = batch_of(train["image"])
    state, step = task.init(jax.random.key(0), batch), jax.jit(task.train_step)
    for _ in range(200):
        state, _ = step(state, batch, jax.random.key(0))
    table = task.texts(state, jax.random.key(0))["codes"].splitlines()
    rows = [line.rsplit(maxsplit=2) for line in table[1:]]
    assert [row[0] for row in rows] == [
        "pixels",
        "principal components",
        "codes",
        "pixels and codes",
    ]
    assert all(row[1] == "100.0%" and row[2] == "1.000" for row in rows)
    assert "codes" in task.figures(state, batch, jax.random.key(0))


def test_features_and_clusters_that_know_nothing_get_nothing():
    random = np.random.RandomState(0)
    features, labels = random.randn(200, 3).astype(np.float32), random.randint(0, 4, 200)
    assert linear_accuracy(features[:100], labels[:100], features[100:], labels[100:]) < 0.45
    assert abs(cluster_agreement(features, labels, 4)) < 0.05


def test_the_error_of_principal_components_is_the_variance_they_leave():
    images = np.random.RandomState(0).randint(0, 256, (50, 2, 3, 1)).astype(np.uint8)
    variances = fit_gaussian(jnp.asarray(images.reshape(50, 6) / np.float32(255))).variances
    for count in (2, 5, 6):
        left = float(variances[count:].sum()) / 6
        assert principal_error(images, images, count) == pytest.approx(left, abs=1e-6)
    assert principal_axes(images, 2).shape == (6, 2)
