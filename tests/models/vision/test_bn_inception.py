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
    model, images = jdl.create_model("bn_inception"), jnp.zeros((1, 224, 224, 3))
    maps = {
        "stem": (28, 192),
        "block3a": (28, 256),
        "block3b": (28, 320),
        "block3c": (14, 576),
        "block4b": (14, 576),
        "block4d": (14, 608),
        "block4e": (7, 1056),
        "block5b": (7, 1024),
    }

    def look():
        variables = model.init(KEY, images)
        return jdl.features(model, variables, images, names=[*maps, "pooled"])

    found = jax.eval_shape(look)
    assert {name: found[name].shape[2:] for name in maps} == maps
    assert found["pooled"].shape == (1, 1024)


def test_multiply_adds():
    assert jdl.summary("bn_inception").total_macs == 2_032_600_064


@pytest.mark.parametrize(("height", "width"), [(32, 32), (96, 64)])
def test_sizes(height, width):
    model = jdl.create_model("bn_inception", num_classes=7, in_channels=1)
    assert call(model, jnp.zeros((2, height, width, 1))).shape == (2, 7)


def test_biases_before_the_normalisation():
    images = jnp.zeros((1, 224, 224, 3))
    counts = [
        sum(
            leaf.size for leaf in jax.tree.leaves(jax.eval_shape(model.init, KEY, images)["params"])
        )
        for model in (jdl.create_model("bn_inception", use_bias=bias) for bias in (False, True))
    ]
    assert counts == [11_285_224, 11_295_240]


def test_dropout_only_when_training():
    model, images = jdl.create_model("bn_inception"), jnp.zeros((2, 32, 32, 3))
    call(model, images)
    with pytest.raises(flax.errors.InvalidRngError):
        call(model, images, train=True)
    call(model.clone(dropout_rate=0.0), images, train=True)


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ((1, 97, 96, 3), "sides are multiples of 32 pixels, not 97x96"),
        ((1, 96, 96, 1), "these images have 1 channel, the network takes 3"),
    ],
)
def test_what_does_not_fit_is_refused(shape, message):
    with pytest.raises(UserError, match=message):
        call(jdl.create_model("bn_inception"), jnp.zeros(shape))


def test_half_precision_keeps_parameters_in_single():
    model, images = jdl.create_model("bn_inception", dtype=jnp.bfloat16), jnp.zeros((1, 96, 96, 3))
    logits, variables = jax.eval_shape(lambda: model.init_with_output(KEY, images))
    assert logits.dtype == jnp.bfloat16
    assert {leaf.dtype for leaf in jax.tree.leaves(variables)} == {jnp.dtype("float32")}
