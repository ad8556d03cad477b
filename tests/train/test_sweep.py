"""Several trials by one program: what each learns is what its own run would have."""

import dataclasses
import json
import sys

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import tiny

import jdl.train.sweep
from jdl.cli import main
from jdl.explore.sweeps import Found, Sweep, read_sweep, sweep_figure, sweep_table
from jdl.launch import load_experiment
from jdl.train import Options, fit
from jdl.train.reporting import read_metrics
from jdl.train.sweep import CannotTrace, fit_trials

CONFIG = tiny.Config(steps=20, evaluate_every=10)
TRIALS = [{"learning_rate": rate} for rate in (0.1, 0.01, 0.001)]


def measured(folder, trial=None):
    """(step, split) → loss, of one trial of a sweep or of a run."""
    return {
        (line["step"], line["split"]): line["loss"]
        for line in read_metrics(folder)
        if "loss" in line and line["split"] != "test" and line.get("trial") == trial
    }


@pytest.mark.parametrize("devices", [1, 2])
def test_a_trial_is_what_its_own_run_would_be(devices, tmp_path):
    """On two devices the third trial is alone in its wave, and repeated."""
    together = tmp_path / "sweep"
    together.mkdir()
    fit_trials(tiny.build, CONFIG, TRIALS, together, jax.devices()[:devices])
    config = dataclasses.replace(CONFIG, learning_rate=0.001)
    fit(tiny.build(config), tmp_path / "run", Options(devices=1))
    alone = {k: v for k, v in measured(tmp_path / "run").items() if k[0] % 10 == 0}
    found = measured(together, 2)
    for step in (10, 20):
        assert found[step, "validation"] == pytest.approx(alone[step, "validation"], rel=1e-4)
    losses = [measured(together, trial)[20, "validation"] for trial in range(3)]
    assert len(set(losses)) == 3


def test_vectorised_trials_are_the_same(tmp_path, monkeypatch):
    """As on an accelerator, where all are one program."""
    for name, size in (("waves", 1), ("one", 3)):
        (tmp_path / name).mkdir()
        program = jdl.train.sweep._Program

        class Sized(program):
            def __init__(self, *arguments, size=size):
                super().__init__(*arguments)
                self.per_device = size

        with monkeypatch.context() as patch:
            patch.setattr(jdl.train.sweep, "_Program", Sized)
            fit_trials(tiny.build, CONFIG, TRIALS, tmp_path / name, jax.devices()[:1])
    for trial in range(3):
        waves, one = (measured(tmp_path / name, trial) for name in ("waves", "one"))
        assert one == pytest.approx(waves, rel=1e-3)


def test_a_sweep_that_was_killed_goes_on(tmp_path):
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    whole.mkdir()
    cut.mkdir()
    fit_trials(tiny.build, CONFIG, TRIALS, whole, jax.devices()[:2])

    class Killed(Exception):
        pass

    def dies(config):
        experiment = tiny.build(config)
        batches = experiment.train.batch

        def batch(step, rows=slice(None)):
            if step == 15:
                raise Killed
            return batches(step, rows)

        experiment.train.batch = batch
        return experiment

    with pytest.raises(Killed):
        fit_trials(dies, CONFIG, TRIALS, cut, jax.devices()[:2])
    # On other devices, too.
    fit_trials(tiny.build, CONFIG, TRIALS, cut, jax.devices()[:1], resume=True)
    told = [line["step"] for line in read_metrics(cut) if line["split"] == "validation"]
    assert told == [10] * 3 + [20] * 3
    for trial in range(3):
        assert measured(cut, trial) == pytest.approx(measured(whole, trial), rel=1e-4)


@dataclasses.dataclass(frozen=True)
class Odd:
    """Numbers that no traced program can take."""

    base: tiny.Config = CONFIG
    decision: float = 1.0
    nothing: float = 1.0


def build_odd(config):
    experiment = tiny.build(config.base)
    if config.decision > 0.5:
        return experiment
    return dataclasses.replace(experiment, num_steps=30)


@pytest.mark.parametrize(
    ("name", "sentence"),
    [("decision", "decision must be known to build"), ("nothing", "nothing changes nothing of")],
)
def test_numbers_that_the_program_cannot_take_are_told(name, sentence, tmp_path):
    with pytest.raises(CannotTrace, match=sentence):
        fit_trials(build_odd, Odd(), [{name: 0.1}, {name: 0.9}], tmp_path)


@pytest.fixture
def swept(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)

    def run(*arguments):
        main(["sweep", tiny.__file__, "--evaluate-every", "10", *arguments])
        return capsys.readouterr().out

    return run


