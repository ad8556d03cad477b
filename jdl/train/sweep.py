"""Several trials of one experiment that differ in numbers only, trained by one compiled program."""

import contextlib
import dataclasses
import json
import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jax.sharding import AxisType, Mesh, NamedSharding
from jax.sharding import PartitionSpec as P
from jaxtyping import PyTree

from jdl.errors import UserError
from jdl.train import metrics as metrics_lib
from jdl.train.checkpoints import Checkpoints
from jdl.train.experiment import Experiment
from jdl.train.metrics import Metrics
from jdl.train.parallel import Steps

Build = Callable[[Any], Experiment]
Trial = Mapping[str, int | float]

AXIS = "trials"


class CannotTrace(UserError):
    """A number decides what the program is, or what the host does: one program cannot serve all."""


def fit_trials(
    build: Build,
    config: Any,
    trials: Sequence[Trial],
    workdir: Path,
    devices: Sequence[jax.Device] | None = None,
    *,
    resume: bool = False,
) -> None:
    """Trains every trial on the same batches, by a program whose inputs are the trials' numbers.

    `build` runs inside the traced step, with tracers in the Config in the place of the numbers, so
    that optimisers and losses close over them. A trial draws and learns what `fit` with its numbers
    would, but for rounding, and goes on to the last step, whatever the experiment's `patience`.

    On an accelerator, all trials are one vectorised program (`jax.vmap`) where its memory allows,
    else several waves of one; over several devices they are divided. On a CPU, where convolutions
    of a batch of kernels are slow, each trial is a wave of its own, of the one compiled program.

    Writes workdir/metrics.jsonl, a line for each trial and measurement, and a checkpoint of all
    trials at each validation.

    Args:
        build: of the experiment's module.
        config: its Config.
        trials: at least one; each the values of the same fields of the Config, all floats.
        workdir: the sweep's folder; it exists.
        devices: to divide the trials over; the local ones when None.
        resume: go on after the last checkpoint, where there is one.

    Raises:
        CannotTrace: `build` or the task needs to know one of the numbers, or none of what is
            compiled depends on it.

    Example:
        >>> rates = [{"learning_rate": rate} for rate in (0.1, 0.01)]
        >>> fit_trials(module.build, module.Config(), rates, folder)  # doctest: +SKIP
    """
    experiment = build(config)
    program = _Program(build, config, trials, list(devices or jax.local_devices()))
    batch = next(experiment.train.train_batches(0))
    program.compile(batch)
    states = program.init(batch)
    with contextlib.ExitStack() as stack:
        checkpoints = stack.enter_context(
            contextlib.closing(Checkpoints(workdir / "checkpoints", experiment.mode))
        )
        start = 0
        position: dict[str, Any] = {}
        if resume and checkpoints.last_step is not None:
            start, state, position, _ = checkpoints.restore(program.joined(states))
            states = program.waves(state)
        lines = stack.enter_context((workdir / "metrics.jsonl").open("a", buffering=1))
        iterator = experiment.train.train_batches(start)
        if position:
            iterator.set_state(position)
        totals: list[Metrics | None] = [None] * program.num_waves
        pending: list[Metrics] = []
        for step in range(start, experiment.num_steps):
            batch = next(iterator)
            outputs = [
                program.train(values, state, batch, np.uint32(step))
                for values, state in zip(program.values, states)
            ]
            states = [state for state, _ in outputs]
            # The devices are busy with this step while the host reads the one before it.
            totals = _added(totals, pending)
            pending = [metrics for _, metrics in outputs]
            done = step + 1
            evaluates = done % experiment.evaluate_every == 0 or done == experiment.num_steps
            if done % experiment.log_every and not evaluates:
                continue
            totals = _added(totals, pending)
            _write(lines, "train", done, program.by_trial(totals))
            totals, pending = [None] * program.num_waves, []
            if not evaluates:
                continue
            if experiment.validation is not None:
                measured: list[Metrics | None] = [None] * program.num_waves
                for number, batch in enumerate(experiment.validation.eval_batches()):
                    found = [
                        program.evaluate(values, state, batch, np.uint32(number))
                        for values, state in zip(program.values, states)
                    ]
                    measured = _added(measured, found)
                _write(lines, "validation", done, program.by_trial(measured))
            checkpoints.save(done, program.joined(states), iterator.get_state(), None)
            print(f"step {done}/{experiment.num_steps} of {len(trials)} trials", flush=True)


