"""What the subcommands of `jdl` do before a long training: `jdl check` and `jdl sweep`."""

import contextlib
import dataclasses
import itertools
import json
import os
import typing
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

from jdl.errors import UserError, unknown
from jdl.launch import changed, load_experiment, parse_flags, prepare_process
from jdl.train.options import Options

Number = int | float
Trial = dict[str, Number]


def check(arguments: Sequence[str]) -> None:
    """`jdl check EXPERIMENT [its flags]`: exits with 1 when a check fails."""
    from jdl.explore.checks import check_experiment

    module = load_experiment(arguments[0])
    config, options = parse_flags(module, arguments[1:])
    prepare_process(options)
    failed = 0
    for finding in check_experiment(module.build(config)):
        print(f"{finding.status:<5} {finding.what}: {finding.said}", flush=True)
        failed += finding.status == "fail"
    if failed:
        raise SystemExit(1)


def sweep(arguments: Sequence[str]) -> None:
    """`jdl sweep EXPERIMENT --learning-rate 0.3 0.1 … [other flags]`.

    Six rates for `lenet5_mnist`, nothing compiled beforehand: 39 s with `--epochs 2`, where one run
    takes 26 to 33 s, and 113 s with `--epochs 8`, where one takes 41 s; on two cores of an Intel
    Xeon with AVX-512 that other programs kept busy.
    """
    module = load_experiment(arguments[0])
    grid, rest = split_grid(module, arguments[1:])
    config, options = parse_flags(module, rest)
    alone = ("sweep", "parallel", "fsdp", "coordinator", "num_processes", "process_id")
    told = [name for name in alone if name in changed(options)]
    if told:
        flags = ", --".join(name.replace("_", "-") for name in told)
        raise UserError(
            f"--{flags}: a sweep is of one process, and divides its trials over devices"
        )
    trials = [dict(zip(grid, values)) for values in itertools.product(*grid.values())]
    run_sweep(module, config, trials, options)


def split_grid(
    module: ModuleType, arguments: Sequence[str]
) -> tuple[dict[str, list[Number]], list[str]]:
    """Takes the flags with several numbers out of a command line.

    Args:
        module: the experiment.
        arguments: its flags; those of a tuple keep their values.

    Returns:
        The values of each swept field of the Config, and the other arguments.

    Raises:
        UserError: a flag with several values that is not there or is no number, a value that is no
            number, or nothing to sweep over.
    """
    hints = typing.get_type_hints(module.Config)
    groups: list[list[str]] = []
    for argument in arguments:
        if argument.startswith("--") or not groups:
            groups.append([])
        groups[-1].append(argument)
    grid: dict[str, list[Number]] = {}
    rest: list[str] = []
    for flag, *values in groups:
        name = flag.removeprefix("--").replace("-", "_")
        if len(values) < 2 or typing.get_origin(hints.get(name)) is tuple:
            rest += [flag, *values]
            continue
        if name not in hints:
            raise unknown("flag", flag, [f"--{known.replace('_', '-')}" for known in hints])
        kinds = {hints[name], *typing.get_args(hints[name])} & {int, float}
        if not kinds:
            raise UserError(
                f"{flag} is no number: a sweep is over numbers; what else {module.__name__} can be "
                "tried with, its own list may say (jdl train … --sweep)"
            )
        kind = float if float in kinds else int
        try:
            grid[name] = [kind(value) for value in values]
        except ValueError as error:
            raise UserError(f"{flag} takes numbers: {error}") from None
    if not grid:
        raise UserError(
            "there is nothing to sweep over: give a flag several numbers, as in "
            "--learning-rate 0.3 0.1 0.03 0.01 0.003 0.001"
        )
    return grid, rest


