"""What a run tells: a bar on a terminal or plain lines, metrics.jsonl, TensorBoard, figures."""

import json
import math
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from jdl.train.metrics import Value, scalar

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SECONDS_BETWEEN_LINES = 10.0


def format_value(value: float) -> str:
    """Writes a number in four significant digits.

    Example:
        >>> format_value(0.98312), format_value(1234.5), format_value(1e-5)
        ('0.9831', '1234', '1e-05')
    """
    return f"{value:.0f}" if abs(value) >= 1000 else f"{value:.4g}"


def format_metrics(values: dict[str, Value]) -> str:
    """Writes metrics on one line.

    Example:
        >>> format_metrics({"loss": 0.25, "iou": [0.5, 1.0]})
        'loss 0.25  iou 0.75'
    """
    return "  ".join(f"{name} {format_value(scalar(value))}" for name, value in values.items())


def format_seconds(seconds: float) -> str:
    """Writes a duration.

    Example:
        >>> format_seconds(41.2), format_seconds(754.0)
        ('41 s', '12 min 34 s')
    """
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest:02d} s" if minutes else f"{rest} s"


class Reporter:
    """Writes what happens to the run's folder and to the person who waits.

    Args:
        workdir: the run's folder; nothing is written when None (evaluation only, or another host).
        num_steps: updates that the run will make.
        start: updates made before this launch.
    """

    def __init__(self, workdir: Path | None, num_steps: int, start: int = 0):
        self.workdir = workdir
        self.num_steps = num_steps
        self.start = start
        self.launched = self.last_line = time.monotonic()
        self.note = ""
        self.jsonl = self.events = self.bar = None
        if workdir is None:
            return
        from tensorboardX import SummaryWriter

        self.jsonl = (workdir / "metrics.jsonl").open("a", buffering=1)
        self.events = SummaryWriter(str(workdir), purge_step=start or None)
        if sys.stdout.isatty():
            self.bar = _bar()
            self.bar.start()
            self.row = self.bar.add_task("", total=num_steps, completed=start, note="", rate="")

    def say(self, text: str) -> None:
        """Prints a sentence, above the bar when there is one."""
        if self.workdir is None:
            return
        if self.bar:
            self.bar.console.print(text, highlight=False, markup=False, soft_wrap=True)
        else:
            print(text, flush=True)

    def train(self, step: int, values: dict[str, Value]) -> None:
        """Reports the metrics of the last few updates.

        Args:
            step: updates made.
            values: averaged over them.
        """
        now = time.monotonic()
        rate = (step - self.start) / max(now - self.launched, 1e-9)
        self._write("train", step, values | {"steps_per_second": rate})
        self.note = format_metrics({k: v for k, v in values.items() if k != "gradient_norm"})
        if self.bar:
            self.bar.update(self.row, completed=step, note=self.note, rate=f"{rate:.1f} steps/s")
        elif now - self.last_line > SECONDS_BETWEEN_LINES:
            left = (self.num_steps - step) / max(rate, 1e-9)
            self.say(
                f"step {step}/{self.num_steps}  {self.note}  "
                f"{rate:.1f} steps/s  {format_seconds(left)} left"
            )
            self.last_line = now

    def measured(self, split: str, step: int, values: dict[str, Value]) -> None:
        """Reports the metrics of a whole split.

        Args:
            split: "validation" or "test".
            step: updates made.
            values: over the split.
        """
        self._write(split, step, values)
        self.say(f"step {step}/{self.num_steps}  {split}: {format_metrics(values)}")
        self.last_line = time.monotonic()

    def figures(self, step: int, figures: "dict[str, Figure]") -> None:
        """Saves figures as PNG files, and for TensorBoard.

        Args:
            step: updates made.
            figures: by name.
        """
        if self.workdir is None or self.events is None:
            return
        from PIL import Image

        folder = self.workdir / "figures"
        folder.mkdir(exist_ok=True)
        for name, figure in figures.items():
            file = folder / f"{name}.png"
            figure.savefig(file, dpi=120, bbox_inches="tight")
            # TensorBoard shows the file: drawing once more would take as long again.
            pixels = np.asarray(Image.open(file).convert("RGB"))
            self.events.add_image(name, pixels, step, dataformats="HWC")

    def text(self, name: str, text: str, step: int) -> None:
        """Saves a text that the run made, beside its figures."""
        if self.workdir is None or self.events is None:
            return
        (self.workdir / f"{name}.txt").write_text(text + "\n")
        self.events.add_text(name, text, step)

    def finished(self, step: int, seconds: float, parameters: int) -> None:
        """Says what the whole run took, and where to look.

        Args:
            step: updates that the best checkpoint has seen.
            seconds: from launch to last figure.
            parameters: that were trained.
        """
        self._write("run", step, {"wall_clock": seconds, "parameters": float(parameters)})
        figures = self.workdir / "figures" if self.workdir else ""
        self.say(f"done in {format_seconds(seconds)}; figures in {figures}")

    def _write(self, split: str, step: int, values: dict[str, Value]) -> None:
        if self.jsonl is None or self.events is None:
            return
        # JSON has no NaN: a class that was never counted is null.
        clean: dict[str, Any] = {
            name: [v if math.isfinite(v) else None for v in value]
            if isinstance(value, list)
            else (value if math.isfinite(value) else None)
            for name, value in values.items()
        }
        seconds = round(time.monotonic() - self.launched, 3)
        line = {"step": step, "split": split, "seconds": seconds, **clean}
        self.jsonl.write(json.dumps(line) + "\n")
        for name, value in values.items():
            self.events.add_scalar(f"{split}/{name}", scalar(value), step)

    def close(self) -> None:
        """Stops the bar and closes the files."""
        if self.bar:
            self.bar.stop()
        if self.jsonl:
            self.jsonl.close()
        if self.events:
            self.events.close()


