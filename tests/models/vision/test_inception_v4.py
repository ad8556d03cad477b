import flax.errors
import jax
import jax.numpy as jnp
import pytest

import jdl
from jdl.errors import UserError

KEY = jax.random.key(0)


def call(model, images, **options):
    def run():
        variables = model.init(KEY, images)
        return model.apply(variables, images, mutable=["batch_stats"], **options)[0]

    return jax.eval_shape(run)


def test_maps():
    model, images = jdl.create_model("inception_v4"), jnp.zeros((1, 299, 299, 3))
    maps = {
        "layer2": (147, 64),
        "layer3": (73, 160),
        "layer4": (71, 192),
        "layer5": (35, 384),
        "layer9": (35, 384),
        "layer10": (17, 1024),
        "layer17": (17, 1024),
        "layer18": (8, 1536),
        "layer21": (8, 1536),
    }

    def look():
        variables = model.init(KEY, images)
        return jdl.features(model, variables, images, names=[*maps, "pooled"])

    found = jax.eval_shape(look)
    assert {name: found[name].shape[2:] for name in maps} == maps
    assert found["pooled"].shape == (1, 1536)


def test_multiply_adds():
    assert jdl.summary("inception_v4").total_macs == 12_253_974_624


@pytest.mark.parametrize(("height", "width"), [(75, 75), (101, 96)])
def test_sizes(height, width):
    model = jdl.create_model("inception_v4", num_classes=7, in_channels=1)
    assert call(model, jnp.zeros((2, height, width, 1))).shape == (2, 7)


def test_dropout_only_when_training():
    model, images = jdl.create_model("inception_v4"), jnp.zeros((2, 75, 75, 3))
    call(model, images)
    with pytest.raises(flax.errors.InvalidRngError):
        call(model, images, train=True)
    call(model.clone(dropout_rate=0.0), images, train=True)


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ((1, 74, 96, 3), "Inception-v4 takes images of 75x75 pixels or more, not 74x96"),
        ((1, 96, 96, 1), "these images have 1 channel, the network takes 3"),
    ],
)
def test_what_does_not_fit_is_refused(shape, message):
    with pytest.raises(UserError, match=message):
        call(jdl.create_model("inception_v4"), jnp.zeros(shape))


def test_half_precision_keeps_parameters_in_single():
    model, images = jdl.create_model("inception_v4", dtype=jnp.bfloat16), jnp.zeros((1, 96, 96, 3))
    logits, variables = jax.eval_shape(lambda: model.init_with_output(KEY, images))
    assert logits.dtype == jnp.bfloat16
    assert {leaf.dtype for leaf in jax.tree.leaves(variables)} == {jnp.dtype("float32")}
