"""What an experiment's `build` returns: a task, its data, and how long to train."""

import dataclasses
from typing import Literal

from jdl.data.loaders import Loader
from jdl.errors import UserError
from jdl.train.task import Task

Dtype = Literal["float32", "bfloat16", "float16"]  # that a network computes in


@dataclasses.dataclass(frozen=True, kw_only=True)
class Experiment:
    """Real objects, ready to run.

    Args:
        task: the objective.
        train: batches to train on.
        validation: what decides which checkpoint is best, and when to stop.
        test: measured once, after training, with the best checkpoint.
        num_steps: updates to make.
        evaluate_every: steps between two validations; a checkpoint is saved at each.
        seed: every random draw of the run derives from it.
        monitor: the validation metric that says which checkpoint is best; None: the last one is.
        mode: whether the best is the smallest ("min") or the largest ("max").
        patience: stop after so many validations without a better one; None: never.
    """

    task: Task
    train: Loader
    num_steps: int
    evaluate_every: int
    validation: Loader | None = None
    test: Loader | None = None
    seed: int = 0
    monitor: str | None = None
    mode: Literal["min", "max"] = "min"
    patience: int | None = None

    def __post_init__(self):
        if self.num_steps < 1 or self.evaluate_every < 1:
            raise UserError(
                "an experiment needs at least one step, and evaluate_every ≥ 1; "
                f"got num_steps={self.num_steps}, evaluate_every={self.evaluate_every}"
            )
        if self.monitor and self.validation is None:
            raise UserError(f"monitor={self.monitor!r} needs a validation set")

    @property
    def log_every(self) -> int:
        """Steps whose training metrics are told as one number."""
        # Rounded up, so that no curve ends in the noise of a few last steps.
        return min(100, -(-self.evaluate_every // 5))
