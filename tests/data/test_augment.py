from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.ndimage

from jdl.data import augment
from jdl.data.noise import gaussian_noise
from jdl.errors import UserError

KEY = jax.random.key(0)
IMAGES = jax.random.uniform(jax.random.key(1), (6, 12, 9, 2))

FUNCTIONS = {
    "flip": augment.random_flip,
    "crop": partial(augment.random_crop, padding=2),
    "brightness": partial(augment.random_brightness, max_delta=0.3),
    "contrast": partial(augment.random_contrast, lower=0.5, upper=1.5),
    "affine": partial(augment.random_affine, rotation=15.0, scale=0.2, translation=2.0, shear=10.0),
    "zoom": partial(augment.random_zoom, largest=1.3),
    "elastic": partial(augment.random_elastic, strength=20.0, sigma=2.0),
    "noise": partial(gaussian_noise, deviation=0.1),
    "erasing": partial(augment.random_erasing, probability=1.0),
}
IDENTITIES = {
    "flip": partial(augment.random_flip, probability=0.0),
    "crop": partial(augment.random_crop, padding=0),
    "brightness": partial(augment.random_brightness, max_delta=0.0),
    "contrast": partial(augment.random_contrast, lower=1.0, upper=1.0),
    "affine": augment.random_affine,
    "zoom": partial(augment.random_zoom, largest=1.0),
    "elastic": partial(augment.random_elastic, strength=0.0),
    "noise": partial(gaussian_noise, deviation=0.0),
    "erasing": partial(augment.random_erasing, probability=0.0),
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_augmentation_does_not_depend_on_how_the_batch_is_cut(name):
    run = jax.jit(partial(augment.augment_batch, FUNCTIONS[name]))
    rows = jnp.arange(6)
    whole = run(KEY, IMAGES, rows)
    assert whole.shape == IMAGES.shape
    np.testing.assert_array_equal(whole, run(KEY, IMAGES, rows))
    parts = [run(KEY, IMAGES[cut], rows[cut]) for cut in (slice(0, 2), slice(2, 6))]
    # Products of matrices are rounded otherwise in batches of other sizes.
    tolerance = 1e-5 if name == "elastic" else 0
    np.testing.assert_allclose(whole, jnp.concatenate(parts), rtol=0, atol=tolerance)
    assert (whole != run(jax.random.key(9), IMAGES, rows)).any()
    assert (whole != IMAGES).any()


@pytest.mark.parametrize("name", IDENTITIES)
def test_no_strength_changes_nothing(name):
    result = augment.augment_batch(IDENTITIES[name], KEY, IMAGES, jnp.arange(6))
    np.testing.assert_allclose(result, IMAGES, atol=1e-6)


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16])
@pytest.mark.parametrize("name", FUNCTIONS)
def test_the_type_is_kept(name, dtype):
    assert FUNCTIONS[name](KEY, IMAGES[0].astype(dtype)).dtype == dtype


def test_images_of_one_batch_are_moved_differently():
    same = jnp.broadcast_to(IMAGES[:1], IMAGES.shape)
    moved = augment.augment_batch(FUNCTIONS["affine"], KEY, same, jnp.arange(6))
    assert len({image.tobytes() for image in np.asarray(moved)}) == 6


def test_affine_agrees_with_scipy():
    """SciPy, zero outside, with its corner origin translated to ours at the centre."""
    image = np.asarray(IMAGES[0])
    inverse = np.array([[0.9, 0.35], [-0.3, 1.1]])
    translation = np.array([1.3, -0.7])
    centre = (np.array(image.shape[:2]) - 1) / 2
    offset = centre - inverse @ (centre + translation)
    expected = np.stack(
        [
            scipy.ndimage.affine_transform(
                image[:, :, c], inverse, offset, order=1, mode="grid-constant"
            )
            for c in range(2)
        ],
        axis=-1,
    )
    result = augment.affine(IMAGES[0], jnp.array(inverse), jnp.array(translation))
    np.testing.assert_allclose(result, expected, atol=1e-5)


def test_strengths_are_bounds_in_the_units_that_they_name():
    """A blurred point off the centre shows by where it goes what was done to the image."""
    rows, columns = jnp.mgrid[:41, :41]

    def centre_of_mass(image):
        mass = image[:, :, 0] / image.sum()
        return jnp.stack([(mass * rows).sum() - 20, (mass * columns).sum() - 20])

    point = jnp.exp(-((rows - 20.0) ** 2 + (columns - 30.0) ** 2) / 4)[:, :, None]
    keys = jax.random.split(KEY, 200)

    def places(**strength):
        move = jax.jit(jax.vmap(partial(augment.random_affine, **strength), (0, None)))
        return np.asarray(jax.vmap(centre_of_mass)(move(keys, point)))

    row, column = places(rotation=30.0).T
    angles = np.rad2deg(np.arctan2(-row, column))
    assert 28 < np.abs(angles).max() <= 30.1
    assert abs(angles.mean()) < 4
    shifts = places(translation=3.0) - np.array([0, 10])[None, :]
    assert 2.8 < np.abs(shifts).max() <= 3.01
    sizes = places(scale=0.25)[:, 1] / 10
    assert 1.2 < sizes.max() <= 1.251
    assert 0.8 <= sizes.min() + 1e-3 < 0.83


