"""AlexNet in both forms, and ZFNet, their successor."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jdl
from jdl.errors import UserError

KEY = jax.random.key(0)


def shapes(name, size, **overrides):
    model = jdl.create_model(name, **overrides)
    image = jax.ShapeDtypeStruct((1, size, size, 3), jnp.float32)

    def look(key, image):
        variables = model.init(key, image)
        return variables, model.apply(variables, image, mutable=["intermediates"])

    variables, (logits, state) = jax.eval_shape(look, KEY, image)
    seen = {name: value[0].shape for name, value in state["intermediates"].items()}
    return variables["params"], logits.shape, seen


@pytest.mark.parametrize(
    ("name", "size", "maps"),
    [
        ("alexnet", 224, {"relu1": 55, "pool1": 27, "pool2": 13, "relu5": 13, "pool5": 6}),
        ("alexnet_2012", 227, {"relu1": 27, "relu2": 27, "pool2": 13, "relu5": 13, "pool5": 6}),
        ("zfnet", 224, {"relu1": 110, "pool1": 55, "relu2": 26, "pool2": 13, "pool5": 6}),
    ],
)
def test_maps_have_the_papers_sizes(name, size, maps):
    _, logits, seen = shapes(name, size)
    assert logits == (1, 1000)
    assert {layer: seen[layer][1] for layer in maps} == maps
    assert seen["relu7"] == (1, 4096)


def test_towers_of_2012_see_their_own_half():
    params, _, _ = shapes("alexnet_2012", 227)
    inputs = {layer: params[layer]["kernel"].shape[2] for layer in params if "conv" in layer}
    assert inputs == {"conv1": 3, "conv2": 48, "conv3": 256, "conv4": 192, "conv5": 192}


def test_biases_and_deviations_of_2012():
    model = jdl.create_model("alexnet_2012", hidden=64, num_classes=10)
    params = jax.jit(model.init)(KEY, jnp.zeros((1, 227, 227, 3)))["params"]
    ones = {layer for layer, leaf in params.items() if (leaf["bias"] == 1).all()}
    zeros = {layer for layer, leaf in params.items() if (leaf["bias"] == 0).all()}
    assert ones == {"conv2", "conv4", "conv5", "fc6", "fc7"}
    assert zeros == {"conv1", "conv3", "fc8"}
    wide = {layer for layer, leaf in params.items() if leaf["kernel"].std() > 0.02}
    assert wide == {"conv3", "conv4", "conv5"}


@pytest.mark.parametrize("name", ["alexnet", "alexnet_2012", "zfnet"])
def test_dropout_only_when_training(name):
    small = {"features": (8, 8, 8, 8, 8), "hidden": 32} if name != "alexnet" else {}
    model = jdl.create_model(name, num_classes=3, **small)
    images = jax.random.normal(KEY, (1, 67, 67, 3))
    variables = jax.jit(model.init)(KEY, images)
    apply = jax.jit(model.apply, static_argnames="train")
    np.testing.assert_array_equal(apply(variables, images), apply(variables, images))
    one, other = (
        apply(variables, images, train=True, rngs={"dropout": jax.random.key(seed)})
        for seed in (0, 1)
    )
    assert (one != other).any()


def test_wrong_images():
    with pytest.raises(UserError, match="3 channels, the network takes 1"):
        shapes("alexnet_2012", 227, in_channels=1)
    with pytest.raises(UserError, match="63x63 pixels or more, not 62x62"):
        shapes("alexnet", 62)
