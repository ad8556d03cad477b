"""Colours: against covariances, and against Pillow."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image, ImageEnhance

from jdl.data.augment import augment_batch
from jdl.data.colours import DEVIATIONS, EIGENVECTORS, colour_jitter, pca_colours

KEYS = jax.random.split(jax.random.key(0), 4000)
IMAGE = jax.random.uniform(jax.random.key(1), (6, 5, 3))


def test_the_directions_are_orthonormal():
    vectors = np.array(EIGENVECTORS)
    np.testing.assert_allclose(vectors.T @ vectors, np.eye(3), atol=2e-4)


def test_one_colour_is_added_with_the_covariance_of_the_paper():
    shifted = jax.jit(jax.vmap(partial(pca_colours, deviation=0.1), (0, None)))(KEYS, IMAGE)
    shifts = np.asarray(shifted - IMAGE[None])
    assert np.ptp(shifts, axis=(1, 2)).max() < 1e-6  # The same for all pixels.
    vectors = np.array(EIGENVECTORS)
    expected = vectors @ np.diag((0.1 * np.array(DEVIATIONS)) ** 2) @ vectors.T
    found = np.cov(shifts[:, 0, 0].T)
    np.testing.assert_allclose(found, expected, atol=0.07 * expected.max())
    np.testing.assert_allclose(shifts[:, 0, 0].mean(0), 0, atol=1e-3)


@pytest.mark.parametrize(
    ("strength", "enhancer"),
    [
        ("brightness", ImageEnhance.Brightness),
        ("contrast", ImageEnhance.Contrast),
        ("saturation", ImageEnhance.Color),
    ],
)
def test_each_change_is_pillows(strength, enhancer):
    """Pillow rounds to 8 bits, and cuts off what leaves the range, which nothing here does."""
    image = jnp.round(255 * (0.3 + 0.2 * IMAGE)) / 255
    picture = Image.fromarray(np.asarray(jnp.round(255 * image), np.uint8))
    factors = 1 + 0.5 * jax.vmap(
        lambda key: jax.random.uniform(jax.random.split(key)[1], (3,), minval=-1.0, maxval=1.0)
    )(KEYS[:20])
    change = jax.jit(partial(colour_jitter, **{strength: 0.5}))
    place = ("brightness", "contrast", "saturation").index(strength)
    for key, factor in zip(KEYS[:20], np.asarray(factors)[:, place]):
        theirs = np.asarray(enhancer(picture).enhance(float(factor))) / 255
        np.testing.assert_allclose(change(key, image), theirs, atol=2 / 255)


def test_all_orders_occur():
    image = jnp.array([[[0.9, 0.1, 0.2], [0.3, 0.6, 0.1]]])
    strengths = {"brightness": 0.4, "contrast": 0.4, "saturation": 0.4}
    orders = jax.vmap(lambda key: jax.random.randint(jax.random.split(key)[0], (), 0, 6))(KEYS)
    assert set(np.asarray(orders).tolist()) == set(range(6))
    out = jax.jit(jax.vmap(partial(colour_jitter, **strengths), (0, None)))(KEYS, image)
    assert out.shape == (4000, 1, 2, 3)
    # Brightness is the one factor that moves the mean grey; contrast and saturation keep it.
    grey = np.asarray(out @ jnp.array([0.299, 0.587, 0.114])).mean((1, 2))
    start = float((image @ jnp.array([0.299, 0.587, 0.114])).mean())
    assert grey.min() / start == pytest.approx(0.6, abs=0.01)
    assert grey.max() / start == pytest.approx(1.4, abs=0.01)


@pytest.mark.parametrize(
    "function", [pca_colours, partial(colour_jitter, brightness=0.4, saturation=0.4)]
)
def test_colours_do_not_depend_on_how_the_batch_is_cut(function):
    images = jax.random.uniform(jax.random.key(2), (4, 6, 5, 3))
    key = jax.random.key(3)
    run = jax.jit(partial(augment_batch, function))
    whole = run(key, images, jnp.arange(4))
    half = run(key, images[2:], jnp.arange(2, 4))
    np.testing.assert_allclose(whole[2:], half, atol=1e-6)
    assert (whole != images).any()
