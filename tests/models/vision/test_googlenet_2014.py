import jax
import jax.numpy as jnp
import pytest

import jdl
from jdl.errors import UserError

KEY = jax.random.key(0)
IMAGE = jax.ShapeDtypeStruct((2, 224, 224, 3), jnp.float32)


def count(tree):
    return sum(leaf.size for leaf in jax.tree.leaves(tree))


def test_both_heads_have_their_parameters_and_answer_only_in_training():
    model = jdl.create_model("googlenet_2014", aux_heads=True)
    variables = jax.eval_shape(model.init, KEY, IMAGE)
    assert count(variables) == 13_378_280
    rngs = {"dropout": KEY}
    answers = jax.eval_shape(
        lambda v, x: model.apply(v, x, train=True, rngs=rngs), variables, IMAGE
    )
    assert [answer.shape for answer in answers] == [(2, 1000)] * 3
    assert jax.eval_shape(model.apply, variables, IMAGE).shape == (2, 1000)


def test_maps_of_table_1():
    model = jdl.create_model("googlenet_2014")

    def look(key, image):
        return model.apply(model.init(key, image), image, mutable=["intermediates"])

    _, state = jax.eval_shape(look, KEY, IMAGE)
    seen = {name: value[0].shape[1:] for name, value in state["intermediates"].items()}
    assert seen["stem"] == (28, 28, 192)
    assert seen["block3b"] == (28, 28, 480)
    assert seen["block4e"] == (14, 14, 832)
    assert seen["block5b"] == (7, 7, 1024)
    assert seen["pooled"] == (1024,)


def test_five_by_five_is_five_by_five():
    params = jax.eval_shape(jdl.create_model("googlenet_2014").init, KEY, IMAGE)["params"]
    assert params["inception3a"]["branch3.1"]["conv"]["kernel"].shape == (5, 5, 16, 32)


def test_small_images_are_refused():
    with pytest.raises(UserError, match="15x15 pixels or more"):
        jax.eval_shape(jdl.create_model("googlenet_2014").init, KEY, jnp.zeros((1, 14, 14, 3)))
