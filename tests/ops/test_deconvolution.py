import jax
import jax.numpy as jnp
import numpy as np
import pytest
from skimage.restoration import wiener as skimages

from jdl.errors import UserError
from jdl.ops.deconvolution import wiener


def draw(*shape, seed=0):
    return np.random.default_rng(seed).random(shape, np.float32)


@pytest.mark.parametrize("balance", [0.01, 0.3])
@pytest.mark.parametrize(("size", "taps"), [((32, 32), 5), ((21, 34), 7)])
def test_the_filter_is_scikit_images(size, taps, balance):
    image, kernel = draw(*size, 3), draw(taps, taps, seed=1)
    kernel /= kernel.sum()
    found = jax.jit(lambda y, k: wiener(y, k, balance))(image, kernel)
    padded = np.pad(image, ((taps, taps), (taps, taps), (0, 0)), mode="reflect")
    planes = [skimages(padded[..., c], kernel, balance, clip=False) for c in range(3)]
    expected = np.stack(planes, -1)[taps:-taps, taps:-taps]
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5)


def test_a_blur_without_noise_is_undone():
    image = np.zeros((33, 33, 1), np.float32)
    image[14:19, 16] = 1
    kernel = np.zeros((5, 5), np.float32)
    kernel[2] = [0.1, 0.2, 0.4, 0.2, 0.1]
    blurred = jnp.stack([jnp.convolve(row, kernel[2], mode="same") for row in image[..., 0]])
    found = wiener(blurred[..., None], jnp.array(kernel), 1e-6)
    np.testing.assert_allclose(found, image, atol=2e-3)


@pytest.mark.parametrize(("size", "taps"), [((9, 9), 4), ((5, 9), 5)])
def test_kernels_without_a_middle_or_room_are_refused(size, taps):
    with pytest.raises(UserError, match="this one has"):
        wiener(jnp.zeros((*size, 1)), jnp.ones((taps, taps)), 0.1)
