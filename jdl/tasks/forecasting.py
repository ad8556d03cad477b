"""Forecasting: tomorrow's prices, measured against the forecast that nothing will change."""

import dataclasses
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Array, Float, Key

from jdl.tasks.regression import Regression
from jdl.train.state import TrainState
from jdl.train.task import Batch

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclasses.dataclass(frozen=True)
class Days:
    """Days of several companies, each with what was known on it and what came of it.

    Args:
        inputs: float [days, time, channels], what was known, the day itself last.
        change: float [days], log(price tomorrow / price today).
        price: float [days], today's.
        company: names, object [days]; the days of a company follow each other.
    """

    inputs: np.ndarray
    change: np.ndarray
    price: np.ndarray
    company: np.ndarray


@dataclasses.dataclass(frozen=True, eq=False)
class Forecasting(Regression):
    """Regression on the change of a price, in units of its deviation.

        ŷ = μ + σ f(x),  y = log(price tomorrow / price today)                      (1)
        MAE = mean |ŷ − y|,  RMSE = √ mean (ŷ − y)²                                 (2)

    The naïve forecast is ŷ = 0: tomorrow as today.

    Args:
        test: the days that forecasts are reported on.
        mean: μ, of the training days' changes.
        deviation: σ, likewise.
    """

    test: Days
    mean: float
    deviation: float

    def forecast(
        self, state: TrainState, inputs: Float[np.ndarray, "days time channels"]
    ) -> Float[np.ndarray, " days"]:
        """Forecasts the change after the last day of each window, by equation (1)."""
        return self.mean + self.deviation * np.asarray(self.answers(state, inputs))[:, -1, 0]

    def texts(self, state: TrainState, key: Key[Array, ""]) -> dict[str, str]:
        """A table of the errors (2) of each company, in percent of the price."""
        forecast, companies = self.forecast(state, self.test.inputs), self.test.company
        lines = ["company  days     MAE   naïve    RMSE   naïve"]
        for name in [*dict.fromkeys(companies.tolist()), "all"]:
            here = companies == name if name != "all" else np.full(len(companies), True)
            y = self.test.change[here]
            errors = (forecast[here] - y, y)
            cells = [f"{100 * np.abs(e).mean():8.4f}" for e in errors]
            cells += [f"{100 * np.sqrt(np.square(e).mean()):8.4f}" for e in errors]
            lines.append(f"{name:7} {len(y):5}{''.join(cells)}")
        return {"errors": "\n".join(lines) + "\n"}

    def figures(self, state: TrainState, batch: Batch, key: Key[Array, ""]) -> "dict[str, Figure]":
        """The last forty days of each company: the price, its forecast and the naïve one."""
        from matplotlib.figure import Figure

        names = list(dict.fromkeys(self.test.company.tolist()))
        figure = Figure(figsize=(8, 2.2 * len(names)), layout="constrained")
        for axes, name in zip(np.ravel(figure.subplots(len(names))), names):
            here = np.flatnonzero(self.test.company == name)[-40:]
            price, change = self.test.price[here], self.test.change[here]
            forecast = price * np.exp(self.forecast(state, self.test.inputs[here]))
            axes.plot(price * np.exp(change), color="0.2", label="price")
            axes.plot(price, color="0.7", linestyle=":", label="naïve: as the day before")
            axes.plot(forecast, color="C1", linewidth=1, label="forecast")
            axes.set(title=name, ylabel="dollars")
        axes.set(xlabel="day")
        figure.axes[0].legend(loc="best", fontsize=8)
        return {"forecasts": figure} | super().figures(state, batch, key)
