"""Crops of random rectangles, scales and places."""

from functools import partial

import numpy as np
import pytest

from jdl.data import GrainLoader
from jdl.data.crops import (
    _rectangle,
    center_crop,
    corner_or_center_crop,
    random_crop,
    random_resized_crop,
    resize,
    resize_shorter_side,
)

RANDOM = np.random.default_rng


def numbered(height, width):
    """An image whose first two channels say where each pixel was."""
    rows, columns = np.mgrid[:height, :width].astype(np.uint8)
    return {"image": np.stack([rows, columns, rows], -1)}


@pytest.mark.parametrize("shape", [(300, 400), (400, 300), (50, 200)])
def test_a_random_rectangle_has_the_area_and_form_that_it_should(shape):
    random = RANDOM(0)
    height, width = shape
    found = np.array(
        [_rectangle(random, (*shape, 3), (0.08, 1.0), (3 / 4, 4 / 3)) for _ in range(2000)]
    )
    top, left, tall, wide = found.T
    assert (top >= 0).all()
    assert (left >= 0).all()
    assert (top + tall <= height).all()
    assert (left + wide <= width).all()
    share, ratio = tall * wide / (height * width), wide / tall
    assert share.min() < 0.1
    assert share.min() > 0.07
    # A side is rounded to a pixel, and rectangles of 1 % of the image have short ones.
    assert ratio.min() > 0.70
    assert ratio.max() < 1.40
    if shape == (50, 200):
        return  # Large rectangles do not fit there.
    # Of those that fit, uniform areas: the mean of all that are small enough to fit in any form.
    small = share[share < 0.5]
    assert small.mean() == pytest.approx((0.08 + 0.5) / 2, abs=0.01)
    assert np.log(ratio[share < 0.5]).mean() == pytest.approx(0, abs=0.02)


def test_where_nothing_fits_the_largest_allowed_form_is_cut_from_the_middle():
    wanted = (2.0, 2.0)  # Twice the image's area never fits.
    assert _rectangle(RANDOM(0), (30, 300, 3), wanted, (3 / 4, 4 / 3)) == (0, 130, 30, 40)
    assert _rectangle(RANDOM(0), (300, 30, 3), wanted, (3 / 4, 4 / 3)) == (130, 0, 40, 30)
    assert _rectangle(RANDOM(0), (30, 36, 3), wanted, (3 / 4, 4 / 3)) == (0, 0, 30, 36)


def test_the_whole_image_is_its_own_crop():
    example = numbered(40, 40)
    crop = random_resized_crop(example, RANDOM(0), size=40, area=(1.0, 1.0), aspect=(1.0, 1.0))
    np.testing.assert_array_equal(crop["image"], example["image"])


def test_the_shorter_side_gets_every_length_between_the_two():
    example = numbered(20, 30)
    random = RANDOM(0)
    shapes = {resize_shorter_side(example, random, to=(8, 12))["image"].shape for _ in range(200)}
    assert {min(shape[:2]) for shape in shapes} == {8, 9, 10, 11, 12}
    assert all(shape[1] == round(shape[0] * 1.5) for shape in shapes)
    tall = resize_shorter_side(numbered(30, 20), random, to=10)
    assert tall["image"].shape == (15, 10, 3)


def test_crops_come_from_where_they_should():
    example = numbered(10, 14)

    def corners(crop, count=300):
        random = RANDOM(0)
        return {tuple(crop(example, random, size=8)["image"][0, 0, :2]) for _ in range(count)}

    assert corners(center_crop) == {(1, 3)}
    assert corners(corner_or_center_crop) == {(0, 0), (0, 6), (2, 0), (2, 6), (1, 3)}
    assert corners(random_crop) == {(top, left) for top in range(3) for left in range(7)}
    whole = random_crop(numbered(8, 8), RANDOM(0), size=8)
    np.testing.assert_array_equal(whole["image"], numbered(8, 8)["image"])


def test_shrinking_does_not_alias():
    """Every other row is white: a filter that does not grow would see one colour."""
    stripes = np.zeros((64, 64, 3), np.uint8)
    stripes[::2] = 255
    assert np.abs(resize(stripes, 8, 8)[2:-2].astype(int) - 127).max() <= 2
    assert resize(stripes, 64, 64, "bicubic").tobytes() == stripes.tobytes()


def test_crops_are_transforms_of_a_loader():
    source = [numbered(20 + i, 40 - i) for i in range(6)]
    transforms = [
        partial(resize_shorter_side, to=(16, 24)),
        partial(random_crop, size=16),
    ]
    loader = GrainLoader(source, 4, transforms=transforms)
    batch = loader.batch(0)
    assert batch["image"].shape == (4, 16, 16, 3)
    np.testing.assert_array_equal(batch["image"][2:], loader.batch(0, slice(2, 4))["image"])
