"""The Inception networks with the same conventions: BN-Inception, v3, v4, Inception-ResNet-v2."""

import dataclasses

import flax.errors
import jax
import jax.numpy as jnp
import pytest

import jdl
from jdl.errors import UserError

KEY = jax.random.key(0)


@dataclasses.dataclass(frozen=True)
class Facts:
    """What a network is known to do: rows and channels of its maps, and what it takes."""

    size: int
    maps: dict[str, tuple[int, int]]
    pooled: int
    macs: int
    sizes: tuple[tuple[int, int], ...]
    refused: tuple[tuple[int, int], str]


LARGE = ((75, 75), (101, 96))
FACTS = {
    "bn_inception": Facts(
        224,
        {
            "stem": (28, 192),
            "block3a": (28, 256),
            "block3b": (28, 320),
            "block3c": (14, 576),
            "block4b": (14, 576),
            "block4d": (14, 608),
            "block4e": (7, 1056),
            "block5b": (7, 1024),
        },
        pooled=1024,
        macs=2_032_600_064,
        sizes=((32, 32), (96, 64)),
        refused=((97, 96), "sides are multiples of 32 pixels, not 97x96"),
    ),
    "inception_v3": Facts(
        299,
        {
            "stem": (35, 192),
            "block5b": (35, 256),
            "block5d": (35, 288),
            "block6a": (17, 768),
            "block6e": (17, 768),
            "block7a": (8, 1280),
            "block7c": (8, 2048),
        },
        pooled=2048,
        macs=5_713_216_096,
        sizes=LARGE,
        refused=((74, 96), "Inception-v3 takes images of 75x75 pixels or more, not 74x96"),
    ),
    "inception_v4": Facts(
        299,
        {
            "layer2": (147, 64),
            "layer3": (73, 160),
            "layer4": (71, 192),
            "layer5": (35, 384),
            "layer9": (35, 384),
            "layer10": (17, 1024),
            "layer17": (17, 1024),
            "layer18": (8, 1536),
            "layer21": (8, 1536),
        },
        pooled=1536,
        macs=12_253_974_624,
        sizes=LARGE,
        refused=((74, 96), "Inception-v4 takes images of 75x75 pixels or more, not 74x96"),
    ),
    "inception_resnet_v2": Facts(
        299,
        {
            "stem": (35, 320),
            "inception_a": (35, 320),
            "reduction_a": (17, 1088),
            "inception_b": (17, 1088),
            "reduction_b": (8, 2080),
            "inception_c": (8, 2080),
            "features": (8, 1536),
        },
        pooled=1536,
        macs=13_155_794_016,
        sizes=LARGE,
        refused=((74, 96), "Inception-ResNet-v2 takes images of 75x75 pixels or more, not 74x96"),
    ),
}
each = pytest.mark.parametrize("name", FACTS)


def call(model, images, **options):
    def run():
        variables = model.init(KEY, images)
        return model.apply(variables, images, mutable=["batch_stats"], **options)[0]

    return jax.eval_shape(run)


def count(model, size):
    params = jax.eval_shape(model.init, KEY, jnp.zeros((1, size, size, 3)))["params"]
    return sum(leaf.size for leaf in jax.tree.leaves(params))


@each
def test_maps(name):
    facts, model = FACTS[name], jdl.create_model(name)
    images = jnp.zeros((1, facts.size, facts.size, 3))

    def look():
        variables = model.init(KEY, images)
        return jdl.features(model, variables, images, names=[*facts.maps, "pooled"])

    found = jax.eval_shape(look)
    assert {name: found[name].shape[2:] for name in facts.maps} == facts.maps
    assert found["pooled"].shape == (1, facts.pooled)


@each
def test_multiply_adds(name):
    assert jdl.summary(name).total_macs == FACTS[name].macs


@each
def test_sizes(name):
    model = jdl.create_model(name, num_classes=7, in_channels=1)
    for height, width in FACTS[name].sizes:
        assert call(model, jnp.zeros((2, height, width, 1))).shape == (2, 7)


@each
def test_dropout_only_when_training(name):
    height, width = FACTS[name].sizes[0]
    model, images = jdl.create_model(name), jnp.zeros((2, height, width, 3))
    call(model, images)
    with pytest.raises(flax.errors.InvalidRngError):
        call(model, images, train=True)
    call(model.clone(dropout_rate=0.0), images, train=True)


@each
def test_what_does_not_fit_is_refused(name):
    (height, width), sentence = FACTS[name].refused
    with pytest.raises(UserError, match=sentence):
        call(jdl.create_model(name), jnp.zeros((1, height, width, 3)))
    with pytest.raises(UserError, match="these images have 1 channel, the network takes 3"):
        call(jdl.create_model(name), jnp.zeros((1, 96, 96, 1)))


@each
def test_half_precision_keeps_parameters_in_single(name):
    model, images = jdl.create_model(name, dtype=jnp.bfloat16), jnp.zeros((1, 96, 96, 3))
    logits, variables = jax.eval_shape(lambda: model.init_with_output(KEY, images))
    assert logits.dtype == jnp.bfloat16
    assert {leaf.dtype for leaf in jax.tree.leaves(variables)} == {jnp.dtype("float32")}


def test_bn_inceptions_biases_before_the_normalisation():
    models = [jdl.create_model("bn_inception", use_bias=bias) for bias in (False, True)]
    assert [count(model, 224) for model in models] == [11_285_224, 11_295_240]


def test_parameters_with_inception_v3s_head():
    assert count(jdl.create_model("inception_v3", aux_heads=True), 299) == 27_161_264


def test_inception_v3s_head_speaks_when_training():
    model = jdl.create_model("inception_v3", aux_heads=True, num_classes=7)
    images = jnp.zeros((2, 299, 299, 3))
    logits = call(model, images, train=True, rngs={"dropout": KEY})
    assert [y.shape for y in logits] == [(2, 7)] * 2
    assert call(model, images).shape == (2, 7)


def test_inception_v3s_head_wants_large_images_to_train_on():
    model, images = jdl.create_model("inception_v3", aux_heads=True), jnp.zeros((2, 298, 299, 3))
    with pytest.raises(UserError, match="its auxiliary head takes images of 299x299 pixels"):
        call(model, images, train=True)
