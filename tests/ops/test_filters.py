"""Filters against scipy.ndimage, whose border `reflect` is the one used here."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.ndimage
from jax.test_util import check_grads

from jdl.errors import UserError
from jdl.ops.filters import (
    MASKS,
    filter_images,
    gaussian_filter,
    gaussian_kernel,
    gaussian_low_pass,
    high_pass,
    low_pass,
    median_filter,
    median_network,
    sobel,
    spectrum,
)
from jdl.ops.signals import separate

IMAGES = jnp.asarray(np.random.RandomState(0).rand(2, 21, 34, 3), jnp.float32)


def each(function):
    """Applies a function of one plane to every image's every channel."""
    planes = np.asarray(IMAGES, np.float64)
    return np.stack([np.stack([function(image[..., c]) for c in range(3)], -1) for image in planes])


def close(ours, theirs):
    np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", MASKS)
def test_masks_against_scipy(name):
    close(
        filter_images(IMAGES, MASKS[name]), each(lambda x: scipy.ndimage.convolve(x, MASKS[name]))
    )


def test_a_large_mask_goes_by_spectra_to_the_same_numbers():
    mask = np.random.RandomState(1).rand(21, 21).astype(np.float32) / 220
    close(filter_images(IMAGES, mask), each(lambda x: scipy.ndimage.convolve(x, mask)))


def test_masks_keep_what_they_should():
    flat = jnp.full((1, 9, 9, 1), 0.5)
    for name, mask in MASKS.items():
        total = (
            0 if name in ("edge", "emboss", "laplacian_of_gaussian", "sobel_x", "sobel_y") else 1
        )
        close(filter_images(flat, mask), np.full(flat.shape, 0.5 * total))


@pytest.mark.parametrize("sigma", [0.7, 1.5, 2.4])
def test_gaussian_against_scipy(sigma):
    close(gaussian_filter(IMAGES, sigma), each(lambda x: scipy.ndimage.gaussian_filter(x, sigma)))


def test_gaussian_of_a_given_size_is_its_outer_product():
    kernel = gaussian_kernel(2.0, 5)
    mask = np.outer(kernel, kernel)
    close(gaussian_filter(IMAGES, 2.0, 5), filter_images(IMAGES, mask))
    close(np.outer(*separate(mask)), mask)


def test_sobel_against_scipy():
    edges = sobel(IMAGES)
    x, y = (each(lambda p, axis=axis: scipy.ndimage.sobel(p, axis)) for axis in (1, 0))
    close(edges.x, x)
    close(edges.y, y)
    close(edges.magnitude, np.hypot(x, y))
    close(edges.direction, np.arctan2(y, x))
    close(edges.x, filter_images(IMAGES, MASKS["sobel_x"]))
    close(edges.y, filter_images(IMAGES, MASKS["sobel_y"]))


def test_sobel_can_be_differentiated_where_an_image_is_flat():
    flat = jnp.ones((1, 5, 5, 1))
    for part in (2, 3):
        assert not jax.grad(lambda x, part=part: sobel(x)[part].sum())(flat).any()
    with jax.enable_x64():
        image = jnp.asarray(np.random.RandomState(0).rand(1, 5, 5, 2))
        for part in (2, 3):  # the checker hands over NumPy's arrays
            check_grads(lambda x, part=part: sobel(jnp.asarray(x))[part], (image,), 1, ["rev"])


@pytest.mark.parametrize("size", [1, 3, 5, 7])
def test_median_against_scipy(size):
    np.testing.assert_array_equal(
        median_filter(IMAGES, size),
        each(lambda x: scipy.ndimage.median_filter(x, size)).astype(np.float32),
    )


@pytest.mark.parametrize("count", [1, 3, 5, 9])
def test_the_network_sorts_zeros_and_ones(count):
    """What finds the median of all inputs of 0 and 1 finds that of all inputs (Knuth, 5.3.4Z)."""
    for bits in itertools.product((0, 1), repeat=count):
        wires = list(bits)
        for low, high in median_network(count):
            wires[low], wires[high] = sorted((wires[low], wires[high]))
        assert wires[count // 2] == sorted(bits)[count // 2]


@pytest.mark.parametrize("sigma", [1.0, 3.0])
def test_gaussian_of_frequencies_against_scipy(sigma):
    def expected(x):
        return np.fft.ifft2(scipy.ndimage.fourier_gaussian(np.fft.fft2(x), sigma)).real

    close(gaussian_low_pass(IMAGES, sigma), each(expected))


def test_bands_are_cut_where_they_are_said_to_be():
    columns = np.arange(32)
    slow, fast = (np.cos(2 * np.pi * f * columns / 32) for f in (3, 9))
    image = jnp.broadcast_to(
        jnp.asarray(slow + fast, jnp.float32)[None, None, :, None], (1, 16, 32, 1)
    )
    close(low_pass(image, 6 / 32)[0, 5, :, 0], slow)
    close(high_pass(image, 6 / 32)[0, 5, :, 0], fast)
    close(low_pass(image, 3 / 32)[0, 5, :, 0], slow)  # the limit is kept


def test_the_spectrum_has_its_lowest_frequency_in_the_middle():
    columns = np.cos(2 * np.pi * 3 * np.arange(32) / 32)
    image = jnp.broadcast_to(jnp.asarray(columns, jnp.float32)[None, None, :, None], (1, 16, 32, 1))
    found = np.argwhere(np.asarray(spectrum(image)[0, :, :, 0]) > 1)
    assert found.tolist() == [[8, 16 - 3], [8, 16 + 3]]


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: filter_images(IMAGES, np.ones((2, 3), np.float32)), r"odd sides.*\[2, 3\]"),
        (lambda: median_filter(IMAGES, 4), "odd sides"),
        (lambda: median_filter(IMAGES, 23), "23x23 is larger than the image of 21x34"),
        (lambda: gaussian_filter(IMAGES, 9.0), "73x73 is larger than the image"),
        (lambda: gaussian_filter(IMAGES, 0.0), "sigma is positive"),
        (lambda: low_pass(IMAGES, -0.1), "0 or more cycles per pixel, not -0.1"),
    ],
)
def test_what_does_not_fit_is_refused(call, words):
    with pytest.raises(UserError, match=words):
        call()
