"""Trainings that differ in one thing, side by side and from several seeds, and their verdict."""

import dataclasses
import re
import textwrap
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Key, PyTree

from jdl.tasks.verdicts import is_share, numbers, verdict
from jdl.train.metrics import Mean, Metrics
from jdl.train.task import Batch, Task

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

DIVERGED = 1e3


@dataclasses.dataclass(frozen=True, eq=False)
class Comparison:
    """Several tasks, each trained from the same few seeds, and what one metric says of them.

    Seed s of every task has the same key, fold_in(key, s), and the same rows of a batch, s, s + S,
    s + 2S, …: of `jdl.data.SideBySideLoader` with a loader for each seed, or of any loader, whose
    batches are then dealt out. A task for which there are arrays of its own, "name/image" and so
    on, sees those. All are measured on the same examples, whole. Differences are thus of pairs.

    The tasks' metric is told as "name/metric", one number for each seed; in training it is their
    loss. What is no number, or too large, is told as 1000: one that diverges does not end the rest.

    Args:
        tasks: by name, as sentences are to call them.
        seeds: S.
        metric: of the tasks' `eval_step` and `test_step`.
        larger_is_better: else smaller is.
        against: what each is compared with, by name; all others with the first when empty.
        profile: a metric of the tasks' `test_step` that is a vector, one number for each layer,
            say; it is drawn, as the mean over the seeds.
    """

    tasks: Mapping[str, Task]
    seeds: int
    metric: str = "accuracy"
    larger_is_better: bool = True
    against: Mapping[str, str] = dataclasses.field(default_factory=dict)
    profile: str | None = None

    def init(self, key: Key[Array, ""], batch: Batch) -> dict[str, PyTree]:
        """Returns the states of each task, stacked over the seeds."""
        return {
            name: jax.vmap(task.init)(self._keys(key), rows)
            for name, task, rows in self._dealt(batch)
        }

    def train_step(
        self, state: dict[str, PyTree], batch: Batch, key: Key[Array, ""]
    ) -> tuple[dict[str, PyTree], Metrics]:
        """One update of each task, from all seeds at once."""
        keys, metrics = self._keys(key), {}
        state = dict(state)
        for name, task, rows in self._dealt(batch):
            state[name], told = jax.vmap(task.train_step)(state[name], rows, keys)
            metrics[f"{name}/loss"] = _bounded(told["loss"])
        return state, metrics

    def eval_step(self, state: dict[str, PyTree], batch: Batch, key: Key[Array, ""]) -> Metrics:
        """The metric of each task, for each seed."""
        return self._measure("eval_step", state, batch, key)

    def test_step(self, state: dict[str, PyTree], batch: Batch, key: Key[Array, ""]) -> Metrics:
        """The same by the tasks' own `test_step`, and their profiles, "name/profile"."""
        return self._measure("test_step", state, batch, key)

    def _measure(self, step: str, state, batch: Batch, key: Key[Array, ""]) -> Metrics:
        keys, metrics = self._keys(key), {}
        for name, task in self.tasks.items():
            measure = getattr(task, step, task.eval_step)
            told = jax.vmap(measure, in_axes=(0, None, 0))(state[name], batch, keys)
            metrics[f"{name}/{self.metric}"] = _bounded(told[self.metric])
            if self.profile is not None and self.profile in told:
                metrics[f"{name}/{self.profile}"] = jax.tree.map(
                    lambda x: x.sum(0), told[self.profile]
                )
        return metrics

    def _keys(self, key: Key[Array, ""]) -> Key[Array, " seeds"]:
        return jax.vmap(jax.random.fold_in, in_axes=(None, 0))(key, jnp.arange(self.seeds))

    def _dealt(self, batch: Batch):
        """Yields each task with its name and the rows of each seed, [seeds, rows, …]."""

        def deal(x: Array) -> Array:
            return jnp.swapaxes(x.reshape(-1, self.seeds, *x.shape[1:]), 0, 1)

        for name, task in self.tasks.items():
            prefix = f"{name}/"
            own = {k.removeprefix(prefix): v for k, v in batch.items() if k.startswith(prefix)}
            yield name, task, jax.tree.map(deal, own or batch)

    def pairs(self) -> Mapping[str, str]:
        """What each task is compared with."""
        first, *others = self.tasks
        return self.against or dict.fromkeys(others, first)

    def conclude(
        self, lines: Sequence[dict[str, Any]]
    ) -> tuple[dict[str, str], "dict[str, Figure]"]:
        """Says and draws what a run has measured.

        Args:
            lines: of its metrics.jsonl; the last validation counts where there was no test.

        Returns:
            The verdict in a sentence with the numbers behind it, and the figure of both.
        """
        test = [line for line in lines if line["split"] in ("validation", "test")][-1]
        measured = self._measured(test)
        sentence = verdict(measured, self.pairs(), self.metric, self.larger_is_better)
        texts = {"verdict": sentence, "numbers": numbers(measured, self.metric)}
        return texts, {"verdict": self._figure(lines, measured, test, sentence)}

    def _measured(self, line: Mapping[str, Any]) -> dict[str, Float[np.ndarray, " seeds"]]:
        """The metric of each task in one line of metrics.jsonl."""
        return {name: np.array(line[f"{name}/{self.metric}"], float) for name in self.tasks}

    def _figure(self, lines, measured, test, sentence: str) -> "Figure":
        from matplotlib.figure import Figure

        curves = {line["step"]: line for line in lines if line["split"] == "validation"}
        profiles = {n: test.get(f"{n}/{self.profile}") for n in self.tasks} if self.profile else {}
        panels = (len(curves) > 1) + 1 + bool(profiles)
        figure = Figure(figsize=(4.4 * panels + 0.6, 3.9), layout="constrained")
        # No line ends within brackets.
        title = re.sub(r" (?=[^()]*\))", "\N{NO-BREAK SPACE}", sentence)
        figure.suptitle(textwrap.fill(title, 36 * panels + 8), fontsize=10)
        axes = list(figure.subplots(1, panels, squeeze=False)[0])
        if len(curves) > 1:
            self._draw_curves(axes.pop(0), curves)
        if profiles:
            self._draw_profiles(axes.pop(0), profiles)
        self._draw_numbers(axes.pop(0), measured)
        return figure

    def _draw_curves(self, axes: "Axes", curves: Mapping[int, Mapping[str, Any]]) -> None:
        steps = sorted(curves)
        for name, colour in self._colours().items():
            values = np.stack([self._measured(curves[step])[name] for step in steps])
            mean, deviation = values.mean(1), values.std(1, ddof=min(1, self.seeds - 1))
            axes.plot(steps, mean, color=colour, lw=1.4)
            axes.fill_between(
                steps, mean - deviation, mean + deviation, color=colour, alpha=0.15, lw=0
            )
        axes.set(xlabel="step", ylabel=f"validation {self.metric}".replace("_", " "))
        axes.yaxis.set_major_formatter(self._formatter())
        axes.grid(alpha=0.3)

    def _draw_profiles(self, axes: "Axes", profiles: Mapping[str, Any]) -> None:
        from matplotlib.ticker import MaxNLocator

        for name, values in profiles.items():
            layers = range(1, len(values) + 1)
            axes.plot(layers, values, "o-", ms=3, lw=1.2, color=self._colours()[name])
        axes.set(xlabel="layer", ylabel=self.profile)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.grid(alpha=0.3)

    def _draw_numbers(self, axes: "Axes", measured: Mapping[str, np.ndarray]) -> None:
        """Every seed as a dot, the mean as a line, the deviation as a bar around it."""
        from matplotlib.ticker import MaxNLocator

        for place, (name, colour) in enumerate(self._colours().items()):
            values = measured[name]
            deviation = values.std(ddof=min(1, self.seeds - 1))
            axes.errorbar(
                values.mean(), place, xerr=deviation, fmt="|", ms=14, capsize=4, color=colour
            )
            axes.plot(values, np.full(len(values), place), "o", ms=4, alpha=0.45, color=colour)
        axes.set(
            yticks=range(len(self.tasks)),
            yticklabels=[textwrap.fill(name, 18) for name in self.tasks],
            ylim=(len(self.tasks) - 0.5, -0.5),
            xlabel=f"test {self.metric}, {self.seeds} seeds".replace("_", " "),
        )
        axes.xaxis.set_major_formatter(self._formatter())
        axes.xaxis.set_major_locator(MaxNLocator(5))
        axes.grid(alpha=0.3, axis="x")
        for label, colour in zip(axes.get_yticklabels(), self._colours().values()):
            label.set_color(colour)  # It serves the other panels as a legend.

    def _formatter(self) -> Any:
        from matplotlib.ticker import FuncFormatter, ScalarFormatter

        percent = FuncFormatter(lambda value, place: f"{100 * value:g} %")
        return percent if is_share(self.metric) else ScalarFormatter()

    def _colours(self) -> dict[str, str]:
        return {name: f"C{i}" for i, name in enumerate(self.tasks)}


def _bounded(metric: Mean) -> Mean:
    """Tells what is no number, or too large a one, as a large one."""
    value = metric.total / jnp.maximum(metric.count, 1e-9)
    fine = jnp.isfinite(value) & (value < DIVERGED)
    return Mean(jnp.where(fine, metric.total, DIVERGED * metric.count), metric.count)
