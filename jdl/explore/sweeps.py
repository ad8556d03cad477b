"""What a sweep found: a table and a figure of its trials."""

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from jdl.train.reporting import format_value, read_metrics

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Curve = dict[int, float]


@dataclass(frozen=True)
class Found:
    """What one trial came to.

    Args:
        values: of the swept flags, by name.
        training: loss by step; NaN once it had diverged.
        curve: the monitored metric of the validation split, or else the training loss, by step.
        best_step: where that was best, or None.
    """

    values: dict[str, int | float]
    training: Curve
    curve: Curve
    best_step: int | None


@dataclass(frozen=True)
class Sweep:
    """The trials of a sweep, in the order in which they were named.

    Args:
        metric: by which they are compared.
        mode: whether the smallest or the largest is the best.
        trials: what each came to.
    """

    metric: str
    mode: Literal["min", "max"]
    trials: Sequence[Found]

    @property
    def best(self) -> Found | None:
        """The best of them, or None when all diverged."""
        finite = [trial for trial in self.trials if trial.best_step is not None]
        choose = min if self.mode == "min" else max
        return choose(finite, key=lambda t: t.curve[t.best_step or 0]) if finite else None


def read_sweep(folder: Path) -> Sweep:
    """Reads what a sweep has measured until now.

    Args:
        folder: with sweep.json and metrics.jsonl.
    """
    record = json.loads((folder / "sweep.json").read_text())
    metric, mode = record["monitor"] or "loss", record["mode"]
    choose = min if mode == "min" else max
    lines = read_metrics(folder) if (folder / "metrics.jsonl").exists() else []
    # Without a validation split, training is all there is.
    judged = "validation" if any(line["split"] == "validation" for line in lines) else "train"

    def curve(trial: int, split: str, name: str) -> Curve:
        """By step; where a resumed sweep measured again, the last word counts."""
        return {
            line["step"]: math.nan if line[name] is None else line[name]
            for line in lines
            if (line["trial"], line["split"]) == (trial, split) and name in line
        }

    trials = []
    for number, values in enumerate(record["trials"]):
        measured = curve(number, judged, metric)
        finite = [step for step, value in measured.items() if math.isfinite(value)]
        best = choose(finite, key=measured.__getitem__) if finite else None
        trials.append(Found(values, curve(number, "train", "loss"), measured, best))
    return Sweep(f"{judged} {metric}", mode, trials)


def sweep_table(sweep: Sweep) -> str:
    """Writes a Markdown table of the trials.

    Args:
        sweep: of `read_sweep`.

    Returns:
        For each trial its numbers, the best that it measured and after which step, and its last
        training loss.

    Example:
        >>> trial = Found({"learning_rate": 0.1}, {10: 0.5}, {10: 0.875}, 10)
        >>> print(sweep_table(Sweep("validation accuracy", "max", [trial])))
        | learning_rate | best validation accuracy | after step | last training loss |
        | --- | --- | --- | --- |
        | **0.1** | 0.875 | 10 | 0.5 |
    """
    names = list(sweep.trials[0].values)
    rows = [[*names, f"best {sweep.metric}", "after step", "last training loss"]]
    rows.append(["---"] * len(rows[0]))
    for trial in sweep.trials:
        mark = "**" if trial is sweep.best else ""
        last = list(trial.training.values())[-1] if trial.training else math.nan
        found = ("", "")
        if trial.best_step is not None:
            found = (format_value(trial.curve[trial.best_step]), str(trial.best_step))
        loss = format_value(last) if math.isfinite(last) else "diverged"
        rows.append([*(f"{mark}{trial.values[name]:g}{mark}" for name in names), *found, loss])
    return "\n".join(f"| {' | '.join(cells)} |" for cells in rows)


def sweep_figure(sweep: Sweep) -> "Figure":
    """Draws every trial's training loss and measurements, and what each came to at best.

    Args:
        sweep: of `read_sweep`.

    Returns:
        The figure; its last panel is against the number that was swept, when it was one.

    Example:
        >>> trial = Found({"learning_rate": 0.1}, {10: 0.5}, {10: 0.875}, 10)
        >>> len(sweep_figure(Sweep("validation accuracy", "max", [trial])).axes)
        3
    """
    from matplotlib import colormaps
    from matplotlib.figure import Figure

    figure = Figure(figsize=(13.0, 3.8), layout="constrained")
    training, measured, best = figure.subplots(1, 3)
    colours = colormaps["viridis"].resampled(len(sweep.trials) + 1)
    names = list(sweep.trials[0].values)
    for number, trial in enumerate(sweep.trials):
        label = ", ".join(f"{value:g}" for value in trial.values.values())
        style = {"color": colours(number), "label": label, "linewidth": 1.2}
        training.plot(list(trial.training), list(trial.training.values()), ".-", **style)
        measured.plot(list(trial.curve), list(trial.curve.values()), ".-", **style)
        if trial.best_step is not None:
            place = trial.values[names[0]] if len(names) == 1 else label
            best.plot(place, trial.curve[trial.best_step], "o", color=colours(number))
    training.set(title="training loss", xlabel="step", yscale="log")
    training.legend(title=", ".join(names), frameon=False, fontsize=8)
    measured.set(title=sweep.metric, xlabel="step")
    best.set(title=f"best {sweep.metric}", xlabel=", ".join(names))
    if len(names) == 1 and all(trial.values[names[0]] > 0 for trial in sweep.trials):
        best.set_xscale("log")
    for axes in (training, measured, best):
        axes.grid(alpha=0.3)
    return figure