def test_the_command_writes_a_table_and_a_figure(swept, tmp_path):
    out = swept("--steps", "10", "--learning-rate", "0.1", "0.0001", "--devices", "2")
    folder = tmp_path / "runs/tiny/sweeps/1"
    for trial in read_sweep(folder).trials:
        # A curve, also where there is only one validation.
        assert (list(trial.training), list(trial.curve)) == ([2, 4, 6, 8, 10], [10])
    assert (folder / "sweep.png").stat().st_size > 10_000
    assert (folder / "sweep.md").read_text() in out
    assert "the best: --learning-rate 0.1" in out
    assert "one after another" not in out


def test_what_cannot_be_traced_is_trained_in_turn_and_resumed(swept, tmp_path):
    out = swept("--steps", "10", "--width", "2", "4")
    assert "trained one after another: width must be known to build the program" in out
    folder = tmp_path / "runs/tiny/sweeps/1"
    assert [f.values for f in read_sweep(folder).trials] == [{"width": 2}, {"width": 4}]
    assert all(found.best_step == 10 for found in read_sweep(folder).trials)
    (folder / "trial_1" / "done").unlink()
    again = swept("--steps", "10", "--width", "2", "4", "--resume")
    assert "--width 4" in again
    assert "--width 2\n" not in again
    assert again.splitlines()[-4:-1] == out.splitlines()[-4:-1]


@pytest.mark.parametrize(
    ("flags", "sentence"),
    [
        (["--lerning-rate", "1", "2"], "unknown flag '--lerning-rate'; the closest names are --l"),
        (["--norm", "1", "2"], "--norm is no number: a sweep is over numbers"),
        (["--learning-rate", "1", "fast"], "--learning-rate takes numbers: could not convert"),
        (["--learning-rate", "0.1"], "nothing to sweep over: give a flag several numbers"),
        (["--learning-rate", "1", "2", "--resume"], "there is no sweep to resume in runs/tiny/sw"),
        (["--learning-rate", "1", "2", "--parallel", "pmap"], "--parallel: a sweep is of one"),
    ],
)  # fmt: skip
def test_bad_sweeps_are_one_sentence(flags, sentence, refused, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert sentence in refused("sweep", tiny.__file__, *flags)


def test_another_sweep_is_not_resumed(refused, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "runs/tiny/sweeps/1"
    folder.mkdir(parents=True)
    (folder / "sweep.json").write_text(json.dumps({"trials": []}))
    flags = ["--learning-rate", "1", "2", "--resume"]
    assert "is another sweep" in refused("sweep", tiny.__file__, *flags)


def test_a_trial_that_diverged_is_never_the_best():
    good = Found({"learning_rate": 0.1}, {5: 1.0, 10: 0.5}, {10: 0.7}, 10)
    bad = Found({"learning_rate": 9.0}, {5: 1.0, 10: np.nan}, {5: 0.1, 10: np.nan}, None)
    sweep = Sweep("validation accuracy", "max", [bad, good])
    assert sweep.best is good
    table = sweep_table(sweep).splitlines()
    assert table[2] == "| 9 |  |  | diverged |"
    assert table[3] == "| **0.1** | 0.7 | 10 | 0.5 |"
    assert sweep_figure(sweep).axes[2].get_xscale() == "log"


def test_diverging_trials_leave_the_others_alone(tmp_path):
    """One rate is far too large."""
    trials = [{"learning_rate": 1e38}, {"learning_rate": 0.01}]
    with jax.debug_nans(False):
        fit_trials(tiny.build, CONFIG, trials, tmp_path, jax.devices()[:1])
    (tmp_path / "sweep.json").write_text(
        json.dumps({"trials": trials, "monitor": "loss", "mode": "min"})
    )
    sweep = read_sweep(tmp_path)
    assert sweep.best is sweep.trials[1]
    assert not np.isfinite(list(sweep.trials[0].training.values())[-1])


def test_the_experiments_own_rates_can_be_swept():
    """LeNet's, with one cycle: traced, not trained."""
    module = load_experiment("lenet5_mnist")
    rates = jnp.array([0.1, 0.01])
    batch = {"image": jnp.zeros((2, 28, 28, 1)), "label": jnp.zeros(2, jnp.int32)}

    def moments(rate):
        experiment = module.build(module.Config(learning_rate=rate))
        state = jax.eval_shape(experiment.task.init, jax.random.key(0), batch)
        zeros = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), state.params)
        optimizer = experiment.task.optimizer
        ones = jax.tree.map(jnp.ones_like, zeros)
        return optax.global_norm(optimizer.update(ones, optimizer.init(zeros), zeros)[0])

    found = jax.jit(jax.vmap(moments))(rates)
    assert float(found[0]) == pytest.approx(10 * float(found[1]), rel=1e-3)
    assert "lenet5_mnist" in sys.modules
