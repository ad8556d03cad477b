import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import ndimage

from jdl.data.augment import random_symmetry
from jdl.data.degradations import blur, motion_kernel, shrink
from jdl.errors import UserError
from jdl.ops.bicubic import resize_bicubic

KEYS = jax.random.split(jax.random.key(0), 40)


def test_blur_is_scipys():
    random = np.random.RandomState(0)
    image, kernel = random.rand(20, 25, 2).astype(np.float32), random.rand(7, 7).astype(np.float32)
    theirs = [ndimage.convolve(image[..., c], kernel, mode="mirror") for c in range(2)]
    ours = blur(jnp.asarray(image), jnp.asarray(kernel))
    np.testing.assert_allclose(ours, np.stack(theirs, -1), rtol=1e-4)


def test_a_motion_is_a_line_of_its_length_through_the_middle():
    kernels = jax.vmap(lambda key: motion_kernel(key, size=15, shortest=5.0, longest=11.0))(KEYS)
    np.testing.assert_allclose(kernels.sum((1, 2)), 1, rtol=1e-5)
    rows, columns = np.mgrid[-7:8, -7:8]
    lengths, angles = [], []
    for kernel in np.asarray(kernels, np.float64):
        np.testing.assert_allclose(kernel, kernel[::-1, ::-1], atol=1e-6)
        spread = np.array(
            [[(kernel * a * b).sum() for b in (rows, columns)] for a in (rows, columns)]
        )
        across, along = np.linalg.eigvalsh(spread)
        assert across < 0.3  # As thin as a pixel,
        lengths.append(np.sqrt(12 * (along - across)))  # and an even line of this length.
        angles.append(np.arctan2(*np.linalg.eigh(spread)[1][:, 1]) % np.pi)
    assert 4.5 < min(lengths) < 6.5 < 9.5 < max(lengths) < 11.5
    assert np.histogram(angles, 4, (0, np.pi))[0].min() > 3


def test_a_line_without_room_is_refused():
    with pytest.raises(UserError, match="a kernel of 9 pixels has no room for a line of 11"):
        motion_kernel(KEYS[0], size=9)


def test_small_images_are_bicubic():
    image = jax.random.uniform(jax.random.key(1), (12, 18, 3))
    np.testing.assert_array_equal(
        shrink(KEYS[0], image, scale=3), resize_bicubic(image[None], 4, 6)[0]
    )
    with pytest.raises(UserError, match="12×18 pixels cannot be divided by 4"):
        shrink(KEYS[0], image, scale=4)


def test_symmetries_turn_channels_together():
    image = jnp.stack([jnp.arange(9.0).reshape(3, 3), 10 + jnp.arange(9.0).reshape(3, 3)], -1)
    for key in KEYS[:8]:
        turned = random_symmetry(key, image)
        np.testing.assert_array_equal(turned[..., 1], turned[..., 0] + 10)
        assert sorted(turned[..., 0].ravel().tolist()) == list(range(9))
