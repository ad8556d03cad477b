"""The task protocol: what is minimised, as pure functions that know no device and no file."""

from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from jaxtyping import Array, Key, PyTree

from jdl.train.metrics import Metrics

if TYPE_CHECKING:
    from matplotlib.figure import Figure

State = PyTree
Batch = dict[str, Array]


@runtime_checkable
class Task(Protocol):
    """An objective: a frozen dataclass whose methods are pure functions.

    One optimiser or two, an average of the weights or none, is the task's own business: the engine
    sees a pytree. A batch is a dict of arrays, with "mask" (1 for an example, 0 for padding) and
    "row" (the example's number in the global batch, to key its random draws).

    A task may also have:

    - `test_step(state, batch, key) -> Metrics`: the thorough measurement, made once at the end and
      by `jdl evaluate`; without it, `eval_step` serves.
    - `figures(state, batch, key) -> dict[str, Figure]`: what a person would look at.
    - `progress(state, batch, key) -> dict[str, Figure]`: what it draws at each validation, with
      the same batch and key each time.
    - `texts(state, key) -> dict[str, str]`: what a person would read.
    - `conclude(lines) -> (texts, figures)`: what it says and draws, in place of the curves, when
      all that the run has measured lies in metrics.jsonl.
    - `predict(state, images) -> list[dict[str, float]]`: names and scores, for `jdl predict`.
    - `sample(state, key, num_samples) -> images or texts`, for `jdl sample`.
    """

    def init(self, key: Key[Array, ""], batch: Batch) -> State:
        """Returns the state before the first step; the batch gives shapes."""
        ...

    def train_step(self, state: State, batch: Batch, key: Key[Array, ""]) -> tuple[State, Metrics]:
        """Returns the next state, and the metrics of this batch before the update."""
        ...

    def eval_step(self, state: State, batch: Batch, key: Key[Array, ""]) -> Metrics:
        """Returns the metrics of a batch, padded rows left out."""
        ...


def figures(task: Task, state: State, batch: Batch, key: Key[Array, ""]) -> "dict[str, Figure]":
    """Returns what the task shows a person, or nothing when it has no figures."""
    draw: Any = getattr(task, "figures", None)
    return draw(state, batch, key) if draw else {}
