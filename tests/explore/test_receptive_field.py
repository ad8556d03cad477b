import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.ad_checkpoint import checkpoint_name

from jdl.explore.receptive_field import ReceptiveField, receptive_field, receptive_fields
from jdl.ops.pooling import avg_pool, max_pool


def convolve(x, size, stride=1, padding=0, dilation=1, spread=1):
    """A convolution with a kernel of ones, under which no gradient cancels."""
    return jax.lax.conv_general_dilated(
        x,
        jnp.ones((size, size, 1, 1)),
        (stride, stride),
        [(padding, padding)] * 2,
        lhs_dilation=(spread, spread),
        rhs_dilation=(dilation, dilation),
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
    )


def vgg16_features(x):
    for convolutions in (2, 2, 3, 3, 3):
        for _ in range(convolutions):
            x = nn.relu(convolve(x, 3, padding=1))
        x = max_pool(x)
    return x


def random_network(seed):
    """A few random layers, each of a kind that has its own rule."""
    random = np.random.RandomState(seed)
    kinds = {
        "conv": lambda x, k, s: convolve(x, k, s, padding=k // 2),
        "valid": lambda x, k, s: convolve(x, k, s),
        "dilated": lambda x, k, s: convolve(x, 2, s, padding=1, dilation=k),
        "average": lambda x, k, s: avg_pool(x, k, s),
        "window": lambda x, k, s: nn.avg_pool(x, (k, k), (s, s), "SAME"),
        "blocks": lambda x, k, s: (
            x[:, : x.shape[1] // 2 * 2, : x.shape[2] // 2 * 2]
            .reshape(1, x.shape[1] // 2, 2, x.shape[2] // 2, 2, 1)
            .sum((2, 4))
        ),
        "shift": lambda x, k, s: jnp.pad(x, [(0, 0), (k, 0), (0, k), (0, 0)])[:, 1:, ::s],
        "residual": lambda x, k, s: x + convolve(x, 2 * k + 1, padding=k),
        "transposed": lambda x, k, s: jnp.swapaxes(jnp.swapaxes(x, 1, 2) * 2, 1, 2),
    }
    layers = [
        (str(kind), int(random.randint(1, 4)), int(random.randint(1, 3)))
        for kind in random.choice(list(kinds), 4)
    ]

    def network(x):
        for kind, size, stride in layers:
            x = kinds[kind](x, size, stride)
        return x

    return network


def seen_by_gradient(network, image, position):
    """Returns the first and the last pixel, in both axes, that an output depends on."""

    def output(image):
        return network(image)[0, position[0], position[1], 0]

    gradient = np.asarray(jax.jit(jax.grad(output))(image))[0, :, :, 0]
    rows, columns = np.nonzero(gradient)
    return [(rows.min(), rows.max()), (columns.min(), columns.max())]


@pytest.mark.parametrize("seed", range(12))
def test_tracing_and_gradient_agree_on_random_networks(seed):
    network = random_network(seed)
    image = np.ones((1, 151, 142, 1), np.float32)
    field = receptive_field(network, image)
    _, height, width, _ = jax.eval_shape(network, image).shape
    # In the middle: what padding hides from the border would differ.
    for position in [(height // 2, width // 2), (height // 2 - 1, width // 2 + 1)]:
        for axis, seen in enumerate(seen_by_gradient(network, image, position)):
            first = field.offset[axis] + field.stride[axis] * position[axis]
            assert (first, first + field.size[axis] - 1) == seen


@pytest.mark.parametrize(
    "network",
    [
        lambda x: convolve(convolve(x, 3, stride=2), 4, padding=2, spread=2),
        lambda x: convolve(avg_pool(x).repeat(2, axis=1).repeat(2, axis=2), 3, padding=1),
    ],
    ids=["transposed convolution", "nearest upsampling"],
)
def test_bound_after_upsampling_holds_and_is_tight(network):
    image = np.ones((1, 30, 30, 1), np.float32)
    field = receptive_field(network, image)
    for position in [(12, 13), (13, 12)]:
        for axis, (first, last) in enumerate(seen_by_gradient(network, image, position)):
            bound = field.offset[axis] + field.stride[axis] * position[axis]
            assert bound <= first
            assert last <= bound + field.size[axis]
            assert field.size[axis] - (last - first + 1) <= 2
    assert field.stride == (1, 1)


def test_vgg16_sees_212_pixels_at_pool5():
    image = jax.ShapeDtypeStruct((1, 224, 224, 1), jnp.float32)
    assert receptive_field(vgg16_features, image) == ReceptiveField(
        (212, 212), (32, 32), (-90, -90)
    )


@pytest.mark.parametrize(
    "network",
    [
        lambda x: x.reshape(1, -1) @ jnp.ones((64, 3)),
        lambda x: x - x.mean((1, 2), keepdims=True),
        lambda x: jnp.cumsum(x, axis=1) + jnp.cumsum(x, axis=2),
        lambda x: jax.nn.softmax(x.reshape(1, 64, 1) * x.reshape(1, 1, 64)) @ x.reshape(1, 64, 1),
    ],
    ids=["dense", "normalised", "running sums", "attention"],
)
def test_what_mixes_all_pixels_sees_all(network):
    field = receptive_field(network, jnp.ones((1, 8, 8, 1)))
    assert field == ReceptiveField((8, 8), (0, 0), (0, 0))


def test_tokens_have_one_axis():
    table = jnp.ones((10, 4))
    field = receptive_field(lambda t: table[t][:, 2:] + table[t][:, :-2], jnp.zeros((1, 9), int))
    assert field == ReceptiveField((3,), (1,), (0,))


def test_a_constant_sees_nothing():
    field = receptive_field(lambda x: jnp.sin(jnp.arange(3.0)), jnp.ones((1, 4, 4, 1)))
    assert field.size == (0, 0)


def test_what_is_not_understood_has_no_field():
    def network(x):
        x = checkpoint_name(convolve(x, 3), "before")
        x = jax.pure_callback(lambda x: x, jax.ShapeDtypeStruct(x.shape, x.dtype), x)
        return checkpoint_name(x, "after")

    jaxpr = jax.make_jaxpr(network)(jnp.ones((1, 8, 8, 1))).jaxpr
    found = receptive_fields(jaxpr, 0)
    assert found["before"].size == (3, 3)
    assert "after" not in found
    assert receptive_field(network, jnp.ones((1, 8, 8, 1))) is None