def run_sweep(module: ModuleType, config: Any, trials: Sequence[Trial], options: Options) -> Path:
    """Trains all trials, together where one program can, and says which was best.

    Args:
        module: the experiment.
        config: what the trials have in common.
        trials: the values of the same fields.
        options: `runs`, `name`, `resume`, `devices` and `data_dir`.

    Returns:
        The sweep's folder, with metrics.jsonl, sweep.md and sweep.png.

    Raises:
        UserError: there is none to resume, or it is another one.
    """
    import jax

    from jdl.explore.sweeps import read_sweep, sweep_figure, sweep_table
    from jdl.train.sweep import CannotTrace, describe, fit_trials

    # One device for each core, over which the trials are divided; too late once JAX has begun.
    with contextlib.suppress(RuntimeError):
        jax.config.update("jax_num_cpu_devices", min(os.cpu_count() or 1, len(trials)))
    prepare_process(options)
    folder = _sweep_folder(module, config, trials, options)
    print(f"{module.__name__} → {folder}", flush=True)
    whole = [name for name, value in trials[0].items() if not isinstance(value, float)]
    try:
        if whole:
            raise CannotTrace(f"{', '.join(whole)} must be known to build the program")
        devices = jax.local_devices()[: options.devices]
        fit_trials(module.build, config, trials, folder, devices, resume=options.resume)
    except CannotTrace as error:
        print(f"the trials are trained one after another: {error}", flush=True)
        _fit_in_turn(module, config, trials, folder)
    found = read_sweep(folder)
    table = sweep_table(found)
    (folder / "sweep.md").write_text(table + "\n")
    sweep_figure(found).savefig(folder / "sweep.png", dpi=120)
    print(table)
    if found.best is None:
        print(f"all diverged; figure in {folder / 'sweep.png'}")
    else:
        print(f"the best: {describe(found.best.values)}; figure in {folder / 'sweep.png'}")
    return folder


def _sweep_folder(
    module: ModuleType, config: Any, trials: Sequence[Trial], options: Options
) -> Path:
    """Makes the sweep's folder, or finds that of the same sweep to resume."""
    experiment = module.build(config)
    record = {
        "experiment": module.__name__,
        "config": dataclasses.asdict(config),
        "trials": list(trials),
        "monitor": experiment.monitor,
        "mode": experiment.mode if experiment.monitor else "min",
    }
    record = json.loads(json.dumps(record, default=str))
    parent = options.runs / module.__name__ / "sweeps"
    begun = sorted(parent.glob("*/sweep.json"), key=lambda path: path.stat().st_mtime)
    folder = parent / (options.name or str(len(begun) + 1))
    if options.resume:
        if options.name is None and begun:
            folder = begun[-1].parent
        if not (folder / "sweep.json").is_file():
            raise UserError(f"there is no sweep to resume in {folder if options.name else parent}")
        if json.loads((folder / "sweep.json").read_text()) != record:
            raise UserError(f"{folder} is another sweep: leave --resume out, or ask for the same")
        return folder
    if (folder / "sweep.json").exists():
        raise UserError(f"there is a sweep in {folder} already: --resume goes on with it")
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "sweep.json").write_text(json.dumps(record, indent=2) + "\n")
    return folder


def _fit_in_turn(module: ModuleType, config: Any, trials: Sequence[Trial], folder: Path) -> None:
    """Trains trial after trial as runs of their own, and gathers what they measured."""
    import jax

    from jdl.train.divergence import TrainingDiverged
    from jdl.train.loop import fit
    from jdl.train.reporting import read_metrics
    from jdl.train.sweep import describe

    lines = []
    for number, values in enumerate(trials):
        own = folder / f"trial_{number}"
        if not (own / "done").exists():
            print(describe(values), flush=True)
            # Nothing is chosen by the test split.
            experiment = dataclasses.replace(
                module.build(dataclasses.replace(config, **values)), test=None
            )
            resume = any((own / "checkpoints").glob("[0-9]*"))
            end = ""
            try:
                # The devices of a CPU are its cores, which one program uses anyway.
                devices = 1 if jax.default_backend() == "cpu" else None
                fit(experiment, own, Options(resume=resume, devices=devices))
            except TrainingDiverged as error:
                print(error, flush=True)
                end = json.dumps({"step": experiment.num_steps, "split": "train", "loss": None})
            (own / "done").write_text(end)
            jax.clear_caches()
        measured = [line for line in read_metrics(own) if line["split"] != "run"]
        end = (own / "done").read_text()
        measured += [json.loads(end)] if end else []
        lines += [{"trial": number, **line} for line in measured]
    text = "".join(json.dumps(line) + "\n" for line in lines)
    (folder / "metrics.jsonl").write_text(text)
