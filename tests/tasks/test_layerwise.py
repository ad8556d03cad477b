from functools import partial

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jdl.data.noise import masking_noise
from jdl.models.generative.autoencoder import Autoencoder
from jdl.models.vision.perceptron import MLP
from jdl.tasks.layerwise import LayerwisePretraining
from jdl.train.metrics import compute
from jdl.train.state import count_parameters

SIZES = (12, 8, 6)


def make(**options):
    shapes = [(4, 4, 1), *((1, 1, n) for n in SIZES)]
    layers = [
        Autoencoder(size, (), code_activation=nn.relu, image_shape=shape)
        for shape, size in zip(shapes, SIZES)
    ]
    return LayerwisePretraining(tuple(layers), optax.adam(0.01), steps_per_layer=5, **options)


@pytest.fixture(scope="module")
def batch():
    # Few causes: three patterns and their mixtures.
    random = np.random.RandomState(0)
    images = random.rand(40, 3) @ random.rand(3, 16) / 3
    return {
        "image": jnp.asarray(images.reshape(40, 4, 4, 1), jnp.float32),
        "mask": jnp.ones(40),
        "row": jnp.arange(40, dtype=jnp.int32),
    }


def test_only_the_layer_whose_turn_it_is_learns(batch):
    task, key = make(corruption=partial(masking_noise, rate=0.2)), jax.random.key(0)
    state, step = task.init(key, batch), jax.jit(task.train_step)
    for turn in (0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 2, 2, 2, 2, 2, 2):
        before = state.networks
        state, metrics = step(state, batch, key)
        changed = [
            not jax.tree.all(
                jax.tree.map(lambda a, b: bool((a == b).all()), new.params, old.params)
            )
            for new, old in zip(state.networks, before)
        ]
        assert changed == [number == turn for number in range(3)]
        assert np.isfinite(compute(metrics)["layer_error"]).tolist() == changed
    assert count_parameters(state) == sum(
        a * b + b + b * a + a for a, b in zip((16, *SIZES[:-1]), SIZES)
    )


def test_every_layer_comes_to_bring_back_its_inputs(batch):
    task, key = make(), jax.random.key(0)
    task = LayerwisePretraining(task.layers, optax.adam(0.02), steps_per_layer=150)
    state, step = task.init(key, batch), jax.jit(task.train_step)
    for _ in range(450):
        state, _ = step(state, batch, key)
    inputs = [np.asarray(task._below(state.networks, batch, n)).reshape(40, -1) for n in range(3)]
    spread = [float(np.square(x - x.mean(0)).sum(1).mean()) for x in inputs]
    errors = compute(task.eval_step(state, batch, key))["layer_error"]
    assert all(error < 0.3 * variance for error, variance in zip(errors, spread))
    assert set(task.figures(state, batch, key)) == {"reconstructions", "filters"}


def test_the_encoders_are_the_hidden_layers_of_an_mlp(batch):
    task, key = make(), jax.random.key(0)
    state = task.init(key, batch)
    mlp = MLP(hidden_sizes=SIZES)
    params = dict(mlp.init(key, batch["image"])["params"])
    for i, network in enumerate(state.networks):
        params[f"hidden.{i}"] = network.params["encoder.0"]
    output = params["output"]
    logits = task.encode(state, batch["image"]) @ output["kernel"] + output["bias"][None]
    np.testing.assert_allclose(mlp.apply({"params": params}, batch["image"]), logits, atol=1e-6)
