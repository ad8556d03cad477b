"""Squared errors against their equation, forecasts against ones made by hand."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jdl.tasks.forecasting import Days, Forecasting
from jdl.tasks.regression import Regression
from jdl.train.metrics import compute


class Scaled(nn.Module):
    """Answers with its first input, times a parameter."""

    @nn.compact
    def __call__(self, signals, *, train: bool = False):
        return self.param("scale", nn.initializers.constant(2.0), ()) * signals[..., :1]


def batch():
    return {
        "inputs": jnp.arange(24.0).reshape(3, 4, 2) / 10,
        "target": jnp.array([[[0.0], [1.0]], [[2.0], [2.0]], [[9.0], [9.0]]]),
        "mask": jnp.array([1.0, 1.0, 0.0]),
        "row": jnp.arange(3, dtype=jnp.int32),
    }


def test_errors_are_of_the_last_steps_and_of_real_rows():
    task = Regression(Scaled(), optax.sgd(0.1))
    state = task.init(jax.random.key(0), batch())
    errors = np.array([[0.8 - 0, 1.2 - 1], [2.4 - 2, 2.8 - 2]])
    found = compute(jax.jit(task.eval_step)(state, batch(), jax.random.key(0)))
    assert found["loss"] == pytest.approx(np.mean(errors**2), rel=1e-5)
    assert found["absolute_error"] == pytest.approx(np.mean(np.abs(errors)), rel=1e-5)
    state, metrics = jax.jit(task.train_step)(state, batch(), jax.random.key(0))
    assert compute(metrics)["loss"] == pytest.approx(np.mean(errors**2), rel=1e-5)
    gradient = np.mean(2 * errors * [[0.4, 0.6], [1.2, 1.4]])
    assert float(state.params["scale"]) == pytest.approx(2 - 0.1 * gradient, rel=1e-5)
    assert set(task.figures(state, batch(), jax.random.key(0))) == {"answers"}


def test_forecasts_are_set_against_no_change():
    days = Days(
        inputs=np.array([[[0.0], [1.0]], [[0.0], [0.0]], [[0.0], [-1.0]]], np.float32),
        change=np.array([0.05, 0.01, -0.01]),
        price=np.array([10.0, 20.0, 30.0]),
        company=np.array(["ONE", "ONE", "TWO"], object),
    )
    task = Forecasting(Scaled(), optax.sgd(0.1), test=days, mean=0.01, deviation=0.02)
    state = task.init(jax.random.key(0), batch())
    np.testing.assert_allclose(task.forecast(state, days.inputs), [0.05, 0.01, -0.03], atol=1e-7)
    table = task.texts(state, jax.random.key(0))["errors"].splitlines()
    rows = {line.split()[0]: [float(cell) for cell in line.split()[1:]] for line in table[1:]}
    assert rows["ONE"] == pytest.approx([2, 0, 3, 0, np.sqrt((25 + 1) / 2)], abs=1e-3)
    assert rows["TWO"] == pytest.approx([1, 2, 1, 2, 1], abs=1e-3)
    assert rows["all"] == pytest.approx([3, 2 / 3, 7 / 3, np.sqrt(4 / 3), 3], abs=1e-3)
    figure = task.figures(state, batch(), jax.random.key(0))["forecasts"]
    assert [axes.get_title() for axes in figure.axes] == ["ONE", "TWO"]
    truth, naive, forecast = (line.get_ydata() for line in figure.axes[0].lines)
    np.testing.assert_allclose(truth, days.price[:2] * np.exp(days.change[:2]))
    np.testing.assert_allclose(naive, days.price[:2])
    np.testing.assert_allclose(forecast, days.price[:2] * np.exp([0.05, 0.01]), rtol=1e-6)