def _bar() -> Any:
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
    )

    return Progress(
        BarColumn(bar_width=24),
        MofNCompleteColumn(),
        TextColumn("[green]{task.fields[note]}"),
        TextColumn("{task.fields[rate]}"),
        TimeRemainingColumn(compact=True),
        TextColumn("left"),
    )


def read_metrics(run: Path) -> list[dict[str, Any]]:
    """Reads the lines of a run's metrics.jsonl; a line cut short by a kill is left out.

    Args:
        run: the run's folder.

    Returns:
        One dict a line: step, split, seconds and the metrics.
    """
    lines = []
    for line in (run / "metrics.jsonl").read_text().splitlines():
        try:
            lines.append(json.loads(line))
        except json.JSONDecodeError:
            continue
    return lines


def training_curves(run: Path) -> "Figure | None":
    """Draws every metric of a run against the step: what was trained on, and validation.

    Args:
        run: the run's folder.

    Returns:
        A figure with one panel a metric, or None when nothing was recorded yet.
    """
    from matplotlib.figure import Figure

    splits: dict[str, dict[str, dict[int, float]]] = {}
    for line in read_metrics(run):
        for name, value in line.items():
            if line["split"] in ("train", "validation") and name not in _NOT_CURVES:
                values = value if isinstance(value, list) else [value]
                numbers = [v for v in values if v is not None]
                if numbers:
                    # A resumed run measures some steps again: the last word counts.
                    curve = splits.setdefault(name, {}).setdefault(line["split"], {})
                    curve[line["step"]] = sum(numbers) / len(numbers)
    if not splits:
        return None
    columns = min(4, len(splits))
    rows = math.ceil(len(splits) / columns)
    figure = Figure(figsize=(4.2 * columns, 3.2 * rows), layout="constrained")
    panels = figure.subplots(rows, columns, squeeze=False).ravel()
    for axes in panels[len(splits) :]:
        axes.set_axis_off()
    for axes, (name, curves) in zip(panels, splits.items()):
        for split, curve in sorted(curves.items()):
            style = "-" if split == "train" else "o-"
            steps = sorted(curve)
            axes.plot(steps, [curve[s] for s in steps], style, label=split, ms=3, lw=1.2)
        axes.set(title=name.replace("_", " "), xlabel="step")
        axes.grid(alpha=0.3)
        axes.legend(frameon=False)
    return figure


_NOT_CURVES = ("step", "split", "seconds", "steps_per_second", "gradient_norm")
