import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jdl.ops.convolution import conv_general_dilated
from jdl.ops.depthwise import depthwise_conv

CASES = [  # height, width, kernel, stride, padding
    (7, 6, 3, 1, ((1, 1), (1, 1))),
    (7, 6, 3, 2, ((1, 1), (1, 1))),
    (8, 9, 3, 2, ((0, 1), (1, 0))),
    (9, 8, 5, 1, ((2, 2), (2, 2))),
    (9, 8, 5, 2, ((2, 2), (2, 2))),
    (6, 7, 5, 2, ((1, 2), (2, 3))),
    (5, 7, 3, 1, ((0, 0), (0, 0))),
    (5, 7, 3, 1, ((3, 2), (0, 4))),
    (10, 7, 3, 3, ((1, 1), (0, 2))),
    (6, 7, 1, 2, ((0, 0), (0, 0))),
    (3, 3, 7, 2, ((3, 3), (3, 3))),
]
OPTIONS = {"dimension_numbers": ("NHWC", "HWIO", "NHWC")}


def value_and_gradients(convolve, x, w):
    def loss(x, w):
        y = convolve(x, w)
        return jnp.sin(y).sum(), y

    return jax.jit(jax.grad(loss, argnums=(0, 1), has_aux=True))(x, w)


def draw(height, width, size, channels=5):
    random = np.random.RandomState(0)
    x = random.randn(2, height, width, channels)
    w = random.randn(size, size, 1, channels)
    return jnp.asarray(x, jnp.float32), jnp.asarray(w, jnp.float32)


@pytest.mark.parametrize("case", CASES)
def test_is_laxs_forward_and_backward(case):
    height, width, size, stride, padding = case
    x, w = draw(height, width, size)
    found = value_and_gradients(lambda x, w: depthwise_conv(x, w, stride, padding), x, w)
    expected = value_and_gradients(
        lambda x, w: jax.lax.conv_general_dilated(
            x, w, (stride, stride), padding, feature_group_count=5, **OPTIONS
        ),
        x,
        w,
    )
    for a, b in zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("padding", ["SAME", "VALID", [(1, 0), (2, 1)]])
@pytest.mark.parametrize("stride", [1, 2])
def test_grouped_convolution_goes_this_way_on_a_cpu(stride, padding):
    x, w = draw(6, 7, 3)

    def fast(x, w):
        return conv_general_dilated(x, w, (stride, stride), padding, feature_group_count=5)

    assert "conv_general_dilated" not in str(jax.make_jaxpr(fast)(x, w))
    expected = jax.lax.conv_general_dilated(
        x, w, (stride, stride), padding, feature_group_count=5, **OPTIONS
    )
    np.testing.assert_allclose(fast(x, w), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("groups", "features", "options"),
    [
        (1, 5, {}),
        (5, 5, {"rhs_dilation": (2, 2)}),
        (5, 5, {"lhs_dilation": (2, 2)}),
    ],
)
def test_other_convolutions_stay_laxs(groups, features, options):
    x = jnp.ones((1, 8, 8, 5))
    w = jnp.ones((3, 3, 5 // groups, features))
    options = {"feature_group_count": groups, **options}
    found = conv_general_dilated(x, w, (1, 1), [(1, 1)] * 2, **options)
    expected = jax.lax.conv_general_dilated(x, w, (1, 1), [(1, 1)] * 2, **options, **OPTIONS)
    np.testing.assert_array_equal(found, expected)


def test_half_precision_stays_laxs():
    x, w = (z.astype(jnp.bfloat16) for z in draw(6, 7, 3))
    y = jax.make_jaxpr(
        lambda x, w: conv_general_dilated(x, w, (1, 1), "SAME", feature_group_count=5)
    )(x, w)
    assert "conv_general_dilated" in str(y)


def test_a_batch_of_networks():
    x, w = draw(6, 7, 3)
    kernels = jnp.stack([w, 2 * w])
    found = jax.vmap(lambda w: depthwise_conv(x, w, 1, [(1, 1), (1, 1)]))(kernels)
    np.testing.assert_allclose(found[1], 2 * found[0], rtol=1e-5)
