"""Runs side by side: what each reached, and what it cost."""

import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jdl.errors import UserError
from jdl.train.checkpoints import read_config
from jdl.train.reporting import format_seconds, format_value, read_metrics

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def compare(runs: Sequence[Path]) -> str:
    """Writes a Markdown table of runs, from their own metrics, the best first.

    Args:
        runs: folders of finished runs.

    Returns:
        For each: the command that trains it again, without its seed; what its best checkpoint
        reached on the test split; parameters, wall-clock and seed.

    Raises:
        UserError: a run was not finished.
    """
    rows = [_row(run) for run in runs]
    measured = list(dict.fromkeys(name for row in rows for name in row["test"]))
    if "accuracy" in measured:
        rows.sort(key=lambda row: -row["test"].get("accuracy", 0.0))
    head = ["command", *(f"test {name}" for name in measured), "parameters", "wall-clock", "seed"]
    lines = [head, ["---"] * len(head)]
    for row in rows:
        found = [_shown(name, row["test"].get(name)) for name in measured]
        size, seconds = f"{row['parameters']:,}", format_seconds(row["wall_clock"])
        lines.append([f"`{row['command']}`", *found, size, seconds, str(row["seed"])])
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def overlay_curves(runs: Sequence[Path], metric: str = "loss") -> "Figure":
    """Draws one metric of several runs against the step, in training and in validation.

    Args:
        runs: folders.
        metric: that all of them measured.

    Returns:
        The figure, with a line for each run.

    Raises:
        UserError: a run has not measured it.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7.0, 4.2), layout="constrained")
    axes = figure.subplots()
    for number, (run, label) in enumerate(zip(runs, _labels(runs))):
        lines = read_metrics(run)
        for split, width in (("train", 1.6), ("validation", 0.6)):
            points = [
                (line["step"], line[metric])
                for line in lines
                if line["split"] == split and line.get(metric) is not None
            ]
            if not points and split == "train":
                raise UserError(f"{run} has not measured {metric!r} in training")
            shown = label if split == "train" else None
            axes.plot(*zip(*points), color=f"C{number}", linewidth=width, label=shown)
    axes.set(xlabel="step", ylabel=metric, title="training thick, validation thin")
    axes.set_yscale("log")
    axes.grid(alpha=0.3)
    axes.legend(frameon=False)
    return figure


def replace_table(text: str, table: str) -> str:
    r"""Puts a table in the place of the first one of a Markdown text, or at its end.

    Args:
        text: the whole document.
        table: its lines begin with a bar.

    Example:
        >>> replace_table("Before.\n\n| a |\n|---|\n\nAfter.\n", "| b |")
        'Before.\n\n| b |\n\nAfter.\n'
    """
    lines = text.splitlines()
    starts = [i for i, line in enumerate(lines) if line.startswith("|")]
    start = starts[0] if starts else len(lines)
    end = start
    while end < len(lines) and lines[end].startswith("|"):
        end += 1
    return "\n".join([*lines[:start], table, *lines[end:]]) + "\n"


def _labels(runs: Sequence[Path]) -> list[str]:
    """Says of each run in what its configuration differs from the others'."""
    records = [read_config(run) for run in runs]
    names = dict.fromkeys(name for record in records for name in record["config"])
    values = [{name: record["config"].get(name, "") for name in names} for record in records]
    varied = [name for name in names if any(v[name] != values[0][name] for v in values)]
    labels = [", ".join(f"{name} {value[name]}" for name in varied) for value in values]
    return [label or str(run) for label, run in zip(labels, runs)]


def _row(run: Path) -> dict[str, Any]:
    record = read_config(run)
    last = {line["split"]: line for line in read_metrics(run)} if _measured(run) else {}
    if "run" not in last:
        again = f"jdl train {record['experiment']} --name {run.name} --resume"
        raise UserError(f"{run} was not finished: `{again}` goes on")
    flags = [_flag(name, value) for name, value in record["told"].items() if name != "seed"]
    skipped = ("split", "step", "seconds")
    return {
        "command": " ".join(["jdl train", record["experiment"], *flags]),
        "test": {k: v for k, v in last.get("test", {}).items() if k not in skipped},
        "parameters": int(last["run"]["parameters"]),
        "wall_clock": last["run"]["wall_clock"],
        "seed": record["config"].get("seed", ""),
    }


def _measured(run: Path) -> bool:
    return (run / "metrics.jsonl").is_file()


def _flag(name: str, value: Any) -> str:
    flag = name.replace("_", "-")
    if isinstance(value, bool):
        return f"--{flag}" if value else f"--no-{flag}"
    values = value if isinstance(value, list) else [value]
    return " ".join([f"--{flag}", *(shlex.quote(str(v)) for v in values)])


def _shown(name: str, value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, list):
        value = sum(v or 0.0 for v in value) / len(value)
    return f"{value:.1%}" if name == "accuracy" else format_value(value)
