import flax.errors
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jdl
from jdl.errors import UserError
from jdl.weights import from_names, to_names

KEY = jax.random.key(0)


def shapes(model, size=224):
    return jax.eval_shape(model.init, KEY, jnp.zeros((1, size, size, 3)))


def call(model, images, variables=None, **options):
    variables = variables or jax.eval_shape(model.init, KEY, images)
    return jax.eval_shape(
        lambda variables: model.apply(variables, images, mutable=["batch_stats"], **options)[0],
        variables,
    )


def test_blocks_are_those_of_table_1():
    model = jdl.create_model("googlenet")
    names = ["stem", "block3a", "block3b", "block4a", "block4e", "block5b"]
    images = jnp.zeros((1, 224, 224, 3))
    found = jax.eval_shape(
        lambda variables: jdl.features(model, variables, images, names=[*names, "pooled"]),
        shapes(model),
    )
    sizes = [(28, 192), (28, 256), (28, 480), (14, 512), (14, 832), (7, 1024)]
    assert [found[name].shape for name in names] == [(1, s, s, c) for s, c in sizes]
    assert found["pooled"].shape == (1, 1024)


def test_one_and_a_half_billion_multiply_adds():
    assert jdl.summary("googlenet").total_macs == 1_498_376_192


def test_parameters_with_the_heads():
    variables = shapes(jdl.create_model("googlenet", aux_heads=True))
    assert sum(leaf.size for leaf in jax.tree.leaves(variables["params"])) == 13_004_888


@pytest.mark.parametrize(("height", "width"), [(15, 15), (97, 75), (224, 224)])
def test_sizes(height, width):
    model = jdl.create_model("googlenet", num_classes=7, in_channels=1)
    assert call(model, jnp.zeros((2, height, width, 1))).shape == (2, 7)


def test_heads_speak_when_training():
    model = jdl.create_model("googlenet", aux_heads=True, num_classes=7)
    images = jnp.zeros((2, 64, 64, 3))
    logits = call(model, images, train=True, rngs={"dropout": KEY})
    assert [y.shape for y in logits] == [(2, 7)] * 3
    assert call(model, images).shape == (2, 7)


@pytest.mark.parametrize("rates", [(0.5, 0.0), (0.0, 0.5)])
def test_dropout_only_when_training(rates):
    model = jdl.create_model(
        "googlenet", aux_heads=True, dropout_rate=rates[0], aux_dropout_rate=rates[1]
    )
    images = jnp.zeros((2, 32, 32, 3))
    call(model, images)
    with pytest.raises(flax.errors.InvalidRngError):
        call(model, images, train=True)
    call(model.clone(dropout_rate=0.0, aux_dropout_rate=0.0), images, train=True)


def test_weights_with_heads_load_without_them():
    with_heads = jdl.create_model("googlenet", aux_heads=True)
    variables = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape), shapes(with_heads))
    names = to_names(variables)
    assert "aux2.fc2.bias" in names
    loaded = from_names(jdl.create_model("googlenet"), names)
    assert jax.tree.structure(loaded) == jax.tree.structure(
        {k: dict(v) for k, v in shapes(jdl.create_model("googlenet")).items()}
    )
    with pytest.raises(UserError, match=r"missing \(first aux1.conv.bn.bias"):
        from_names(with_heads, to_names(loaded))


@pytest.mark.slow
def test_transformed_input_is_what_tensorflow_wants():
    images = jax.random.uniform(KEY, (1, 32, 32, 3))
    mean, deviation = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])
    model = jdl.create_model("googlenet")
    variables = jax.jit(model.init)(KEY, images)
    normalised = ((images - mean[None, None, None]) / deviation[None, None, None]).astype("float32")
    found = jdl.create_model("googlenet", transform_input=True).apply(variables, normalised)
    np.testing.assert_allclose(found, model.apply(variables, 2 * images - 1), rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ((1, 14, 64, 3), "GoogLeNet takes images of 15x15 pixels or more, not 14x64"),
        ((1, 64, 64, 1), "these images have 1 channel, the network takes 3"),
    ],
)
def test_what_does_not_fit_is_refused(shape, message):
    with pytest.raises(UserError, match=message):
        call(jdl.create_model("googlenet"), jnp.zeros(shape))


def test_half_precision_keeps_parameters_in_single():
    model = jdl.create_model("googlenet", dtype=jnp.bfloat16)
    assert call(model, jnp.zeros((1, 64, 64, 3))).dtype == jnp.bfloat16
    assert {leaf.dtype for leaf in jax.tree.leaves(shapes(model))} == {jnp.dtype("float32")}
