"""The loop: dispatch a step, prepare the next batch meanwhile, read the metrics one step late."""

import contextlib
import dataclasses
import math
import signal
import time
from collections import deque
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jax.experimental import multihost_utils
from jaxtyping import PyTree

from jdl.data.loaders import BatchIterator, Loader
from jdl.data.prefetch import prefetch_to_device
from jdl.errors import UserError
from jdl.train import metrics as metrics_lib
from jdl.train.checkpoints import Checkpoints
from jdl.train.divergence import diagnose
from jdl.train.experiment import Experiment
from jdl.train.metrics import Metrics, Value, scalar
from jdl.train.options import Options
from jdl.train.parallel import FIGURES, Executor, make_executor, stream_key
from jdl.train.reporting import Reporter, read_metrics, training_curves
from jdl.train.state import count_parameters
from jdl.train.task import figures


@dataclasses.dataclass(frozen=True)
class Result:
    """What a run ended with.

    Args:
        state: of the best checkpoint, or of the last step when nothing was monitored.
        step: updates that this state has seen.
        test: metrics on the test split; empty when there is none or the run was interrupted.
        interrupted: whether SIGTERM ended it; `--resume` goes on.
    """

    state: PyTree
    step: int
    test: dict[str, Value]
    interrupted: bool = False


def fit(experiment: Experiment, workdir: str | Path, options: Options = Options()) -> Result:
    """Trains, validates, keeps the best, and measures it on the test split.

    Args:
        experiment: what `build(config)` returned.
        workdir: the run's folder; made if it does not exist.
        options: devices, and whether to resume.

    Returns:
        The best state and its test metrics.

    Raises:
        UserError: the folder cannot be written, a batch cannot be cut over the devices, or the
            checkpoint to resume is of another model.
        TrainingDiverged: a loss was not finite.

    Example:
        >>> result = fit(experiment, "runs/mine")          # doctest: +SKIP
        >>> result.test["accuracy"]                        # doctest: +SKIP
        0.983
    """
    started = time.monotonic()
    workdir = Path(workdir)
    _make_writable(workdir)
    executor = make_executor(experiment.task, experiment.seed, options)
    rows = executor.rows(experiment.train.batch_size)
    state = executor.init(executor.put(next(experiment.train.train_batches(0, rows))))
    with contextlib.ExitStack() as stack:
        checkpoints = stack.enter_context(
            contextlib.closing(Checkpoints(workdir / "checkpoints", experiment.mode))
        )
        start = 0
        loader_state: dict[str, Any] = {}
        warnings: list[str] = []
        if options.resume:
            like = executor.save_layout(state)
            start, restored, loader_state, warnings = checkpoints.restore(like)
            state = executor.load_layout(restored)
        told = workdir if jax.process_index() == 0 else None
        reporter = stack.enter_context(
            contextlib.closing(Reporter(told, experiment.num_steps, start))
        )
        for warning in warnings:
            reporter.say(warning)
        if start:
            reporter.say(f"resuming after step {start} of {experiment.num_steps}")
        iterator = experiment.train.train_batches(start, rows)
        if loader_state:
            iterator.set_state(loader_state)
        run = _Run(experiment, executor, checkpoints, reporter)
        state, step, interrupted = run.train(state, iterator, start)
        if interrupted:
            checkpoints.finish()
            reporter.say(f"stopped by SIGTERM after step {step}, saved; --resume goes on from here")
            return Result(state, step, {}, interrupted=True)
        best = checkpoints.best_step() if experiment.monitor else None
        if best is not None and best != step:
            checkpoints.finish()
            step, restored, _, _ = checkpoints.restore(executor.save_layout(state), best)
            state = executor.load_layout(restored)
            reporter.say(f"the best {experiment.monitor} was after step {step}")
        test: dict[str, Value] = {}
        if experiment.test is not None:
            test = measure(executor.test_step, executor, state, experiment.test)
            reporter.measured("test", step, test)
        _show(experiment, executor, state, step, reporter)
        seconds = time.monotonic() - started
        reporter.finished(step, seconds, count_parameters(state))
        return Result(state, step, test)


def evaluate(
    experiment: Experiment,
    workdir: str | Path,
    options: Options = Options(),
    loader: Loader | None = None,
) -> Result:
    """Measures a run's best checkpoint; its last, when nothing was monitored.

    Args:
        experiment: the one that was trained.
        workdir: the run's folder.
        options: devices.
        loader: what to measure on; the experiment's test split when None.

    Returns:
        The state and its metrics.

    Raises:
        UserError: there is no checkpoint, or it is of another model.
    """
    loader = loader or experiment.test or experiment.validation
    if loader is None:
        raise UserError("this experiment has neither a test nor a validation set")
    executor, state, step = restore(experiment, workdir, options)
    test = measure(executor.test_step, executor, state, loader)
    return Result(state, step, test)


