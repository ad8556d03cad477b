import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from jdl.ops.convolution import conv_transpose
from jdl.ops.resampling import (
    downsample_binomial,
    smooth_binomial,
    upsample_bilinear,
    upsample_binomial,
)

KERNEL = np.outer([1, 3, 3, 1], [1, 3, 3, 1]).astype(np.float32)[:, :, None, None] / 64


def filtered(images, padding, stride=1, zeros_between=1, gain=1):
    """By one convolution of two dimensions, channel by channel."""
    channels = images.shape[-1]
    return lax.conv_general_dilated(
        images,
        gain * jnp.tile(KERNEL, (1, 1, 1, channels)),
        (stride, stride),
        [padding] * 2,
        lhs_dilation=(zeros_between, zeros_between),
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
        feature_group_count=channels,
    )


@pytest.mark.parametrize("shape", [(2, 6, 8, 3), (1, 2, 2, 1)])
def test_taps_one_by_one_are_one_filter(shape):
    x = jax.random.normal(jax.random.key(0), shape)
    close = lambda ours, theirs: np.testing.assert_allclose(ours, theirs, atol=1e-5)
    # The last pixel is followed by a zero, too.
    close(upsample_binomial(x), filtered(x, (2, 2), zeros_between=2, gain=4))
    close(downsample_binomial(x), filtered(x, (1, 1), stride=2))
    close(smooth_binomial(x, (2, 2)), filtered(x, (2, 2)))


def test_gradients_are_those_of_the_filter():
    x = jax.random.normal(jax.random.key(0), (2, 6, 4, 3))
    slope = lambda f: jax.grad(lambda x: jnp.sin(f(x)).sum())
    for ours, theirs in [
        (upsample_binomial, lambda x: filtered(x, (2, 2), zeros_between=2, gain=4)),
        (downsample_binomial, lambda x: filtered(x, (1, 1), stride=2)),
    ]:
        np.testing.assert_allclose(slope(ours)(x), slope(theirs)(x), atol=1e-5)
        twice = [jax.grad(lambda x, f=f: jnp.square(slope(f)(x)).sum())(x) for f in (ours, theirs)]
        np.testing.assert_allclose(*twice, atol=1e-5)


def test_an_image_that_is_smooth_stays_what_it_is():
    x = jnp.sin(jnp.arange(32) / 5)[None, :, None, None] * jnp.ones((1, 1, 32, 1))
    there_and_back = downsample_binomial(upsample_binomial(x))
    np.testing.assert_allclose(there_and_back[:, 3:-3, 3:-3], x[:, 3:-3, 3:-3], atol=0.05)


@pytest.mark.parametrize("factor", [2, 8, 32])
def test_bilinear_upsampling_is_a_transposed_convolution(factor):
    images = jax.random.normal(jax.random.key(0), (2, 3, 5, 3))
    triangle = 1 - np.abs(np.arange(2 * factor) - factor + 0.5) / factor
    kernel = np.outer(triangle, triangle).astype(np.float32)[:, :, None, None] * np.eye(3)
    expected = conv_transpose(images, jnp.asarray(kernel, jnp.float32), factor)
    assert expected.shape == (2, 4 * factor, 6 * factor, 3)
    np.testing.assert_allclose(upsample_bilinear(images, factor), expected, rtol=0, atol=1e-6)


def test_bilinear_upsampling_is_straight_between_pixels():
    ramp = jnp.arange(6.0).reshape(1, 6, 1, 1) * jnp.ones((1, 1, 6, 1))
    inside = upsample_bilinear(ramp, 4)[0, 4:-4, 12, 0]
    np.testing.assert_allclose(jnp.diff(inside), 0.25, rtol=1e-5)
