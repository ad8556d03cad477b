import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jdl.ops.images import multi_scale, standardize, ten_crop

IMAGES = jax.random.uniform(jax.random.key(0), (3, 8, 10, 3))


def test_standardize_takes_statistics_of_channels_or_of_pixels():
    mean, deviation = (0.1, 0.2, 0.3), (0.5, 0.25, 2.0)
    images = np.asarray(IMAGES)
    expected = (images - np.array(mean)[None, None, None]) / np.array(deviation)[None, None, None]
    np.testing.assert_allclose(standardize(IMAGES, mean, deviation), expected, rtol=1e-5, atol=1e-6)
    mean_image = images.mean(0)
    np.testing.assert_allclose(standardize(IMAGES, mean_image), images - mean_image[None])
    assert standardize(IMAGES.astype(jnp.bfloat16), mean).dtype == jnp.bfloat16


def test_ten_crops_are_five_and_their_mirrors():
    views = np.asarray(ten_crop(IMAGES, 6))
    assert views.shape == (10, 3, 6, 6, 3)
    images = np.asarray(IMAGES)
    np.testing.assert_array_equal(views[0], images[:, :6, :6])
    np.testing.assert_array_equal(views[1], images[:, :6, 4:])
    np.testing.assert_array_equal(views[2], images[:, 2:, :6])
    np.testing.assert_array_equal(views[3], images[:, 2:, 4:])
    np.testing.assert_array_equal(views[4], images[:, 1:7, 2:8])
    np.testing.assert_array_equal(views[5:], views[:5, :, :, ::-1])
    # The ten views of a mirrored image are the ten views of the image.
    mirrored = np.asarray(ten_crop(IMAGES[:, :, ::-1], 6))
    assert {view.tobytes() for view in mirrored} == {view.tobytes() for view in views}


def test_scales_are_about_the_centre():
    """A blurred point off the centre moves by the scale, and its width grows with it."""
    rows, columns = jnp.mgrid[:41, :61]
    point = jnp.exp(-((rows - 26.0) ** 2 + (columns - 24.0) ** 2) / 8)[None, :, :, None]
    scales = (1.0, 1.5, 0.75)
    views = np.asarray(multi_scale(point, scales))
    np.testing.assert_allclose(views[0], point, atol=1e-6)
    assert views.shape == (3, *point.shape)
    for view, scale in zip(views[:, 0, :, :, 0], scales):
        mass = view / view.sum()
        assert (mass * (rows - 20)).sum() == pytest.approx(6 * scale, abs=0.05)
        assert (mass * (columns - 30)).sum() == pytest.approx(-6 * scale, abs=0.05)
    assert views[2][0, 0, 0, 0] == views[2][0, -1, -1, 0] == 0


def test_smaller_views_have_nothing_around_them():
    views = np.asarray(multi_scale(jnp.ones((1, 8, 8, 1)), (0.5,)))[0, 0, :, :, 0]
    assert views[:2].max() == views[:, -2:].max() == 0
    np.testing.assert_allclose(views[2:6, 2:6], 1, atol=1e-6)
