from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jdl.ops import im2col
from jdl.ops.convolution import conv_general_dilated

LAYOUT = ("NHWC", "HWIO", "NHWC")
CASES = [  # height, width, kernel, stride, padding
    (7, 6, (3, 3), 1, ((1, 1), (1, 1))),
    (7, 6, (3, 3), 2, ((1, 1), (1, 1))),
    (8, 9, (3, 3), 2, ((0, 1), (1, 0))),
    (9, 8, (5, 2), 3, ((2, 0), (1, 2))),
    (6, 7, (1, 1), 2, ((0, 0), (0, 0))),
    (5, 5, (1, 7), 1, ((0, 0), (3, 3))),
]


def value_and_gradients(convolve, x, w):
    def loss(x, w):
        y = convolve(x, w)
        return jnp.sin(y).sum(), y

    return jax.jit(jax.grad(loss, argnums=(0, 1), has_aux=True))(x, w)


def draw(height, width, size, channels=5, features=4):
    random = np.random.RandomState(0)
    x = random.randn(2, height, width, channels)
    w = random.randn(*size, channels, features)
    return jnp.asarray(x, jnp.float32), jnp.asarray(w, jnp.float32)


def both(convolve, stride, padding):
    """This way to convolve, and that of `lax`."""
    lax = partial(
        jax.lax.conv_general_dilated,
        window_strides=(stride, stride),
        padding=padding,
        dimension_numbers=LAYOUT,
    )
    return partial(convolve, stride=stride, padding=padding), lax


@pytest.mark.parametrize("convolve", [im2col.conv, im2col.conv_with_lax])
@pytest.mark.parametrize("case", CASES)
def test_is_laxs_forward_and_backward(case, convolve):
    height, width, size, stride, padding = case
    x, w = draw(height, width, size)
    found, expected = (value_and_gradients(c, x, w) for c in both(convolve, stride, padding))
    for a, b in zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("convolve", [im2col.conv, im2col.conv_with_lax])
@pytest.mark.parametrize("case", CASES)
def test_the_gradient_of_a_gradient_is_that_of_lax(case, convolve):
    height, width, size, stride, padding = case

    def slope(convolve, x, w):
        gradients = jax.grad(lambda *xw: jnp.sin(convolve(*xw)).sum(), argnums=(0, 1))(x, w)
        return sum(jnp.square(g).sum() for g in gradients)

    x, w = draw(height, width, size, channels=2, features=3)
    found, expected = (
        jax.jit(jax.grad(partial(slope, c), argnums=(0, 1)))(x, w)
        for c in both(convolve, stride, padding)
    )
    for a, b in zip(found, expected, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize(("shape", "stride"), [((1, 9, 9, 128), 2), ((1, 7, 7, 256), 1)])
@pytest.mark.parametrize("padding", ["SAME", "VALID", [(1, 0), (2, 1)]])
def test_wide_convolutions_go_this_way_on_a_cpu(shape, stride, padding):
    x, w = jnp.ones(shape), jnp.ones((3, 3, shape[3], shape[3]))

    def fast(x, w):
        return conv_general_dilated(x, w, (stride, stride), padding)

    assert "conv_general_dilated" not in str(jax.make_jaxpr(fast)(x, w))
    expected = jax.lax.conv_general_dilated(
        x, w, (stride, stride), padding, dimension_numbers=LAYOUT
    )
    np.testing.assert_allclose(fast(x, w), expected, rtol=1e-5)


def test_a_batch_of_networks():
    x, w = draw(6, 7, (3, 3))
    conv = partial(im2col.conv, stride=2, padding=((1, 1), (1, 1)))
    found = jax.vmap(conv, (None, 0))(x, jnp.stack([w, 2 * w]))
    np.testing.assert_allclose(found[1], 2 * found[0], rtol=1e-5)


def test_wins_is_a_rule_on_shapes():
    assert im2col.wins(8, 56, 56, 2, 128, 128)
    assert not im2col.wins(8, 56, 56, 1, 128, 32)
    assert not im2col.wins(32, 14, 14, 1, 256, 256)
    assert im2col.wins_with_lax(8, 224, 224, 2, 64)
    assert not im2col.wins_with_lax(64, 28, 28, 1, 16)
    assert not im2col.wins_with_lax(64, 7, 7, 1, 32)


def test_only_the_kernels_gradient_of_large_maps_goes_this_way_on_a_cpu():
    x, w = jnp.ones((8, 32, 32, 16)), jnp.ones((3, 3, 16, 32))
    shape = jax.eval_shape(lambda: conv_general_dilated(x, w, (1, 1), "SAME"))
    _, pull = jax.vjp(lambda *xw: conv_general_dilated(*xw, (1, 1), "SAME"), x, w)
    lines = str(jax.make_jaxpr(pull)(jnp.ones(shape.shape))).splitlines()
    assert sum("conv_general_dilated" in line for line in lines) == 1
    assert sum("dot_general" in line for line in lines) == 3  # one for each row of the kernel