def restore(
    experiment: Experiment, workdir: str | Path, options: Options = Options()
) -> tuple[Executor, PyTree, int]:
    """Restores a run's best checkpoint (its last, when nothing was monitored).

    Args:
        experiment: the one that was trained.
        workdir: the run's folder.
        options: devices.

    Returns:
        The executor, the state laid out over its devices, and the updates it has seen.

    Raises:
        UserError: there is no checkpoint, or it is of another model.
    """
    directory = Path(workdir) / "checkpoints"
    if not directory.is_dir():
        raise UserError(f"there is no checkpoint in {directory}")
    executor = make_executor(experiment.task, experiment.seed, options)
    batch_size = experiment.train.batch_size
    state = executor.init(
        executor.put(next(experiment.train.train_batches(0, executor.rows(batch_size))))
    )
    with contextlib.closing(Checkpoints(directory, experiment.mode, read_only=True)) as checkpoints:
        best = checkpoints.best_step() if experiment.monitor else None
        step, restored, _, warnings = checkpoints.restore(executor.save_layout(state), best)
    for warning in warnings:
        print(warning)
    return executor, executor.load_layout(restored), step


def measure(
    step_function: Callable[[PyTree, Any, int], Metrics],
    executor: Executor,
    state: PyTree,
    loader: Loader,
) -> dict[str, Value]:
    """Adds up the metrics of every batch of a split; the device runs ahead of the host.

    Args:
        step_function: `executor.eval_step` or `executor.test_step`.
        executor: the compiled task.
        state: laid out over the devices.
        loader: the split.

    Returns:
        The value of each metric.
    """
    rows = executor.rows(loader.batch_size)
    totals: Metrics | None = None
    for step, batch in enumerate(prefetch_to_device(loader.eval_batches(rows), executor.put)):
        metrics = step_function(state, batch, step)
        totals = metrics if totals is None else metrics_lib.add(totals, metrics)
    if totals is None:
        raise UserError("there is no example to evaluate on")
    return metrics_lib.compute(jax.device_get(totals))


