import jax
import jax.numpy as jnp
import pytest

import jdl
from jdl.errors import UserError


def test_hidden_layers_can_be_looked_at():
    model = jdl.create_model("mlp", hidden_sizes=(8, 7))
    x = jnp.ones((2, 28, 28, 1))
    variables = jax.jit(model.init)(jax.random.key(0), x)
    seen = jdl.features(model, variables, x, names=["activation.0", "activation.1"])
    assert [a.shape for a in seen.values()] == [(2, 8), (2, 7)]


def test_any_depth():
    model = jdl.create_model("mlp", hidden_sizes=(8, 7, 6, 5), num_classes=3)
    variables = jax.jit(model.init)(jax.random.key(0), jnp.zeros((1, 4)))
    assert [v["kernel"].shape for v in variables["params"].values()] == [
        (4, 8), (8, 7), (7, 6), (6, 5), (5, 3),
    ]  # fmt: skip


def test_dropout_only_when_training():
    model = jdl.create_model("mlp", dropout=0.5)
    x = jax.random.uniform(jax.random.key(1), (4, 28, 28, 1))
    variables = jax.jit(model.init)(jax.random.key(0), x)
    still = model.apply(variables, x)
    assert (still == model.apply(variables, x)).all()
    rngs = {"dropout": jax.random.key(2)}
    assert (model.apply(variables, x, train=True, rngs=rngs) != still).any()


def test_batch_norm_gives_the_activation_numbers_of_variance_one():
    model = jdl.create_model("mlp", hidden_sizes=(8,), batch_norm=True, activation=lambda x: x)
    x = jax.random.uniform(jax.random.key(1), (32, 28, 28, 1))
    variables = jax.jit(model.init)(jax.random.key(0), x)
    _, seen = model.apply(variables, x, train=True, mutable=["batch_stats", "intermediates"])
    (hidden,) = seen["intermediates"]["activation.0"]
    assert jnp.allclose(hidden.mean(0), 0, atol=1e-4)
    assert jnp.allclose(hidden.std(0), 1, atol=1e-2)
    assert (seen["batch_stats"]["norm.0"]["mean"] != 0).all()


def test_first_weights_are_those_that_were_asked_for():
    model = jdl.create_model("mlp", kernel_init=jax.nn.initializers.constant(0.5))
    params = jax.jit(model.init)(jax.random.key(0), jnp.zeros((1, 4)))["params"]
    assert all((layer["kernel"] == 0.5).all() for layer in params.values())


def test_perceptron_is_linear():
    model = jdl.create_model("perceptron")
    x, y = jax.random.normal(jax.random.key(1), (2, 1, 28, 28, 1))
    variables = jax.jit(model.init)(jax.random.key(0), x)
    apply = lambda x: model.apply(variables, x)
    assert jnp.allclose(apply(x + y), apply(x) + apply(y) - apply(0 * x), atol=1e-4)


def test_wrong_channels():
    with pytest.raises(UserError, match="3 channels, the network takes 1"):
        jdl.create_model("mlp").init(jax.random.key(0), jnp.zeros((1, 8, 8, 3)))
