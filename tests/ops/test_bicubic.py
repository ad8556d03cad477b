import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

from jdl.errors import UserError
from jdl.ops.bicubic import resize_bicubic


@pytest.mark.parametrize("size", [(12, 17), (18, 27), (74, 108), (37, 20), (96, 96), (37, 54)])
def test_it_is_pillows(size):
    image = np.random.RandomState(0).rand(37, 54).astype(np.float32)
    theirs = np.asarray(Image.fromarray(image).resize(size[::-1], Image.Resampling.BICUBIC))
    ours = resize_bicubic(jnp.asarray(image)[None, :, :, None], *size)[0, :, :, 0]
    np.testing.assert_allclose(ours, theirs, atol=1e-5)


def test_what_is_too_fine_for_fewer_pixels_is_averaged_and_not_seen_as_something_else():
    stripes = jnp.tile(jnp.array([0.0, 1.0]), 30).reshape(1, 1, 60, 1)
    small = resize_bicubic(stripes, 1, 20)[0, 0, 2:-2, 0]
    np.testing.assert_allclose(small, 0.5, atol=0.06)


def test_no_pixels_are_refused():
    with pytest.raises(UserError, match="cannot be resized to 0×3 pixels"):
        resize_bicubic(jnp.zeros((1, 4, 4, 1)), 0, 3)