class _Program:
    """The compiled steps of all trials: cut into waves, and each wave over the devices."""

    def __init__(
        self, build: Build, config: Any, trials: Sequence[Trial], devices: list[jax.Device]
    ):
        self.build, self.config, self.trials = build, config, trials
        self.mesh = Mesh(np.array(devices), (AXIS,), axis_types=(AxisType.Auto,))
        # On a CPU, one kernel for each trial is slower than one trial after the other.
        on_cpu = devices[0].platform == "cpu"
        self.per_device = 1 if on_cpu else -(-len(trials) // len(devices))

    @property
    def wave_size(self) -> int:
        return self.per_device * self.mesh.size

    @property
    def num_waves(self) -> int:
        return -(-len(self.trials) // self.wave_size)

    def compile(self, batch: dict[str, np.ndarray]) -> None:
        """Compiles for as many trials at once as there is memory for."""
        while True:
            # Where the last wave is not full, it repeats the last trial.
            self.values = self.waves(
                {
                    name: np.array([trial[name] for trial in self.trials], np.float32)
                    for name in self.trials[0]
                }
            )
            values = self.values[0]
            self.start = self._mapped(Steps.init, 1, ())
            self.train = self._mapped(Steps.train, 2, (1,))
            self.evaluate = self._mapped(Steps.evaluate, 2, ())
            try:
                init = self.start.trace(values, batch)
                state = jax.eval_shape(self.start, values, batch)
                train = self.train.trace(values, state, batch, np.uint32(0))
            except (TypeError, jax.errors.UnexpectedTracerError) as error:
                reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
                raise CannotTrace(
                    f"{', '.join(values)} must be known to build the program ({reason[:120]})"
                ) from error
            unused = set(values)
            for traced in (init, train):
                unused -= _used(traced.jaxpr.jaxpr, sorted(values))
            if unused:
                raise CannotTrace(
                    f"{', '.join(sorted(unused))} changes nothing of the program, only what the "
                    "host does, if anything"
                )
            if self.per_device == 1 or self._fits(train):
                return
            self.per_device = -(-self.per_device // 2)

    def _mapped(self, step: Callable, sharded: int, donated: tuple[int, ...]) -> Any:
        """Maps a step over a wave: values and state are each trial's, the rest is shared."""

        def of_one(values: dict[str, Any], *arguments: Any) -> PyTree:
            experiment = self.build(dataclasses.replace(self.config, **values))
            return step(Steps(experiment.task, experiment.seed), *arguments)

        def of_some(*arguments: Any) -> PyTree:
            own, shared = arguments[:sharded], arguments[sharded:]
            if self.per_device > 1:
                return jax.vmap(lambda *own: of_one(*own, *shared))(*own)
            only = of_one(*jax.tree.map(lambda x: x[0], own), *shared)
            return jax.tree.map(lambda x: x[None], only)

        def of_wave(*arguments: Any) -> PyTree:
            specs = (*[P(AXIS)] * sharded, *[P()] * (len(arguments) - sharded))
            spread = jax.shard_map(
                of_some, mesh=self.mesh, in_specs=specs, out_specs=P(AXIS), check_vma=False
            )
            return spread(*arguments)

        return jax.jit(of_wave, donate_argnums=donated)

    def _fits(self, train: Any) -> bool:
        """Says whether a device has room for a step of a wave, beside the states of all others."""
        limit = (self.mesh.devices.flat[0].memory_stats() or {}).get("bytes_limit")
        needed = train.lower().compile().memory_analysis()
        if limit is None or needed is None:
            return True
        others = needed.argument_size_in_bytes * (self.num_waves - 1)
        return needed.temp_size_in_bytes + needed.argument_size_in_bytes + others < 0.9 * limit

    def init(self, batch: dict[str, np.ndarray]) -> list[PyTree]:
        """The states of all trials before the first step, by wave."""
        return [self.start(values, batch) for values in self.values]

    def waves(self, tree: PyTree) -> list[PyTree]:
        """Cuts arrays with a row for each trial into waves."""
        last = len(self.trials) - 1
        rows = np.minimum(np.arange(self.num_waves * self.wave_size), last)
        split = NamedSharding(self.mesh, P(AXIS))
        return [
            jax.device_put(jax.tree.map(lambda x, own=own: x[own], tree), split)
            for own in rows.reshape(self.num_waves, -1)
        ]

    def joined(self, waves: Sequence[PyTree]) -> PyTree:
        """The inverse of `waves`: one copy, whatever the devices, for a checkpoint."""
        rows = len(self.trials)

        def join(*parts: jax.Array) -> jax.Array:
            # Keys of random numbers are no NumPy arrays.
            device = self.mesh.devices.flat[0]
            return jax.numpy.concatenate([jax.device_put(part, device) for part in parts])[:rows]

        return jax.tree.map(join, *waves)

    def by_trial(self, waves: Sequence[Metrics | None]) -> list[Metrics]:
        """The metrics of each trial."""
        rows = [
            jax.tree.map(lambda x, row=row: x[row], wave)
            for wave in waves
            for row in range(self.wave_size)
        ]
        return rows[: len(self.trials)]


def _used(jaxpr: Any, names: Sequence[str]) -> set[str]:
    """Says which of the first inputs of a program, a dictionary's, anything is computed from."""
    (mapped,) = (e for e in jaxpr.eqns if e.primitive.name == "shard_map")
    inner = mapped.params["jaxpr"]
    # A slice of one row or a reshape is not yet a use: what counts is what outputs depend on.
    needed = {id(v) for v in inner.outvars}
    for equation in reversed(inner.eqns):
        if any(id(v) in needed for v in equation.outvars):
            needed |= {id(v) for v in equation.invars}
    offset = len(mapped.invars) - len(jaxpr.invars)  # constants come first
    return {name for i, name in enumerate(names) if id(inner.invars[offset + i]) in needed}


def _added(totals: Sequence[Metrics | None], found: Sequence[Metrics]) -> list[Metrics | None]:
    """Adds metrics of each wave to what there is."""
    if not found:
        return list(totals)
    return [
        new if total is None else metrics_lib.add(total, new)
        for total, new in zip(totals, jax.device_get(found))
    ]


def _write(lines: Any, split: str, step: int, trials: Sequence[Metrics]) -> None:
    for number, metrics in enumerate(trials):
        values = {
            name: value if math.isfinite(value) else None
            for name, measured in metrics_lib.compute(metrics).items()
            for value in [metrics_lib.scalar(measured)]
        }
        lines.write(json.dumps({"trial": number, "step": step, "split": split, **values}) + "\n")


def describe(trial: Trial) -> str:
    """Writes a trial as flags of `jdl train`.

    Example:
        >>> describe({"learning_rate": 0.03})
        '--learning-rate 0.03'
    """
    return " ".join(f"--{n.replace('_', '-')} {v!r}" for n, v in trial.items())
