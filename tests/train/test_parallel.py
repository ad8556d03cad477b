"""One device ≡ eight devices ≡ pmap ≡ sharded parameters: on the same batches, the same curve."""

import dataclasses
from functools import partial

import jax
import numpy as np
import optax
import pytest
import tiny

from jdl import create_model
from jdl.data import InMemoryLoader
from jdl.diffusion.processes import Discrete
from jdl.diffusion.samplers import ddim
from jdl.errors import UserError
from jdl.tasks.adversarial import Adversarial, normal_prior
from jdl.tasks.diffusion import Diffusion
from jdl.train.options import Options
from jdl.train.parallel import make_executor, shard_largest_dimension

LAYOUTS = {
    "8 devices": Options(devices=8),
    "pmap": Options(devices=8, parallel="pmap"),
    "fsdp": Options(devices=8, fsdp=4),
}


def train(task, loader, options, steps=6):
    executor = make_executor(task, 0, options)
    batches = loader.train_batches(0, executor.rows(loader.batch_size))
    state = executor.init(executor.put(next(loader.train_batches())))
    curve = []
    for step in range(steps):
        state, metrics = executor.train_step(state, executor.put(next(batches)), step)
        curve.append({name: float(m.total / m.count) for name, m in metrics.items()})
    return curve, jax.device_get(executor.local(state))


def judge(images):
    return jax.nn.softmax(images.mean((1, 2))[:, :1] * np.arange(4.0, dtype=np.float32)[None, :])


def make_classification():
    experiment = tiny.build(tiny.Config(learning_rate=1e-3))
    return experiment.task, experiment.train


def make_averaged():
    task, loader = make_classification()
    return dataclasses.replace(task, ema=0.9), loader


def make_adversarial():
    images = np.random.default_rng(0).integers(0, 256, (32, 8, 8, 1)).astype(np.uint8)
    sizes = {"image_size": 8, "base_features": 8}
    task = Adversarial(
        generator=create_model("dcgan_generator", channels=1, **sizes),
        discriminator=create_model("dcgan_discriminator", **sizes),
        generator_optimizer=optax.sgd(0.02),
        discriminator_optimizer=optax.sgd(0.02),
        prior=normal_prior(8),
        judge=judge,
        augment=tiny.tint,
    )
    return task, InMemoryLoader({"image": images}, 16)


def make_diffusion():
    images = np.random.default_rng(0).integers(0, 256, (32, 8, 8, 1)).astype(np.uint8)
    unet = create_model(
        "ddpm_cifar10",
        channels=8,
        channel_multipliers=(1,),
        num_res_blocks=1,
        attention_levels=(),
        num_groups=4,
        dropout=0.0,
    )
    task = Diffusion(
        model=unet,
        optimizer=optax.sgd(0.02),
        process=Discrete(np.linspace(0.99, 0.01, 10, dtype=np.float32)),
        image_shape=(8, 8, 1),
        sampler=partial(ddim, steps=2),
        judge=judge,
        augment=tiny.tint,
    )
    return task, InMemoryLoader({"image": images}, 16)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize(
    "make", [make_classification, make_averaged, make_adversarial, make_diffusion]
)
def test_the_curve_does_not_depend_on_the_devices(make, layout):
    task, loader = make()
    one_curve, one_state = train(task, loader, Options(devices=1))
    curve, state = train(task, loader, LAYOUTS[layout])
    for ours, theirs in zip(curve, one_curve):
        assert ours == pytest.approx(theirs, rel=1e-5, abs=1e-5)
    for a, b in zip(jax.tree.leaves(state), jax.tree.leaves(one_state)):
        np.testing.assert_allclose(a, b, atol=1e-4, rtol=1e-4)


def test_the_curve_depends_on_the_seed():
    """The comparison above could not fail if nothing random happened."""
    task, loader = make_classification()
    one, _ = train(task, loader, Options(devices=1), steps=2)
    executor = make_executor(task, 1, Options(devices=1))
    batch = executor.put(next(loader.train_batches()))
    _, metrics = executor.train_step(executor.init(batch), batch, 0)
    assert abs(float(metrics["loss"].total / metrics["loss"].count) - one[0]["loss"]) > 1e-3


def test_fsdp_really_cuts_parameters_and_moments():
    task, loader = make_classification()
    executor = make_executor(task, 0, Options(devices=8, fsdp=4))
    state = executor.init(executor.put(next(loader.train_batches())))
    kernel = state.params["Conv_0"]["kernel"]
    assert kernel.addressable_shards[0].data.shape == (3, 3, 1, 2)
    moment = state.optimizer_state[0].mu["Conv_0"]["kernel"]
    assert moment.addressable_shards[0].data.shape == (3, 3, 1, 2)


def test_a_leaf_that_does_not_divide_stays_whole():
    mesh = jax.sharding.AbstractMesh((1, 8), ("data", "model"))
    leaf = jax.ShapeDtypeStruct((3, 5), np.float32)
    assert shard_largest_dimension(leaf, mesh) == jax.sharding.PartitionSpec()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (Options(devices=9), "9.*there are 8"),
        (Options(devices=8, fsdp=3), "does not divide"),
        (Options(devices=8, fsdp=2, parallel="pmap"), "no --parallel pmap"),
    ],
)
def test_impossible_layouts_are_refused(options, message):
    task, _ = make_classification()
    with pytest.raises(UserError, match=message):
        make_executor(task, 0, options)


@pytest.mark.parametrize("parallel", ["jit", "pmap"])
def test_a_batch_that_cannot_be_cut_is_refused(parallel):
    task, _ = make_classification()
    executor = make_executor(task, 0, Options(devices=8, parallel=parallel))
    with pytest.raises(UserError, match="batch of 12 .* nearest size that can is 16"):
        executor.rows(12)
