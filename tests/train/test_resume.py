"""A run that is stopped and resumed ends with the very numbers of one that was not."""

import dataclasses

import jax
import numpy as np
import pytest
import tiny
from test_parallel import make_adversarial, make_classification, make_diffusion

from jdl.data import GrainLoader
from jdl.train import Experiment, fit
from jdl.train.options import Options

ONE = Options(devices=1)


def make_streamed():
    """The tiny classifier, fed by grain, whose iterator's state must be checkpointed."""
    task, loader = make_classification()
    arrays = loader.arrays
    source = [
        {name: array[i] for name, array in arrays.items()} for i in range(len(arrays["label"]))
    ]
    return task, GrainLoader(source, 16, seed=3)


@pytest.mark.slow
@pytest.mark.parametrize("make", [make_adversarial, make_diffusion, make_streamed])
def test_every_part_of_the_state_survives(make, tmp_path):
    task, loader = make()
    experiment = Experiment(task=task, train=loader, num_steps=8, evaluate_every=4)
    whole = fit(experiment, tmp_path / "whole", ONE)
    half = fit(dataclasses.replace(experiment, num_steps=4), tmp_path / "cut", ONE)
    resumed = fit(experiment, tmp_path / "cut", dataclasses.replace(ONE, resume=True))
    assert resumed.step == whole.step == 8
    assert len(jax.tree.leaves(whole.state)) == len(jax.tree.leaves(resumed.state))
    for a, b in zip(jax.tree.leaves(resumed.state), jax.tree.leaves(whole.state), strict=True):
        np.testing.assert_array_equal(a, b)
    moved = [
        not np.array_equal(a, b)
        for a, b in zip(jax.tree.leaves(half.state), jax.tree.leaves(whole.state), strict=True)
    ]
    assert any(moved), "the second half changed nothing"


def test_patience_counts_on_after_resuming(tmp_path):
    # The loss only grows: the first validation is the best, and two more end the run.
    config = tiny.Config(learning_rate=-0.01, norm=False, steps=200, patience=2)
    experiment = dataclasses.replace(tiny.build(config), monitor="loss", mode="min")
    fit(dataclasses.replace(experiment, num_steps=40), tmp_path, ONE)
    resumed = fit(experiment, tmp_path, dataclasses.replace(ONE, resume=True))
    assert resumed.step == 20
    from jdl.train.reporting import read_metrics

    assert max(line["step"] for line in read_metrics(tmp_path) if line["split"] == "train") == 60
