"""The engine: it compiles and runs any task; it alone knows devices, files and time."""

from jdl.train.experiment import Dtype, Experiment
from jdl.train.gradients import mean_gradients
from jdl.train.loop import evaluate, fit
from jdl.train.metrics import Mean, Metrics, mean
from jdl.train.options import Options
from jdl.train.state import AveragedState, TrainState
from jdl.train.task import Task

__all__ = [
    "AveragedState",
    "Dtype",
    "Experiment",
    "Mean",
    "Metrics",
    "Options",
    "Task",
    "TrainState",
    "evaluate",
    "fit",
    "mean",
    "mean_gradients",
]
