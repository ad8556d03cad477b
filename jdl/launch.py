"""From the name of an experiment to a run: find it, read its flags, give it a folder, train it."""

import ast
import contextlib
import ctypes
import dataclasses
import fnmatch
import importlib.util
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

from jdl.errors import UserError, unknown
from jdl.train.options import Options

# Numbers in a Config without one of which there is nothing to train.
NEVER_ZERO = {
    "epochs",
    "steps",
    "hidden_size",
    "width",
    "embedding_size",
    "num_heads",
    "window",
    "members",
}


def experiment_files() -> dict[str, Path]:
    """Finds the experiments, recipes among them: of ./experiments, then those that come with jdl.

    Returns:
        Path of each, by name.
    """
    package = Path(__file__).parent
    files: dict[str, Path] = {}
    for folder in (Path("experiments"), package / "experiments", package.parent / "experiments"):
        for path in sorted([*folder.glob("*.py"), *folder.glob("recipes/*.py")]):
            files.setdefault(path.stem, path.resolve())
    return files


def list_experiments(pattern: str = "*") -> dict[str, str]:
    """Lists experiments with the first line of their docstrings, without importing any.

    Args:
        pattern: with shell wildcards.

    Returns:
        Description of each, by name.

    Example:
        >>> "lenet5_mnist" in list_experiments("lenet*")
        True
    """
    described = {}
    for name, path in experiment_files().items():
        if fnmatch.fnmatch(name, pattern):
            docstring = ast.get_docstring(ast.parse(path.read_text())) or ""
            described[name] = docstring.partition("\n")[0]
    return described


def load_experiment(name_or_path: str | Path) -> ModuleType:
    """Imports an experiment: one of jdl's by name, or anybody's by path.

    Args:
        name_or_path: "lenet5_mnist", or a path that ends in ".py".

    Returns:
        The module, with `Config` and `build`.

    Raises:
        UserError: there is none, or the file has no Config and build.
    """
    path = Path(name_or_path)
    if path.suffix == ".py":
        if not path.is_file():
            raise UserError(f"there is no file {path}")
    else:
        files = experiment_files()
        if str(name_or_path) not in files:
            raise unknown("experiment", str(name_or_path), files)
        path = files[str(name_or_path)]
    # As when the file is run as a script: experiments may import their neighbours.
    if str(path.parent.resolve()) not in sys.path:
        sys.path.insert(0, str(path.parent.resolve()))
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[path.stem] = module
    spec.loader.exec_module(module)
    if not (dataclasses.is_dataclass(getattr(module, "Config", None)) and hasattr(module, "build")):
        raise UserError(f"{path} is no experiment: it needs a dataclass Config and build(config)")
    return module


def parse_flags(module: ModuleType, arguments: Sequence[str]) -> tuple[Any, Options]:
    """Reads an experiment's flags and the launch options.

    Args:
        module: the experiment.
        arguments: from the command line.

    Returns:
        The experiment's Config and the Options. A misspelt flag or a wrong type ends the process
        with status 2 and a hint.

    Raises:
        UserError: a negative number of what is counted, or none of what there must be.
    """
    import tyro

    bare: Any = tyro.conf.OmitArgPrefixes
    flags: Any = dataclasses.make_dataclass(
        "Flags", [("config", bare[module.Config]), ("options", bare[Options])]
    )
    # What `--help` shows before the flags: the experiment's label.
    parsed = tyro.cli(
        flags,
        args=list(arguments),
        prog=f"jdl train {module.__name__}",
        description=module.__doc__,
    )
    _check_counts(parsed.config)
    return parsed.config, parsed.options


def _check_counts(config: Any) -> None:
    for field in dataclasses.fields(config):
        default, found = (
            numbers if isinstance(numbers, tuple) else (numbers,)
            for numbers in (field.default, getattr(config, field.name))
        )
        if not all(type(number) is int for number in (*default, *found)):
            continue
        least = 1 if field.name in NEVER_ZERO else min(0, *default)
        if min(found, default=least) < least:
            flag = field.name.replace("_", "-")
            raise UserError(f"--{flag} must be at least {least}, not {min(found)}")


def run(file: str, arguments: Sequence[str] | None = None) -> None:
    """Trains the experiment in a file; the one line at the end of every experiment calls this.

    Args:
        file: the experiment's `__file__`.
        arguments: flags; those of the process when None.

    Example:
        >>> run("experiments/lenet5_mnist.py", ["--epochs", "1"])  # doctest: +SKIP
    """
    with exit_on_user_error():
        module = load_experiment(Path(file))
        config, options = parse_flags(module, sys.argv[1:] if arguments is None else arguments)
        train_all(module, config, options)


@contextlib.contextmanager
def exit_on_user_error():
    """Prints what the user can mend and exits with 2; a traceback is for bugs of ours."""
    try:
        yield
    except UserError as error:
        print(f"jdl: {error}", file=sys.stderr)
        raise SystemExit(2) from None
    except OSError as error:
        if error.errno is None:
            raise
        where = f" ({error.filename})" if error.filename else ""
        print(f"jdl: {os.strerror(error.errno).lower()}{where}", file=sys.stderr)
        raise SystemExit(2) from None


def train_all(module: ModuleType, config: Any, options: Options) -> None:
    """Trains an experiment, or every configuration of its `sweep`.

    Args:
        module: the experiment; `sweep` is a list of its Configs.
        config: its Config. In a sweep, fields that differ from their defaults hold for all.
        options: how to launch it.

    Raises:
        UserError: a sweep is asked of an experiment that has none, or under one name.
    """
    if not options.sweep:
        train(module, config, options)
        return
    if not hasattr(module, "sweep"):
        raise UserError(f"{module.__name__} has no sweep: no list of Configs of that name")
    if options.name or options.resume:
        raise UserError("the runs of a sweep are numbered: leave --name and --resume out")
    import jax

    told = changed(config)
    for one in module.sweep:
        train(module, dataclasses.replace(one, **told), options)
        jax.clear_caches()  # The next network shares no compiled program with this one.