class _Run:
    """One launch of training: the parts that stay the same while the state changes."""

    def __init__(
        self,
        experiment: Experiment,
        executor: Executor,
        checkpoints: Checkpoints,
        reporter: Reporter,
    ):
        self.experiment = experiment
        self.executor = executor
        self.checkpoints = checkpoints
        self.reporter = reporter
        self.history: deque[dict[str, float]] = deque(maxlen=50)
        self.totals: Metrics | None = None

    def train(self, state: PyTree, iterator: BatchIterator, start: int) -> tuple[PyTree, int, bool]:
        """Returns the last state, the updates made, and whether SIGTERM ended it."""
        experiment = self.experiment
        best, worse = self._best_so_far(start)
        pending: tuple[int, Any, Metrics] | None = None
        loader_state: dict[str, Any] = iterator.get_state()
        with _sigterm() as terminated:
            for step in range(start, experiment.num_steps):
                batch = next(iterator)
                loader_state = iterator.get_state()
                state, metrics = self.executor.train_step(state, self.executor.put(batch), step)
                # The device is busy with this step while the host reads the one before it.
                if pending is not None:
                    self._read(*pending)
                pending = (step, batch, metrics)
                done = step + 1
                stop = terminated(step)
                if not (
                    stop or done % experiment.evaluate_every == 0 or done == experiment.num_steps
                ):
                    continue
                self._read(*pending)
                pending = None
                self._flush(done)
                value = None if stop else self._validate(state, done)
                self.checkpoints.save(done, self.executor.save_layout(state), loader_state, value)
                if stop:
                    return state, done, True
                self._draw(state, done)
                if value is None or experiment.patience is None:
                    continue
                if self._is_better(value, best):
                    best, worse = value, 0
                elif (worse := worse + 1) >= experiment.patience:
                    self.reporter.say(
                        f"stopped early: {worse} validations without a better {experiment.monitor}"
                    )
                    return state, done, False
        return state, experiment.num_steps, False

    def _read(self, step: int, batch: dict[str, np.ndarray], metrics: Metrics) -> None:
        """Reads one step's metrics; raises if its loss is not finite."""
        metrics = jax.device_get(metrics)
        values = {name: scalar(value) for name, value in metrics_lib.compute(metrics).items()}
        if not all(map(math.isfinite, values.values())):
            self.checkpoints.finish()
            raise diagnose(step, list(self.history), batch, self.checkpoints.last_step)
        self.history.append(values)
        self.totals = metrics if self.totals is None else metrics_lib.add(self.totals, metrics)
        if (step + 1) % self.experiment.log_every == 0:
            self._flush(step + 1)

    def _flush(self, done: int) -> None:
        if self.totals is not None:
            self.reporter.train(done, metrics_lib.compute(self.totals))
            self.totals = None

    def _validate(self, state: PyTree, done: int) -> float | None:
        """Measures the validation split; returns the monitored value."""
        experiment = self.experiment
        if experiment.validation is None:
            return None
        values = measure(self.executor.eval_step, self.executor, state, experiment.validation)
        self.reporter.measured("validation", done, values)
        if experiment.monitor is None:
            return None
        if experiment.monitor not in values:
            raise UserError(
                f"monitor={experiment.monitor!r} is not measured; there are {', '.join(values)}"
            )
        return scalar(values[experiment.monitor])

    def _draw(self, state: PyTree, done: int) -> None:
        """Draws how far training has come, where the task has something to show of that."""
        draw = getattr(self.experiment.task, "progress", None)
        loader = self.experiment.validation or self.experiment.test
        if draw is None or loader is None:
            return
        state = self.executor.local(state)  # Every process takes part in gathering it.
        if self.reporter.workdir is not None:
            key = stream_key(jax.random.key(self.experiment.seed), FIGURES, 0)
            batch = jax.device_put(next(loader.eval_batches()), jax.local_devices()[0])
            drawn = draw(state, batch, key)
            self.reporter.figures(done, {f"{name}_{done}": drawn[name] for name in drawn})

    def _best_so_far(self, start: int) -> tuple[float, int]:
        """The best monitored value that a resumed run finds, and the validations made since."""
        step = self.checkpoints.best_step() if start and self.experiment.monitor else None
        if step is None:
            return (math.inf if self.experiment.mode == "min" else -math.inf), 0
        since = (start - step) // self.experiment.evaluate_every
        return self.checkpoints.manager.metrics(step)["value"], since

    def _is_better(self, value: float, best: float) -> bool:
        return value < best if self.experiment.mode == "min" else value > best


@contextlib.contextmanager
def _sigterm() -> Iterator[Callable[[int], bool]]:
    """Yields a function that says, after each step, whether SIGTERM has asked us to stop."""
    received = False

    def handler(signum, frame):
        nonlocal received
        received = True

    def terminated(step: int) -> bool:
        # Several hosts must stop after the same step.
        if jax.process_count() > 1:
            return multihost_utils.reached_preemption_sync_point(step)
        return received

    try:
        previous = signal.signal(signal.SIGTERM, handler)
    except ValueError:  # Not the main thread: a notebook's or a test's worker.
        yield terminated
        return
    try:
        yield terminated
    finally:
        signal.signal(signal.SIGTERM, previous)


def _show(
    experiment: Experiment, executor: Executor, state: PyTree, step: int, reporter: Reporter
) -> None:
    """Draws the training curves and whatever the task has to show."""
    state = executor.local(state)  # Every process takes part in gathering it.
    if reporter.workdir is None:
        return
    key = stream_key(jax.random.key(experiment.seed), FIGURES, 0)
    loader = experiment.test or experiment.validation
    drawn = {}
    if loader is not None:
        batch = jax.device_put(next(loader.eval_batches()), jax.local_devices()[0])
        drawn = figures(experiment.task, state, batch, key)
    if hasattr(experiment.task, "texts"):
        for name, text in experiment.task.texts(state, key).items():
            reporter.text(name, text, step)
    if hasattr(experiment.task, "conclude"):
        texts, conclusions = experiment.task.conclude(read_metrics(reporter.workdir))
        for name, text in texts.items():
            reporter.text(name, text, step)
            reporter.say(text)
        drawn |= conclusions
    elif (curves := training_curves(reporter.workdir)) is not None:
        drawn["curves"] = curves
    reporter.figures(step, drawn)


def _make_writable(workdir: Path) -> None:
    try:
        workdir.mkdir(parents=True, exist_ok=True)
        probe = workdir / ".writable"
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise UserError(
            f"the run's folder {workdir} cannot be written: {error.strerror}"
        ) from error
