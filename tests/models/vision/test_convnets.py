"""Convolutional networks in one and in three dimensions."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jdl

KEY = jax.random.key(0)
SIZES = {"convnet_1d": (2, 40, 3), "convnet_3d": (2, 6, 16, 12, 1)}


def look(name, shape):
    model = jdl.create_model(name, features=(4, 5, 6), num_classes=7)
    inputs = jax.random.normal(KEY, shape)
    variables = jax.jit(model.init)(KEY, inputs)
    logits, state = jax.jit(lambda v, x: model.apply(v, x, mutable=["intermediates"]))(
        variables, inputs
    )
    return model, variables, inputs, logits, state["intermediates"]


@pytest.mark.parametrize("name", SIZES)
def test_shapes(name):
    _, _, _, logits, seen = look(name, SIZES[name])
    assert logits.shape == (2, 7)
    assert seen["pooled"][0].shape == (2, 6)
    halved = {"convnet_1d": (2, 10, 6), "convnet_3d": (2, 3, 4, 3, 6)}
    assert seen["relu3"][0].shape == halved[name]


@pytest.mark.parametrize("name", SIZES)
def test_training_updates_the_statistics(name):
    model, variables, inputs, _, _ = look(name, SIZES[name])
    _, updates = jax.jit(lambda v, x: model.apply(v, x, train=True, mutable=["batch_stats"]))(
        variables, inputs
    )
    before, after = variables["batch_stats"]["bn1"], updates["batch_stats"]["bn1"]
    assert not np.allclose(before["mean"], after["mean"])


def test_a_pattern_is_found_whenever_it_comes():
    model = jdl.create_model("convnet_1d", features=(4, 5), num_classes=3)
    bump = jnp.zeros((1, 64, 1)).at[0, 20:25].set(1.0)
    variables = jax.jit(model.init)(KEY, bump)
    apply = jax.jit(model.apply)
    # By a multiple of the pooling, far from the ends.
    np.testing.assert_allclose(
        apply(variables, bump), apply(variables, jnp.roll(bump, 12, axis=1)), rtol=1e-5
    )


def test_motion_is_seen():
    model = jdl.create_model("convnet_3d", features=(4, 5), num_classes=3)
    video = jnp.stack([jnp.eye(16)[None, :, i, None] * jnp.ones((1, 16, 16)) for i in range(8)], 1)
    video = video[..., None]
    variables = jax.jit(model.init)(KEY, video)
    apply = jax.jit(model.apply)
    forwards, backwards = apply(variables, video), apply(variables, video[:, ::-1])
    assert not np.allclose(forwards, backwards, rtol=1e-3)
