"""What a run does in one process: steps, validations, the best, the end."""

import dataclasses
import json
import time

import jax
import numpy as np
import pytest
import tiny

from jdl.errors import UserError
from jdl.train import Experiment, evaluate, fit
from jdl.train.divergence import TrainingDiverged, diagnose
from jdl.train.options import Options
from jdl.train.reporting import read_metrics

ONE = Options(devices=1)


def lines(workdir, split):
    return [line for line in read_metrics(workdir) if line["split"] == split]


def test_a_run_learns_and_writes_what_it_promises(tmp_path):
    result = fit(tiny.build(tiny.Config()), tmp_path, ONE)
    assert result.test["accuracy"] > 0.9
    assert [line["step"] for line in lines(tmp_path, "validation")] == [20, 40, 60]
    assert [line["step"] for line in lines(tmp_path, "test")] == [result.step]
    train = lines(tmp_path, "train")
    assert train[-1]["step"] == 60
    assert train[-1]["loss"] < train[0]["loss"]
    figures = {p.name for p in (tmp_path / "figures").iterdir()}
    assert {"confusion.png", "filters.png", "curves.png"} <= figures
    assert list(tmp_path.glob("events.out.tfevents*"))
    for line in (tmp_path / "metrics.jsonl").read_text().splitlines():
        json.loads(line, parse_constant=pytest.fail)  # NaN is no JSON.


def test_the_best_checkpoint_is_measured_and_evaluate_agrees(tmp_path):
    experiment = tiny.build(tiny.Config())
    result = fit(experiment, tmp_path, ONE)
    best = max(lines(tmp_path, "validation"), key=lambda line: line["accuracy"])["accuracy"]
    at_result = [x for x in lines(tmp_path, "validation") if x["step"] == result.step]
    assert at_result[0]["accuracy"] == best
    again = evaluate(experiment, tmp_path, ONE)
    assert again.step == result.step
    assert again.test == result.test


def test_early_stopping_restores_the_best(tmp_path):
    # It climbs the loss instead, so the first validation stays the best.
    config = tiny.Config(learning_rate=-0.01, norm=False, steps=200, patience=2)
    experiment = dataclasses.replace(tiny.build(config), monitor="loss", mode="min")
    result = fit(experiment, tmp_path, ONE)
    assert [line["step"] for line in lines(tmp_path, "validation")] == [20, 40, 60]
    assert result.step == 20


def test_nothing_compiles_after_the_first_validation(tmp_path):
    compiled = []

    def listen(event, duration, **_):
        if event == "/jax/core/compile/backend_compile_duration":
            compiled.append(time.monotonic())

    experiment = tiny.build(tiny.Config(steps=100))
    seen = []
    batches = experiment.train.train_batches

    def watched(start_step=0, rows=slice(None)):
        iterator = batches(start_step, rows)
        fetch = iterator.batch

        def batch(step):
            seen.append((step, len(compiled)))
            return fetch(step)

        iterator.batch = batch
        return iterator

    experiment.train.train_batches = watched
    jax.monitoring.register_event_duration_secs_listener(listen)
    try:
        fit(experiment, tmp_path, ONE)
    finally:
        jax.monitoring.unregister_event_duration_listener(listen)
    counts = dict(seen)
    assert compiled, "the listener hears nothing"
    # Step 0 compiles the step; the first validation, after step 20, compiles its own.
    assert counts[19] == counts[2], "a training step was compiled again"
    assert counts[99] == counts[22], "something was compiled again"


def test_the_host_reads_one_step_late(tmp_path, monkeypatch):
    """No step is read before the next has been dispatched, but at validations."""
    from jdl.train import loop
    from jdl.train.parallel import JitExecutor

    events = []
    dispatch, read = JitExecutor.train_step, loop._Run._read

    def train_step(self, state, batch, step):
        events.append(("dispatch", step))
        return dispatch(self, state, batch, step)

    def read_(self, step, batch, metrics):
        events.append(("read", step))
        return read(self, step, batch, metrics)

    monkeypatch.setattr(JitExecutor, "train_step", train_step)
    monkeypatch.setattr(loop._Run, "_read", read_)
    fit(tiny.build(tiny.Config(steps=20)), tmp_path, ONE)
    for step in range(19):
        assert events.index(("read", step)) > events.index(("dispatch", step + 1))


def test_a_step_moves_nothing_to_the_host():
    from jdl.train.parallel import make_executor

    experiment = tiny.build(tiny.Config())
    executor = make_executor(experiment.task, 0, ONE)
    batch = executor.put(next(experiment.train.train_batches()))
    state = executor.init(batch)
    state, _ = executor.train_step(state, batch, 0)
    with jax.transfer_guard_device_to_host("disallow"):
        for step in range(1, 4):
            state, _ = executor.train_step(state, batch, step)


def test_accumulating_four_microbatches_trains_like_one_batch(tmp_path):
    config = tiny.Config(norm=False, steps=30)
    one = fit(tiny.build(config), tmp_path / "one", ONE)
    four = fit(tiny.build(dataclasses.replace(config, microbatches=4)), tmp_path / "four", ONE)
    for a, b in zip(jax.tree.leaves(one.state.params), jax.tree.leaves(four.state.params)):
        np.testing.assert_allclose(a, b, atol=1e-4)


def test_nan_stops_with_the_step_the_cause_and_the_last_good_checkpoint(tmp_path):
    # Row 100 of the data is NaN, and seen in the tenth epoch's order at the latest.
    experiment = tiny.build(tiny.Config(poison=True, evaluate_every=2))
    loader = experiment.train
    first = next(s for s in range(99) if np.isnan(loader.batch(s)["image"]).any())
    with jax.debug_nans(False), pytest.raises(TrainingDiverged) as caught:
        fit(experiment, tmp_path, ONE)
    message = str(caught.value)
    assert f"step {first} " in message
    assert '"image" of its batch holds NaN' in message
    good = first - first % 2
    expected = f"last good checkpoint is of step {good}" if good else "No checkpoint"
    assert expected in message
    if good:
        evaluate(experiment, tmp_path, ONE)


def test_an_exploding_gradient_is_named():
    history = [{"loss": 1.0, "gradient_norm": 1.0}] * 10 + [{"loss": 2.0, "gradient_norm": 1e4}]
    error = diagnose(11, history, {"image": np.zeros(3)}, None)
    assert "smaller learning rate" in str(error)
    assert "No checkpoint had been saved" in str(error)


def test_an_unwritable_folder_is_refused(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="cannot be written"):
        fit(tiny.build(tiny.Config()), tmp_path / "file" / "run", ONE)


def test_an_experiment_without_steps_is_refused():
    experiment = tiny.build(tiny.Config())
    with pytest.raises(UserError, match="at least one step"):
        dataclasses.replace(experiment, num_steps=0)
    with pytest.raises(UserError, match="needs a validation set"):
        Experiment(
            task=experiment.task,
            train=experiment.train,
            num_steps=1,
            evaluate_every=1,
            monitor="loss",
        )


def test_a_monitored_metric_that_is_not_measured_is_refused(tmp_path):
    experiment = dataclasses.replace(tiny.build(tiny.Config(steps=20)), monitor="accurracy")
    with pytest.raises(UserError, match="accurracy.*there are.*accuracy"):
        fit(experiment, tmp_path, ONE)
