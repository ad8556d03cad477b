import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jdl
from jdl.errors import UserError
from jdl.explore.attention import attention_layers, attention_map, attention_rollout
from jdl.models.vision.vit import VisionTransformer


def tiny(**options):
    sizes = {"patch_size": 4, "width": 8, "num_layers": 2, "num_heads": 2, "mlp_width": 8}
    model = VisionTransformer(**sizes, image_size=12, num_classes=3, **options)
    images = jax.random.uniform(jax.random.key(0), (2, 12, 12, 3))
    return model, jax.jit(model.init)(jax.random.key(1), images), images


def test_rollout_by_hand():
    random = np.random.RandomState(0)
    layers = [random.dirichlet(np.ones(4), (2, 3, 4)) for _ in range(3)]
    expected = []
    for image in range(2):
        product = np.eye(4)
        for layer in layers:
            mixed = layer[image].mean(0) + np.eye(4)
            product = (mixed / mixed.sum(1, keepdims=True)) @ product
        expected.append(product)
    rollout = attention_rollout([jnp.asarray(layer) for layer in layers])
    np.testing.assert_allclose(rollout, expected, rtol=1e-5)
    np.testing.assert_allclose(rollout.sum(-1), np.ones((2, 4)), rtol=1e-5)


def test_attention_to_one_patch_ends_at_that_patch():
    """All tokens look at patch 2 in the first layer; what the last one mixes does not matter."""
    to_one = jnp.zeros((1, 1, 5, 5)).at[..., 3].set(1.0)
    even = jnp.full((1, 1, 5, 5), 0.2)
    rollout = attention_rollout([to_one, even])
    assert int(rollout[0, 0, 1:].argmax()) == 2


def test_layers_are_in_their_order():
    images = jax.ShapeDtypeStruct((1, 12, 12, 3), jnp.float32)
    model = VisionTransformer(4, 8, 11, 2, 8, image_size=12)
    variables = jax.eval_shape(model.init, jax.random.key(0), images)
    names = attention_layers(model, variables, images)
    assert [name.split(".")[2] for name in names] == [f"encoder_layer_{i}" for i in range(11)]


@pytest.mark.parametrize("pool", ["token", "mean"])
def test_a_map_has_a_number_for_each_patch(pool):
    model, variables, images = tiny(pool=pool)
    found = attention_map(model, variables, images)
    assert found.shape == (2, 3, 3)
    np.testing.assert_allclose(found.sum((1, 2)), np.ones(2), rtol=1e-5)
    names = attention_layers(model, variables, images)
    weights = list(jdl.features(model, variables, images, names=names).values())
    rollout = attention_rollout(weights)
    row = rollout[0, 0, 1:] if pool == "token" else rollout[0, 1:, 1:].mean(0)
    np.testing.assert_allclose(found[0].ravel(), row / row.sum(), rtol=1e-5)


def test_networks_without_attention_have_none():
    model, images = jdl.create_model("lenet5"), jnp.zeros((1, 28, 28, 1))
    variables = jax.jit(model.init)(jax.random.key(0), images)
    assert attention_layers(model, variables, images) == []
    with pytest.raises(UserError, match="LeNet offers no attention"):
        attention_map(model, variables, images)
    with pytest.raises(UserError, match="there is none"):
        attention_rollout([])
