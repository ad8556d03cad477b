import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jdl.layers.convolution import ConvTranspose
from jdl.ops.convolution import conv_transpose


def test_adds_the_bias_to_the_transposed_convolution():
    layer = ConvTranspose(3, (4, 4), stride=2, padding=1)
    x = jax.random.normal(jax.random.key(1), (2, 5, 4, 6))
    parameters = {
        "kernel": jax.random.normal(jax.random.key(2), (4, 4, 3, 6)),
        "bias": jnp.array([1.0, 2.0, 3.0]),
    }
    expected = conv_transpose(x, parameters["kernel"], 2, 1) + jnp.array([[[[1.0, 2.0, 3.0]]]])
    np.testing.assert_allclose(layer.apply({"params": parameters}, x), expected, rtol=1e-6)


def test_kernel_is_drawn_for_the_inputs_that_a_pixel_sums():
    kernel = jax.jit(ConvTranspose(7, (3, 3)).init)(jax.random.key(0), jnp.zeros((1, 2, 2, 500)))[
        "params"
    ]["kernel"]
    assert kernel.shape == (3, 3, 7, 500)
    assert float(kernel.std()) == pytest.approx((9 * 500) ** -0.5, rel=0.03)
