import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jdl
from jdl.errors import UserError
from jdl.explore.receptive_field import receptive_field
from jdl.models.vision.vgg import VGG

KEY = jax.random.key(0)


@pytest.fixture(scope="module")
def table():
    return jdl.summary("vgg16")


def test_vgg16_has_15_47_billion_multiply_adds(table):
    assert table.total_macs == 15_470_264_320


def test_vgg16_sees_212_pixels_at_pool5(table):
    # The last convolution sees 196 pixels, and the pooling one more of its outputs, 16 pixels on.
    assert next(row for row in table.rows if row.name == "features.28").receptive_field.size == (
        196,
        196,
    )
    model, image = jdl.create_model("vgg16"), jax.ShapeDtypeStruct((1, 224, 224, 3), jnp.float32)
    variables = jax.eval_shape(model.init, KEY, image)

    def pool5(image):
        zeros = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape), variables)
        return jdl.features(model, zeros, image, names=["pool5"])["pool5"]

    field = receptive_field(pool5, image)
    assert (field.size, field.stride, field.offset) == ((212, 212), (32, 32), (-90, -90))


def test_the_gradient_reaches_as_far_as_pool5_sees():
    model = jdl.create_model("vgg16", widths=(1,) * 5, hidden=1, num_classes=1, in_channels=1)
    variables = jax.eval_shape(model.init, KEY, jnp.zeros((1, 288, 288, 1)))
    # Under kernels without a negative number no gradient cancels.
    mean = jax.tree.map(
        lambda leaf: jnp.full(leaf.shape, 1 / 9 if len(leaf.shape) == 4 else 0.0), variables
    )

    def fifth(image):
        return jdl.features(model, mean, image, names=["pool5"])["pool5"][0, 4, 4, 0]

    # The largest number of a window is its last where an image rises, its first where it falls.
    ramp = jnp.add(*jnp.meshgrid(jnp.arange(288.0), jnp.arange(288.0)))[None, :, :, None]
    reach = jax.jit(jax.grad(fifth))
    seen = (reach(ramp) + reach(600 - ramp))[0, :, :, 0] > 0
    first = 4 * 32 - 90
    for axis in (0, 1):
        assert np.flatnonzero(seen.any(axis))[[0, -1]].tolist() == [first, first + 211]


def test_nine_tenths_of_the_parameters_are_in_the_dense_layers(table):
    dense = sum(row.parameters for row in table.rows if row.kind == "Dense")
    assert dense == 123_642_856
    assert next(row for row in table.rows if row.name == "classifier.0").parameters == 102_764_544


@pytest.mark.parametrize(("name", "convolutions"), [("vgg11", 8), ("vgg13", 10), ("vgg19_bn", 16)])
def test_layers_with_weights(name, convolutions):
    model = jdl.create_model(name)
    params = jax.eval_shape(model.init, KEY, jnp.zeros((1, 224, 224, 3)))["params"]
    kernels = [leaf["kernel"].shape for leaf in params.values() if "kernel" in leaf]
    assert len(kernels) == convolutions + 3
    assert {shape[:2] for shape in kernels if len(shape) == 4} == {(3, 3)}


@pytest.mark.parametrize(("height", "width"), [(32, 32), (97, 75), (224, 224)])
def test_sizes(height, width):
    model = jdl.create_model("vgg11", num_classes=7, in_channels=1)
    images = jnp.zeros((2, height, width, 1))

    def look(key):
        variables = model.init(key, images)
        return model.apply(variables, images, mutable=["intermediates"])

    logits, state = jax.eval_shape(look, KEY)
    offered = state["intermediates"]
    assert logits.shape == (2, 7)
    assert offered["pool5"][0].shape == (2, height // 32, width // 32, 512)
    assert offered["fc7"][0].shape == (2, 4096)
    assert {"relu1_1", "relu3_2", "relu5_2", "pool1", "fc6"} <= set(offered)


def test_dropout_only_when_training():
    model = VGG(stage_sizes=(1, 1), num_classes=3)
    images = jax.random.normal(KEY, (1, 8, 8, 3))
    variables = jax.jit(model.init)(KEY, images)
    apply = jax.jit(model.apply, static_argnames="train")
    still = apply(variables, images)
    np.testing.assert_array_equal(still, apply(variables, images))
    one, other = (
        apply(variables, images, train=True, rngs={"dropout": jax.random.key(seed)})
        for seed in (1, 2)
    )
    assert not np.allclose(one, other)
    assert not np.allclose(one, still)


def test_another_number_of_channels_is_refused():
    with pytest.raises(UserError, match="1 channel, the network takes 3"):
        jdl.create_model("vgg11").init(KEY, jnp.zeros((1, 32, 32, 1)))