def test_shear_slants_columns():
    rows, columns = jnp.mgrid[:41, :41]
    above = jnp.exp(-((rows - 10.0) ** 2 + (columns - 20.0) ** 2) / 4)[:, :, None]
    keys = jax.random.split(KEY, 100)
    move = jax.jit(jax.vmap(partial(augment.random_affine, shear=20.0), (0, None)))
    moved = move(keys, above)[..., 0]
    mass = moved.sum((1, 2))
    row = (moved * rows[None]).sum((1, 2)) / mass - 20
    column = (moved * columns[None]).sum((1, 2)) / mass - 20
    slant = np.rad2deg(np.arctan(np.asarray(column / row)))
    np.testing.assert_allclose(row, -10, atol=0.05)  # rows stay where they are
    assert 18 < np.abs(slant).max() <= 20.1


def test_zoom_keeps_the_form_and_is_bounded():
    rows, columns = jnp.mgrid[:61, :61] - 30
    disc = jnp.exp(-(rows**2 + columns**2) / 50.0)[:, :, None]
    keys = jax.random.split(KEY, 100)
    zoomed = jax.jit(jax.vmap(partial(augment.random_zoom, largest=1.5), (0, None)))(keys, disc)
    mass = zoomed[..., 0] / zoomed.sum((1, 2, 3))[:, None, None]
    down, across = ((mass * axis[None] ** 2).sum((1, 2)) / 25 for axis in (rows, columns))
    np.testing.assert_allclose(down, across, rtol=1e-3)
    scale = np.sqrt(down)
    assert 1.45 < scale.max() < 1.51
    assert 0.66 < scale.min() < 0.7


def test_elastic_shifts_are_smooth_and_as_wide_as_it_says():
    """Images whose values are their pixels' places show where each was taken from."""
    rows, columns = jnp.mgrid[:64.0, :64.0]
    places = jnp.stack([rows, columns], -1)
    distort = partial(augment.random_elastic, strength=34.0, sigma=4.0)
    keys = jax.random.split(KEY, 30)
    moved = jax.jit(jax.vmap(distort, (0, None)))(keys, places) - places[None]
    moved = np.asarray(moved)[:, 12:-12, 12:-12]
    assert moved.std() == pytest.approx(34 / (6.1 * 4), rel=0.1)
    assert abs(moved.mean()) < 0.1
    assert abs(np.corrcoef(moved[..., 0].ravel(), moved[..., 1].ravel())[0, 1]) < 0.1
    # Of a field smoothed by σ, points at a distance d agree by exp(−d² / 4σ²).
    for distance in (2, 6):
        pair = moved[:, distance:], moved[:, :-distance]
        found = np.corrcoef(*(side.ravel() for side in pair))[0, 1]
        assert found == pytest.approx(np.exp(-(distance**2) / 64), abs=0.06)


def test_elastic_needs_a_width():
    with pytest.raises(UserError, match="sigma is positive, in pixels, not 0"):
        augment.random_elastic(KEY, IMAGES[0], sigma=0.0)


def test_erased_rectangles_have_the_area_and_form_that_they_should():
    image = jnp.full((45, 45, 1), 7.0)
    erase = partial(augment.random_erasing, probability=1.0, mean=(0.0,), deviation=(1.0,))
    keys = jax.random.split(KEY, 1000)
    erased = np.asarray(jax.jit(jax.vmap(erase, (0, None)))(keys, image))[..., 0] != 7
    rows, columns = erased.any(2), erased.any(1)
    np.testing.assert_array_equal(erased, rows[:, :, None] & columns[:, None, :])
    tall, wide = rows.sum(1), columns.sum(1)
    # Where it did not have to be cut off at the image's sides, it is what was drawn.
    inside = (tall < 45) & (wide < 45)
    share = (tall * wide / 2025)[inside]
    assert 0.017 < share.min() < 0.03
    assert 0.3 < share.max() < 0.36
    ratio = np.log((tall / wide)[inside])
    assert abs(ratio.mean()) < 0.07
    assert 1.1 < ratio.max() < np.log(10 / 3) + 0.2
    # Everywhere in the image, as often on one side as on the other.
    assert abs(rows[:, 0].mean() - rows[:, -1].mean()) < 0.05
    assert abs(columns[:, 0].mean() - columns[:, -1].mean()) < 0.05


def test_erased_pixels_are_noise_of_the_images_own_kind():
    image = jnp.zeros((60, 60, 2))
    erase = partial(
        augment.random_erasing,
        probability=1.0,
        area=(0.9, 0.9),
        aspect=(1.0, 1.0),
        mean=(0.5, -1.0),
        deviation=(0.1, 2.0),
    )
    pixels = np.asarray(erase(KEY, image))
    pixels = pixels[(pixels != 0).all(-1)]
    np.testing.assert_allclose(pixels.mean(0), [0.5, -1.0], atol=0.1)
    np.testing.assert_allclose(pixels.std(0), [0.1, 2.0], rtol=0.05)


def test_images_are_erased_as_often_as_it_says():
    images = jnp.full((400, 16, 16, 1), 7.0)
    erase = partial(augment.random_erasing, probability=0.25)
    erased = jax.jit(partial(augment.augment_batch, erase))(KEY, images, jnp.arange(400))
    assert float((erased != 7).any((1, 2, 3)).mean()) == pytest.approx(0.25, abs=0.06)


def test_composed_augmentations_come_in_turn():
    add = lambda key, image: image + 1
    double = lambda key, image: image * 2
    assert augment.compose(add, double)(KEY, jnp.zeros((1, 1, 1))).item() == 2
    assert augment.compose(double, add)(KEY, jnp.zeros((1, 1, 1))).item() == 1
    noise = lambda key, image: image + jax.random.normal(key)
    keep = lambda key, image: image
    first = augment.compose(noise, keep)(KEY, jnp.zeros((1, 1, 1)))
    second = augment.compose(keep, noise)(KEY, jnp.zeros((1, 1, 1)))
    assert first.item() != second.item()  # Each has a key of its own.
