from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jax import lax
from jax.sharding import NamedSharding, PartitionSpec
from jaxtyping import TypeCheckError

from jdl.ops import winograd
from jdl.ops.winograd import conv3x3, wins

# Float32 rounding: at most 1.5e-5 of a standard deviation by F(2×2) as measured, 1e-4 by
# F(4×4), whose matrices amplify by more (both of the kernel's gradient); three times that. One
# wrong entry of any matrix errs by 1e-1 and more.
TOLERANCE = {2: 5e-5, 4: 3e-4}


def lax_conv(images, kernel):
    dimensions = ("NHWC", "HWIO", "NHWC")
    return lax.conv_general_dilated(images, kernel, (1, 1), "SAME", dimension_numbers=dimensions)


def drawn(batch, height, width, channels, features, seed=0):
    keys = jax.random.split(jax.random.key(seed), 3)
    images = jax.random.normal(keys[0], (batch, height, width, channels))
    kernel = jax.random.normal(keys[1], (3, 3, channels, features)) / (9 * channels) ** 0.5
    return images, kernel, jax.random.normal(keys[2], (batch, height, width, features))


def all_three(convolution, images, kernel, gradient):
    outputs, pull_back = jax.vjp(convolution, images, kernel)
    return outputs, *pull_back(gradient)


def assert_same(got, expected, tolerance):
    for a, b in zip(got, expected, strict=True):
        assert a.shape == b.shape
        scale = np.sqrt(np.mean(np.square(b)))
        np.testing.assert_allclose(a / scale, b / scale, rtol=0, atol=tolerance)


@pytest.mark.parametrize(
    ("tile", "shape"),
    [
        (2, (2, 8, 8, 5, 5)),
        (2, (3, 7, 9, 4, 6)),
        (2, (1, 1, 2, 3, 2)),
        (4, (2, 8, 8, 5, 5)),
        (4, (2, 14, 9, 3, 8)),
    ],
)
def test_outputs_and_both_gradients_are_those_of_lax(shape, tile):
    arrays = drawn(*shape)
    ours = partial(winograd._conv3x3, tile=tile)
    expected = all_three(lax_conv, *arrays)
    assert_same(jax.jit(partial(all_three, ours))(*arrays), expected, TOLERANCE[tile])


@pytest.mark.parametrize("tile", [2, 4])
def test_the_gradient_of_a_gradient_is_that_of_lax(tile):
    def slope(convolution, images, kernel):
        sum_of = lambda x, w: jnp.square(convolution(x, w)).sum()
        return sum(jnp.square(g).sum() for g in jax.grad(sum_of, argnums=(0, 1))(images, kernel))

    arrays = drawn(2, 7, 6, 3, 4)[:2]
    ours = partial(winograd._conv3x3, tile=tile)
    second = [jax.jit(jax.grad(partial(slope, c), argnums=(0, 1))) for c in (ours, lax_conv)]
    assert_same(second[0](*arrays), second[1](*arrays), TOLERANCE[tile])


@pytest.mark.slow
@settings(max_examples=3, deadline=None)
@given(
    st.tuples(st.integers(1, 3), *[st.integers(1, 9)] * 2, *[st.integers(1, 4)] * 2),
    st.integers(0, 9),
)
def test_any_small_shape(shape, seed):
    arrays = drawn(*shape, seed)
    got = jax.jit(partial(all_three, conv3x3))(*arrays)
    assert_same(got, all_three(lax_conv, *arrays), TOLERANCE[2])


def test_large_images_take_large_tiles():
    arrays = drawn(1, 27, 26, 3, 4)
    got = jax.jit(partial(all_three, conv3x3))(*arrays)
    assert_same(got, all_three(lax_conv, *arrays), TOLERANCE[4])


def test_a_batch_sharded_over_devices():
    mesh = jax.make_mesh((8,), ("data",), axis_types=(jax.sharding.AxisType.Auto,))
    images, kernel, gradient = drawn(8, 6, 6, 4, 5)
    expected = all_three(lax_conv, images, kernel, gradient)
    by_batch = NamedSharding(mesh, PartitionSpec("data"))
    images, gradient = jax.device_put((images, gradient), by_batch)
    kernel = jax.device_put(kernel, NamedSharding(mesh, PartitionSpec()))
    got = jax.jit(partial(all_three, conv3x3))(images, kernel, gradient)
    assert_same(jax.device_get(got), expected, TOLERANCE[2])


def test_pmap():
    images, kernel, _ = drawn(8, 6, 6, 4, 5)
    got = jax.pmap(conv3x3, in_axes=(0, None))(images.reshape(4, 2, 6, 6, 4), kernel)
    got = jax.device_get(got).reshape(8, 6, 6, 5)
    assert_same([got], [lax_conv(images, kernel)], TOLERANCE[2])


def test_half_precision_is_refused():
    images, kernel, _ = drawn(1, 4, 4, 2, 2)
    with pytest.raises(TypeCheckError):
        conv3x3(images.astype(jnp.bfloat16), kernel.astype(jnp.bfloat16))


def test_wins_is_a_rule_on_shapes():
    assert wins(64, 14, 14, 64, 64)
    assert wins(32, 32, 32, 64, 64)
    assert not wins(64, 28, 28, 32, 32)
    assert not wins(64, 14, 14, 3, 64)
    assert not wins(1, 14, 14, 64, 64)
