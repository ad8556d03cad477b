"""Mixtures: images and labels are mixed by the same share."""

from functools import cache

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jdl.data.mixing import cutmix, mix_batch, mixup, mixup_or_cutmix

KEYS = jax.random.split(jax.random.key(0), 3000)
# Image i is i everywhere, so that its mean says how much of whom is in it.
VALUES = jnp.array([0.0, 1.0, 10.0, 100.0])
IMAGES = jnp.broadcast_to(VALUES[:, None, None, None], (4, 12, 9, 2))
TARGETS, ROWS = jnp.eye(4), jnp.arange(4)


@cache
def many(mixture):
    return jax.jit(jax.vmap(lambda key: mix_batch(mixture, key, IMAGES, TARGETS, ROWS)))(KEYS)


@pytest.mark.parametrize("mixture", [mixup, cutmix, mixup_or_cutmix])
def test_labels_say_what_is_in_the_images(mixture):
    images, targets = many(mixture)
    np.testing.assert_allclose(images.mean((2, 3, 4)), targets @ VALUES, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(targets.sum(-1), 1, atol=1e-5)
    # Each is mixed with the one opposite it, by a draw of its own.
    np.testing.assert_allclose(targets[:, 1, 1] + targets[:, 1, 2], 1, atol=1e-5)
    assert abs(np.corrcoef(targets[:, 0, 0], targets[:, 3, 3])[0, 1]) < 0.08


@pytest.mark.parametrize("mixture", [mixup, cutmix, mixup_or_cutmix])
def test_a_draw_belongs_to_its_row_however_the_batch_is_cut(mixture):
    whole = mix_batch(mixture, KEYS[0], IMAGES, TARGETS, ROWS)
    middle = slice(1, 3)  # Whose partners are the same.
    piece = mix_batch(mixture, KEYS[0], IMAGES[middle], TARGETS[middle], ROWS[middle])
    for one, other in zip(whole, piece, strict=True):
        np.testing.assert_allclose(one[middle], other, rtol=1e-6)


def test_mixup_draws_its_share_from_the_beta_distribution():
    share = np.asarray(many(mixup)[1][:, 0, 0])
    # Beta(α, α): mean 1/2, variance 1/(4(2α + 1)).
    assert share.mean() == pytest.approx(0.5, abs=0.02)
    assert share.var() == pytest.approx(1 / (4 * 2.6), rel=0.06)


def test_mixup_blends_every_pixel():
    image, target = mix_batch(mixup, KEYS[0], IMAGES, TARGETS, ROWS)
    assert np.ptp(image[1]) == 0
    assert 0 < float(target[1, 1]) < 1


def test_cutmix_puts_one_rectangle_in():
    images, _ = many(cutmix)
    foreign = np.asarray(images[:, 0, :, :, 0]) == 100
    rows, columns = foreign.any(2), foreign.any(1)
    np.testing.assert_array_equal(foreign, rows[:, :, None] & columns[:, None, :])
    for side in (rows, columns):  # No gaps.
        starts = np.diff(side.astype(int), axis=1, prepend=0) == 1
        assert (starts.sum(1) <= 1).all()
    # Within the image, with centres anywhere: each edge is touched about as often as its opposite.
    touched = [rows[:, 0], rows[:, -1], columns[:, 0], columns[:, -1]]
    assert np.ptp([side.mean() for side in touched[:2]]) < 0.06
    assert np.ptp([side.mean() for side in touched[2:]]) < 0.06


def test_cutmix_takes_half_of_the_image_when_it_should():
    """In the middle, a rectangle of λ₀ covers √(1 − λ₀) of each side."""
    images, targets = many(cutmix)
    share = np.asarray(targets[:, 0, 0])
    foreign = np.asarray(images[:, 0, :, :, 0]) == 100
    inside = ~(foreign[:, 0].any(1) | foreign[:, -1].any(1) | foreign[:, :, 0].any(1))
    inside &= ~foreign[:, :, -1].any(1) & foreign.any((1, 2))
    tall, wide = foreign.any(2).sum(1)[inside], foreign.any(1).sum(1)[inside]
    # The same share of both sides, to the pixel that rounding takes or gives.
    assert (np.abs(tall / 12 - wide / 9) < 1 / 12 + 1 / 9).all()
    np.testing.assert_allclose(1 - share[inside], tall * wide / 108, atol=1e-5)


def test_either_is_chosen_half_of_the_time():
    images, _ = many(mixup_or_cutmix)
    blended = np.ptp(np.asarray(images[:, 0]), axis=(1, 2, 3)) == 0
    # Some cuts take nothing or all, and look blended.
    cut, _ = many(cutmix)
    share = (np.ptp(np.asarray(cut[:, 0]), axis=(1, 2, 3)) == 0).mean()
    assert blended.mean() == pytest.approx((1 + share) / 2, abs=0.03)
