import numpy as np
import pytest

from jdl.errors import UserError
from jdl.ops.preprocessing import Preprocessing, preprocess

PLAIN = {"mean": (0.0, 0.0, 0.0), "deviation": (1.0, 1.0, 1.0)}


def photograph(height, width, channels=3):
    shape = (height, width, channels)
    return np.random.RandomState(0).randint(0, 256, shape).astype(np.uint8)


@pytest.mark.parametrize("size", [(9, 9), (9, 14), (16, 9), (9, 200)])
def test_the_middle_is_kept(size):
    # The shorter side has the size already: nothing is resized.
    x = photograph(*size)
    y = preprocess(x, Preprocessing(9, 5, **PLAIN))
    top, left = (round((side - 5) / 2) for side in size)
    np.testing.assert_array_equal(
        np.round(y * 255), x[top : top + 5, left : left + 5], strict=False
    )


def test_channels_are_normalised_each_by_its_own():
    x = np.full((4, 4, 3), (0, 51, 255), np.uint8)
    y = preprocess(x, Preprocessing(4, 4, (0.5, 0.1, 0.0), (0.5, 0.1, 2.0)))
    np.testing.assert_allclose(y[2, 1], (-1.0, 1.0, 0.5), rtol=1e-6)
    assert y.dtype == np.float32


def test_floats_and_grey_are_photographs_too():
    x = photograph(30, 40, 1)
    y = preprocess(x, Preprocessing(20, 16))
    np.testing.assert_array_equal(y, preprocess(np.repeat(x, 3, -1), Preprocessing(20, 16)))
    np.testing.assert_array_equal(y, preprocess(x / 255, Preprocessing(20, 16)))


def test_shrinking_leaves_no_gaps():
    """Stripes of one pixel become grey: without the wide filter they would alias."""
    x = np.zeros((256, 256, 3), np.uint8)
    x[::2] = 255
    for interpolation in ("bilinear", "bicubic"):
        y = preprocess(x, Preprocessing(32, 28, interpolation=interpolation, **PLAIN))
        np.testing.assert_allclose(y, 0.5, atol=0.02)


@pytest.mark.parametrize(
    ("x", "message"),
    [
        (photograph(8, 8, 2), "1 or 3 channels, not 2"),
        (photograph(8, 8).astype(np.int64), "8 bits, or of floats from 0 to 1"),
        (photograph(8, 8).astype(np.float32), "8 bits, or of floats from 0 to 1"),
        (np.full((8, 8, 3), np.nan), "8 bits, or of floats from 0 to 1"),
        (photograph(0, 8), "0×8 pixels"),
    ],
)
def test_what_is_no_photograph_is_refused(x, message):
    with pytest.raises(UserError, match=message):
        preprocess(x, Preprocessing(8, 8))


def test_impossible_expectations_are_refused():
    with pytest.raises(UserError, match="225 pixels cannot be cropped from 224"):
        Preprocessing(224, 225)
    with pytest.raises(UserError, match="'nearest' is neither"):
        Preprocessing(interpolation="nearest")