def changed(config: Any) -> dict[str, Any]:
    """Returns the fields of a Config that are not at their defaults.

    Example:
        >>> Config = dataclasses.make_dataclass("Config", [("seed", int, 0), ("rate", float, 0.1)])
        >>> changed(Config(rate=0.2))
        {'rate': 0.2}
    """
    return {
        field.name: value
        for field in dataclasses.fields(config)
        if (value := getattr(config, field.name)) != field.default
        and (field.default_factory is dataclasses.MISSING or value != field.default_factory())
    }


def train(module: ModuleType, config: Any, options: Options) -> Path:
    """Builds an experiment and trains it in a folder of its own.

    Args:
        module: the experiment.
        config: its Config.
        options: how to launch it.

    Returns:
        The run's folder.

    Raises:
        SystemExit: with status 0, when SIGTERM stopped it.
    """
    from jdl.train.loop import fit

    prepare_process(options)
    workdir = run_folder(module.__name__, options)
    import jax

    experiment = module.build(config)
    if jax.process_index() == 0:
        write_config(workdir, module, config, options)
        print(f"{module.__name__} → {workdir}  ({_devices()})", flush=True)
    if fit(experiment, workdir, options).interrupted:
        # Nor does what comes after it begin: the rest of a sweep, or what needs this run.
        raise SystemExit(0)
    return workdir


def prepare_process(options: Options) -> None:
    """Sets what a process decides once: compiled programs, memory, data folder, other hosts."""
    import jax

    keep_freed_memory()
    cache = os.environ.get("JDL_CACHE_DIR") or Path.home() / ".cache" / "jdl"
    if jax.config.values["jax_compilation_cache_dir"] is None:
        jax.config.update("jax_compilation_cache_dir", str(Path(cache) / "compiled"))
        jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.1)
    if options.data_dir is not None:
        os.environ["TFDS_DATA_DIR"] = str(options.data_dir)
    if options.coordinator is not None:
        if options.num_processes is None or options.process_id is None or options.name is None:
            raise UserError("--coordinator needs --num-processes, --process-id and --name")
        jax.distributed.initialize(options.coordinator, options.num_processes, options.process_id)


def keep_freed_memory() -> None:
    """Has the C library keep large buffers for the next step, instead of giving them back.

    By default it maps every large buffer anew, and the kernel zeroes its pages, at every step: a
    quarter of the time of a diffusion model's step on two cores. Nothing happens off Linux.
    """
    if not sys.platform.startswith("linux"):
        return
    with contextlib.suppress(OSError, AttributeError):  # Another C library than glibc.
        mallopt = ctypes.CDLL("libc.so.6").mallopt
        # glibc's malloc.h: M_MMAP_MAX, M_TRIM_THRESHOLD, M_ARENA_MAX, M_TOP_PAD.
        for option, value in ((-4, 0), (-1, 2**31 - 1), (-8, 1), (-2, 2**26)):
            mallopt(option, value)


def run_folder(experiment: str, options: Options) -> Path:
    """Chooses the folder of a run, so that no launch overwrites another.

    Args:
        experiment: its name.
        options: `runs`, `name` and `resume`.

    Returns:
        RUNS/EXPERIMENT/NAME; the next free number when there is no name, the latest run when
        there is no name and it is to be resumed.

    Raises:
        UserError: the named run exists and is not to be resumed, or there is none to resume.
    """
    parent = options.runs / experiment
    if options.resume:
        folder = parent / options.name if options.name else latest_run(parent)
        if folder is None or not (folder / "checkpoints").is_dir():
            raise UserError(f"there is no run to resume in {folder or parent}")
        return folder
    if options.name is None:
        taken = [int(p.name) for p in parent.glob("*") if p.name.isdigit()]
        return parent / str(max(taken, default=0) + 1)
    folder = parent / options.name
    if (folder / "config.json").exists() and options.num_processes is None:
        raise UserError(
            f"there is a run in {folder} already: "
            "--resume goes on with it, another --name starts anew"
        )
    return folder


def latest_run(parent: Path) -> Path | None:
    """Returns the run of an experiment that was begun last, or None."""
    runs = [p for p in parent.glob("*") if (p / "config.json").is_file()]
    return max(runs, key=lambda p: (p / "config.json").stat().st_mtime, default=None)


def write_config(workdir: Path, module: ModuleType, config: Any, options: Options) -> None:
    """Writes config.json: what it takes to build the same experiment again."""
    import jax

    import jdl

    try:
        workdir.mkdir(parents=True, exist_ok=True)
        record = {
            "experiment": module.__name__,
            "file": str(Path(str(module.__file__)).resolve()),
            "config": dataclasses.asdict(config),
            "told": changed(config),
            "options": dataclasses.asdict(options),
            "devices": _devices(),
            "versions": {"jdl": jdl.__version__, "jax": jax.__version__},
        }
        (workdir / "config.json").write_text(json.dumps(record, indent=2, default=str) + "\n")
    except OSError as error:
        raise UserError(
            f"the run's folder {workdir} cannot be written: {error.strerror}"
        ) from error


def _devices() -> str:
    import jax

    devices = jax.devices()
    return f"{len(devices)} × {devices[0].device_kind}"
