"""AutoAugment and RandAugment: what each operation does at each level."""

import numpy as np
import pytest
from PIL import Image

from jdl.data.autoaugment import (
    ENHANCEMENTS,
    IMAGENET_POLICY,
    MEAN_COLOUR,
    OPERATIONS,
    SIGNED,
    auto_augment,
    increasing_strength,
    policy_strength,
    rand_augment,
)

PIXELS = np.random.default_rng(0).integers(0, 256, (20, 30, 3), np.uint8)


def done(name, strength, pixels=PIXELS):
    return np.asarray(OPERATIONS[name](Image.fromarray(pixels), strength))


def test_the_policy_has_twenty_five_pairs_of_known_operations():
    assert len(IMAGENET_POLICY) == 25
    for first, second in IMAGENET_POLICY:
        for name, probability, level in (first, second):
            assert name in OPERATIONS
            assert 0 <= probability <= 1
            assert 0 <= level <= 9


@pytest.mark.parametrize("name", OPERATIONS)
def test_operations_keep_shape_and_type(name):
    result = done(name, policy_strength(name, 5, np.random.default_rng(0)))
    assert result.shape == PIXELS.shape
    assert result.dtype == np.uint8


def test_operations_by_hand():
    np.testing.assert_array_equal(done("invert", 0.0), 255 - PIXELS)
    np.testing.assert_array_equal(done("posterize", 3.0), PIXELS & 0b11100000)
    bright = PIXELS >= 100
    np.testing.assert_array_equal(done("solarize", 100.0), np.where(bright, 255 - PIXELS, PIXELS))
    dark = PIXELS < 128
    expected = np.where(dark, np.minimum(255, PIXELS.astype(int) + 50), PIXELS)
    np.testing.assert_array_equal(done("solarize_add", 50.0), expected)
    moved = done("translate_x", 0.2)  # Six of thirty pixels to the left.
    np.testing.assert_array_equal(moved[:, :24], PIXELS[:, 6:])
    assert (moved[:, 24:] == MEAN_COLOUR).all()
    moved = done("translate_y", -0.1)
    np.testing.assert_array_equal(moved[2:], PIXELS[:-2])
    assert (moved[:2] == MEAN_COLOUR).all()
    np.testing.assert_array_equal(done("brightness", 0.0), 0 * PIXELS)
    for name in ENHANCEMENTS:
        np.testing.assert_array_equal(done(name, 1.0), PIXELS)
    for name in SIGNED:
        np.testing.assert_array_equal(done(name, 0.0), PIXELS)
    half = done("rotate", 180.0)
    np.testing.assert_array_equal(half, PIXELS[::-1, ::-1])


def test_shear_moves_rows_by_their_number():
    """Row y is sampled 2·(y + 1/2) pixels further: a whole number of them."""
    sheared = done("shear_x", 2.0)
    for row in (0, 3, 7):
        shift = 2 * row + 1
        np.testing.assert_array_equal(sheared[row, : 30 - shift], PIXELS[row, shift:])
        assert (sheared[row, 30 - shift :] == MEAN_COLOUR).all()
    transposed = np.ascontiguousarray(PIXELS.swapaxes(0, 1))
    np.testing.assert_array_equal(done("shear_y", 2.0, transposed).swapaxes(0, 1), sheared)


def test_levels_mean_what_the_papers_say():
    random = np.random.default_rng(0)

    def policy(name):
        return [policy_strength(name, level, random) for level in (0, 10)]

    def increasing(name):
        return [increasing_strength(name, level, random) for level in (0, 10)]

    assert policy("posterize") == [4, 8]
    assert policy("solarize") == [0, 256]
    assert policy("contrast") == pytest.approx([0.1, 1.9])
    assert increasing("posterize") == [4, 0]
    assert increasing("solarize") == [256, 0]
    assert increasing("solarize_add") == [0, 110]
    factors = {round(increasing_strength("color", 10, random), 6) for _ in range(50)}
    assert factors == {0.1, 1.9}
    angles = {policy_strength("rotate", 10, random) for _ in range(50)}
    assert angles == {-30.0, 30.0}


@pytest.mark.parametrize("augment", [auto_augment, rand_augment])
def test_the_generator_decides(augment):
    example = {"image": PIXELS, "label": 3}

    def drawn(seed):
        return augment(example, np.random.default_rng(seed))["image"].tobytes()

    assert drawn(1) == drawn(1)
    assert len({drawn(seed) for seed in range(40)}) > 10
    assert augment(example, np.random.default_rng(0))["label"] == 3


def test_rand_augment_that_does_nothing_changes_nothing():
    example = {"image": PIXELS}
    same = rand_augment(example, np.random.default_rng(0), probability=0.0)
    np.testing.assert_array_equal(same["image"], PIXELS)
