import jax.numpy as jnp
import numpy as np
import pytest

from jdl.errors import UserError
from jdl.explore.latent import arithmetic, crop_to, mode_coverage, nearest_images


def test_arithmetic_moves_every_code_by_the_difference_of_means():
    random = np.random.RandomState(0)
    have, without, given = (jnp.asarray(random.randn(n, 3), jnp.float32) for n in (5, 7, 2))
    moved = arithmetic(have, without, given)
    expected = np.asarray(given) + np.asarray(have).mean(0) - np.asarray(without).mean(0)
    np.testing.assert_allclose(moved, expected, atol=1e-6)
    with pytest.raises(UserError, match="codes of 3, 3, 4 numbers cannot be added"):
        arithmetic(have, without, jnp.zeros((1, 4)))


def test_nearest_images_are_those_of_a_search_by_hand():
    random = np.random.RandomState(0)
    samples, images = (random.rand(n, 3, 3, 1).astype(np.float32) for n in (620, 40))
    where, distances = nearest_images(samples, images)
    pairs = np.sqrt(np.square(samples[:, None] - images[None]).sum((2, 3, 4)))
    np.testing.assert_array_equal(where, pairs.argmin(1))
    np.testing.assert_allclose(distances, pairs.min(1), rtol=1e-5)
    # A copy is told as one.
    assert nearest_images(images[7:8], images)[1][0] == 0
    assert nearest_images(images[7:8], images)[0][0] == 7


def test_modes_that_are_missing_are_seen():
    even = np.full((90, 3), 0.02) + 0.94 * np.eye(3)[np.arange(90) % 3]
    coverage = mode_coverage(even)
    assert coverage.confident == 1
    assert coverage.rarest == pytest.approx(1 / 3)
    assert coverage.modes == pytest.approx(3)
    collapsed = mode_coverage(even[np.arange(90) // 3 * 3])
    assert collapsed.rarest == 0
    assert collapsed.modes == pytest.approx(1)
    assert mode_coverage(np.full((5, 4), 0.25)).confident == 0


def test_the_middle_is_kept_and_smaller_samples_are_refused():
    images = np.arange(36.0).reshape(1, 6, 6, 1)
    np.testing.assert_array_equal(crop_to(images, (2, 4, 1))[0, ..., 0], images[0, 2:4, 1:5, 0])
    with pytest.raises(UserError, match=r"\(6, 6, 1\) cannot be compared .* \(8, 6, 1\)"):
        crop_to(images, (8, 6, 1))
    with pytest.raises(UserError, match=r"\(6, 6, 3\)"):
        crop_to(np.zeros((1, 6, 6, 3)), (6, 6, 1))
