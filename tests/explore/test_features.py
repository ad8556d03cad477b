import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jdl
from jdl.errors import UserError
from jdl.explore.macs import count_macs


def setting():
    model = jdl.create_model("lenet5")
    images = jax.random.uniform(jax.random.key(1), (2, 28, 28, 1))
    return model, jax.jit(model.init)(jax.random.key(0), images), images


def test_gives_what_was_asked_for_in_that_order():
    model, variables, images = setting()
    found = jdl.features(model, variables, images, names=["f6", "c1"])
    assert list(found) == ["f6", "c1"]
    assert found["c1"].shape == (2, 28, 28, 6)
    head = variables["params"]["fc3"]
    logits = model.apply(variables, images)
    np.testing.assert_allclose(
        found["f6"] @ head["kernel"] + head["bias"][None], logits, rtol=1e-5, atol=1e-6
    )


def test_activations_inside_modules_have_their_path():
    model = jdl.create_model("gpt2", num_layers=2, width=8, num_heads=2, vocabulary_size=5)
    text = jnp.zeros((1, 3), int)
    variables = jax.jit(model.init)(jax.random.key(0), text)
    look = jax.jit(lambda v: jdl.features(model, v, text, names=["h.1.attn.weights", "embedded"]))
    weights = look(variables)["h.1.attn.weights"]
    np.testing.assert_allclose(weights.sum(-1), np.ones((1, 2, 3)), rtol=1e-5)


def test_unknown_names_are_refused_with_the_nearest():
    model, variables, images = setting()
    with pytest.raises(UserError, match=r"no activation 'c2'; the closest are s2, c5, c3"):
        jdl.features(model, variables, images, names=["c2"])
    with pytest.raises(UserError, match="Dense offers no activation 'x'; the closest are none"):
        jdl.features(
            nn.Dense(2),
            {"params": {"kernel": jnp.ones((3, 2)), "bias": jnp.ones(2)}},
            jnp.ones((1, 3)),
            names=["x"],
        )


def test_nothing_is_computed_when_nobody_asks(monkeypatch):
    model, variables, images = setting()

    def equations():
        return str(jax.make_jaxpr(lambda v, x: model.apply(v, x))(variables, images))

    offered = equations()
    monkeypatch.setattr(nn.Module, "sow", lambda *_, **__: False)
    assert offered == equations()


def test_under_jit_only_what_the_names_need_is_computed():
    model, variables, images = setting()
    look = jax.jit(lambda v, x: jdl.features(model, v, x, names=["s2"]))
    compiled = look.lower(variables, images).compile().as_text()
    whole = count_macs(jax.make_jaxpr(lambda v, x: model.apply(v, x))(variables, images).jaxpr)
    assert whole.total() > 0
    assert "120" not in compiled  # the width of the first dense layer
