"""Runs that were made: find one by name, build its experiment again, restore what it learned."""

import dataclasses
from pathlib import Path
from types import ModuleType
from typing import Any

from jdl.errors import UserError, unknown
from jdl.launch import latest_run, load_experiment, train
from jdl.train.experiment import Experiment
from jdl.train.options import Options


def find_runs(run: str | Path, runs: Path = Path("runs")) -> list[Path]:
    """Finds the folders of a run, or of all finished or unfinished runs of an experiment.

    Args:
        run: the folder, "EXPERIMENT/NAME", or "EXPERIMENT".
        runs: folder of all runs.

    Returns:
        The folders, in the order in which the runs were begun.

    Raises:
        UserError: there is no such run; with the nearest that there are.
    """
    found = [p for p in (runs / run).glob("*") if (p / "config.json").is_file()]
    if found:
        return sorted(found, key=lambda p: (p / "config.json").stat().st_mtime)
    return [find_run(run, runs)]


def find_run(run: str | Path, runs: Path = Path("runs")) -> Path:
    """Finds a run's folder.

    Args:
        run: the folder, "EXPERIMENT/NAME", or "EXPERIMENT" for its latest run.
        runs: folder of all runs.

    Returns:
        The folder.

    Raises:
        UserError: there is no such run; with the nearest that there are.
    """
    for folder in (Path(run), runs / run):
        if (folder / "config.json").is_file():
            return folder
        latest = latest_run(folder)
        if latest is not None:
            return latest
    known = [str(p.parent.relative_to(runs)) for p in runs.glob("*/*/config.json")]
    if not known:
        raise UserError(f"there is no run {str(run)!r}, and none in {runs}; `jdl train` makes one")
    raise unknown("run", str(run), known)


def open_run(folder: Path) -> tuple[Experiment, dict[str, Any]]:
    """Builds the experiment of a run again, from its config.json.

    Args:
        folder: the run's.

    Returns:
        The experiment, and what config.json holds.

    Raises:
        UserError: the folder is no run, or its experiment's file is gone.
    """
    from jdl.train.checkpoints import read_config

    record = read_config(folder)
    file = Path(record["file"])
    module = load_experiment(file if file.is_file() else record["experiment"])
    names = {field.name for field in dataclasses.fields(module.Config)}
    gone = sorted(set(record["config"]) - names)
    if gone:
        raise UserError(f"{folder} was configured with {', '.join(gone)}, which {file} has no more")
    # JSON has no tuples.
    values = {
        name: tuple(value) if isinstance(value, list) else value
        for name, value in record["config"].items()
    }
    return module.build(module.Config(**values)), record


def restore_state(experiment: Experiment, folder: Path) -> Any:
    """Restores the state of a run's best checkpoint, on one device."""
    from jdl.train.loop import restore

    executor, state, _ = restore(experiment, folder)
    return executor.local(state)


def trained_run(module: ModuleType, run: str) -> tuple[Path, Experiment, Any]:
    """Restores the best checkpoint of a run; where an experiment has none, it is trained first.

    Args:
        module: the experiment.
        run: as `find_run` takes it; only its own name has one trained.

    Returns:
        The run's folder, its experiment, and the state on one device.

    Raises:
        UserError: there is no such run.
    """
    try:
        folder = find_run(run)
    except UserError:
        if run != module.__name__:
            raise
        print(f"{run} is trained first: there is no run of it yet", flush=True)
        folder = train(module, module.Config(), Options())
    experiment, _ = open_run(folder)
    return folder, experiment, restore_state(experiment, folder)
