"""Several trained classifiers as one: their probabilities are averaged."""

from collections.abc import Mapping
from typing import Any

import jax.numpy as jnp
import numpy as np

from jdl.data.loaders import Loader
from jdl.errors import UserError
from jdl.tasks.classification import Classification, to_float
from jdl.train.state import TrainState


def check_members(tasks: Mapping[str, Any]) -> None:
    """Refuses tasks whose probabilities cannot be averaged.

    Args:
        tasks: of the runs, by name.

    Raises:
        UserError: one is no classification, or has other classes than the first.

    Example:
        >>> import flax.linen as nn, optax
        >>> few, many = (Classification(nn.Dense(k), optax.sgd(0.1), k) for k in (2, 10))
        >>> check_members({"few": few, "many": many})
        Traceback (most recent call last):
        ...
        jdl.errors.UserError: few has 2 classes and many 10: they cannot be averaged
    """
    (first_name, first), *others = tasks.items()
    for name, task in tasks.items():
        if not isinstance(task, Classification):
            raise UserError(f"{name} is no classifier; {type(task).__name__} is its task")
    for name, task in others:
        if task.num_classes != first.num_classes:
            raise UserError(
                f"{first_name} has {first.num_classes} classes and {name} {task.num_classes}: "
                "they cannot be averaged"
            )
        if list(task.class_names) != list(first.class_names):
            raise UserError(f"the classes of {first_name} and {name} have other names")


def check_same_examples(loaders: Mapping[str, Loader | None], split: str) -> None:
    """Refuses runs that are measured on other examples than the first.

    Args:
        loaders: of the split, by run.
        split: its name.

    Raises:
        UserError: a run lacks the split, or has other images or labels in it.

    Example:
        >>> from jdl.data import InMemoryLoader
        >>> one, other = (
        ...     InMemoryLoader({"image": np.full((2, 3, 3, 1), i), "label": np.arange(2)}, 2)
        ...     for i in (0, 1)
        ... )
        >>> check_same_examples({"one": one, "other": other}, "test")
        Traceback (most recent call last):
        ...
        jdl.errors.UserError: the test split of other is not that of one
    """

    def digest(loader: Loader) -> int:
        examples = [
            (np.asarray(batch["image"])[row].tobytes(), int(batch["label"][row]))
            for batch in loader.eval_batches()
            for row in np.flatnonzero(batch["mask"])
        ]
        return hash(tuple(examples))

    seen: dict[str, int] = {}
    for name, loader in loaders.items():
        if loader is None:
            raise UserError(f"{name} has no {split} split")
        seen[name] = digest(loader)
        first = next(iter(seen))
        if seen[name] != seen[first]:
            raise UserError(f"the {split} split of {name} is not that of {first}")


def measure_ensemble(
    members: Mapping[str, tuple[Classification, TrainState]], loader: Loader
) -> dict[str, dict[str, float]]:
    """Measures classifiers one by one, and the mean of their probabilities.

        p(k | x) = 1/M Σₘ pₘ(k | x)                                                 (1)

    Args:
        members: task and state of each run, by name; at least one.
        loader: examples with "image" and "label".

    Returns:
        "loss" (cross-entropy in nats) and "accuracy" of each member by its name, and of
        "ensemble".

    Raises:
        UserError: as of `check_members`.

    Source: Hansen and Salamon, 1990, https://doi.org/10.1109/34.58871; Krizhevsky et al., 2012,
    section 6.
    """
    check_members({name: task for name, (task, _) in members.items()})
    totals = {name: np.zeros(3) for name in (*members, "ensemble")}
    for batch in loader.eval_batches():
        images = to_float(jnp.asarray(batch["image"]))
        each = {
            name: np.asarray(task.probabilities(state, images), np.float64)
            for name, (task, state) in members.items()
        }
        each["ensemble"] = np.mean(list(each.values()), axis=0)
        label, mask = batch["label"], batch["mask"]
        for name, probabilities in each.items():
            right = probabilities.argmax(-1) == label
            true = probabilities[np.arange(len(label)), label]
            loss = -np.log(np.maximum(true, np.finfo(np.float32).tiny))
            totals[name] += [(loss * mask).sum(), (right * mask).sum(), mask.sum()]
    return {
        name: {"loss": float(loss / count), "accuracy": float(right / count)}
        for name, (loss, right, count) in totals.items()
    }
