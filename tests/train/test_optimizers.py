"""Optimisers with a state of their own kind go through checkpoints, devices and sweeps."""

import dataclasses

import jax
import numpy as np
import optax
import pytest
import tiny

from jdl.optim.accelerated import all_together
from jdl.optim.clipping import clip_by_average_norm
from jdl.optim.restarts import restart_from_best
from jdl.optim.transfer import freeze, layerwise_rates
from jdl.train import Options, fit
from jdl.train.reporting import read_metrics
from jdl.train.sweep import fit_trials

ONE = Options(devices=1)


def build(config):
    """Everything at once: noise with its key, past norms, the best weights, a frozen layer."""
    chain = optax.chain(
        clip_by_average_norm(first_updates=5),
        all_together(config.learning_rate, noise=0.1, seed=3),
        layerwise_rates({"Conv_0": 0.5}),
    )
    optimizer = restart_from_best(freeze(chain, "Dense_0.bias"), period=20, window=5)
    made = tiny.build(config)
    return dataclasses.replace(made, task=dataclasses.replace(made.task, optimizer=optimizer))


def params(result):
    return jax.tree.leaves(jax.device_get(result.state.params))


@pytest.mark.parametrize("options", [Options(devices=4), Options(devices=4, parallel="pmap")])
def test_training_is_the_same_on_any_devices(options, tmp_path):
    made = dataclasses.replace(build(tiny.Config(steps=25, norm=False)), monitor=None)
    one, many = fit(made, tmp_path / "one", ONE), fit(made, tmp_path / "many", options)
    many_params = many.state.params
    if options.parallel == "pmap":
        many_params = jax.tree.map(lambda x: x[0], jax.device_get(many_params))
    for a, b in zip(params(one), jax.tree.leaves(jax.device_get(many_params)), strict=True):
        np.testing.assert_allclose(a, b, atol=2e-4)


def test_a_run_is_resumed_bit_for_bit(tmp_path):
    def made(steps):
        config = tiny.Config(steps=steps, evaluate_every=12)
        return dataclasses.replace(build(config), monitor=None)

    whole = fit(made(24), tmp_path / "whole", ONE)
    fit(made(12), tmp_path / "cut", ONE)
    again = fit(made(24), tmp_path / "cut", Options(devices=1, resume=True))
    for a, b in zip(params(whole), params(again), strict=True):
        np.testing.assert_array_equal(a, b)


def test_its_rate_can_be_swept_and_resumed(tmp_path):
    trials = [{"learning_rate": rate} for rate in (0.03, 0.003)]
    for steps in (10, 20):
        config = tiny.Config(steps=steps, evaluate_every=10)
        fit_trials(build, config, trials, tmp_path, jax.devices()[:1], resume=True)
    told = [line["step"] for line in read_metrics(tmp_path) if line["split"] == "validation"]
    assert told == [10, 10, 20, 20]
