"""What should be looked at before a long training: the data, the first loss, the gradients."""

import dataclasses
import math
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from itertools import islice
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import PyTree

from jdl.data.loaders import Loader
from jdl.optim.transfer import layer_names
from jdl.tasks.classification import cross_entropy
from jdl.train.experiment import Experiment
from jdl.train.metrics import compute, scalar
from jdl.train.parallel import Steps

Status = Literal["ok", "look", "fail", "skip"]
Batch = dict[str, np.ndarray]

LIMIT = 20_000  # examples of a split that are looked at
FEW = 20
UPDATES, SECONDS = 600, 120.0  # to fit a few examples in


class Finding(NamedTuple):
    """One line of the report."""

    status: Status
    what: str
    said: str


def check_experiment(experiment: Experiment) -> Iterator[Finding]:
    """Checks an experiment's data, and its task by a few updates.

    Args:
        experiment: what `build` returned.

    Yields:
        What each check found: "ok"; "look", where a person should; "fail"; or "skip", with why.

    Example:
        >>> findings = list(check_experiment(module.build(module.Config())))  # doctest: +SKIP
    """
    named = {
        "train": experiment.train,
        "validation": experiment.validation,
        "test": experiment.test,
    }
    splits = {name: _examples(loader) for name, loader in named.items() if loader is not None}
    yield check_values(splits)
    yield check_duplicates(splits)
    num_classes = getattr(experiment.task, "num_classes", None)
    if num_classes is not None and "label" in splits["train"]:
        yield from check_labels(
            {name: split["label"] for name, split in splits.items()}, num_classes
        )
    else:
        yield Finding("skip", "labels", "the task has no classes")
    yield from _check_task(experiment)


def _examples(loader: Loader) -> dict[str, np.ndarray]:
    """The examples of a split, or the first of them."""
    columns: dict[str, list[np.ndarray]] = {}
    for batch in islice(loader.eval_batches(), max(1, LIMIT // loader.batch_size)):
        real = np.asarray(batch["mask"]) > 0
        for name, array in batch.items():
            if name not in ("mask", "row"):
                columns.setdefault(name, []).append(np.asarray(array)[real])
    return {name: _joined(parts) for name, parts in columns.items()}


def _joined(parts: list[np.ndarray]) -> np.ndarray:
    """One array, of objects where batches have examples of other shapes."""
    if len({part.shape[1:] for part in parts}) == 1:
        return np.concatenate(parts)
    rows = [row for part in parts for row in part]
    ragged = np.empty(len(rows), object)
    ragged[:] = rows
    return ragged


def check_values(splits: Mapping[str, Mapping[str, np.ndarray]]) -> Finding:
    """Looks for NaN and infinity, and for images that are neither 8 bits nor from 0 to 1.

    Args:
        splits: arrays by name, by split.

    Example:
        >>> check_values({"train": {"image": np.array([[0.0, np.nan]])}}).said
        'train image holds 1 number that is not finite'
    """
    wrong, ranges, odd = [], [], []
    for split, arrays in splits.items():
        for name, array in arrays.items():
            flat = (
                np.concatenate([row.ravel() for row in array]) if array.dtype == object else array
            )
            if flat.dtype.kind not in "fiub":
                continue
            finite = np.isfinite(flat.astype(np.float64))
            bad = int((~finite).sum())
            if bad:
                s = "numbers that are" if bad > 1 else "number that is"
                wrong.append(f"{split} {name} holds {bad} {s} not finite")
                continue
            low, high = flat.min(), flat.max()
            if split == "train":
                ranges.append(f"{name} {flat.dtype} from {low:.3g} to {high:.3g}")
            if name == "image" and flat.dtype.kind == "f" and (low < 0 or high > 1):
                odd.append(f"{split} image from {low:.3g} to {high:.3g}, not within 0 to 1")
    if wrong:
        return Finding("fail", "values", "; ".join(wrong))
    return Finding("look" if odd else "ok", "values", "; ".join(odd or ranges))


def check_duplicates(splits: Mapping[str, Mapping[str, np.ndarray]]) -> Finding:
    """Looks for examples that are in two splits, without their labels.

    Args:
        splits: arrays by name, by split.

    Returns:
        "look" where there are any; "fail" where they are more than a hundredth of a split.

    Example:
        >>> split = {"image": np.zeros((3, 2, 2, 1)), "label": np.zeros(3)}
        >>> check_duplicates({"train": split, "test": split}).said
        '3 of 3 test examples are in train too'
    """

    def digests(arrays: Mapping[str, np.ndarray]) -> list[int]:
        inputs = [array for name, array in arrays.items() if name != "label"] or [arrays["label"]]
        return [hash(tuple(np.asarray(part).tobytes() for part in row)) for row in zip(*inputs)]

    seen: dict[str, set[int]] = {}
    found, share = [], 0.0
    for split, arrays in splits.items():
        own = digests(arrays)
        for other, known in seen.items():
            shared = sum(digest in known for digest in own)
            if shared:
                found.append(f"{shared} of {len(own)} {split} examples are in {other} too")
                share = max(share, shared / len(own))
        seen[split] = set(own)
    if found:
        return Finding("fail" if share > 0.01 else "look", "duplicates", "; ".join(found))
    counts = ", ".join(f"{len(next(iter(a.values())))} {split}" for split, a in splits.items())
    return Finding("ok", "duplicates", f"none between splits ({counts})")


def check_labels(labels: Mapping[str, np.ndarray], num_classes: int) -> Iterator[Finding]:
    """Looks for labels out of range, for classes that training lacks, and for rare ones.

    Args:
        labels: integers, by split.
        num_classes: K; labels are from 0 to K − 1.

    Example:
        >>> [f.status for f in check_labels({"train": np.array([0, 0, 0, 1])}, 2)]
        ['ok', 'ok']
        >>> [f.said for f in check_labels({"train": np.array([0, 2])}, 2)]
        ['train holds label 2, and there are 2 classes']
    """
    for split, array in labels.items():
        wrong = array[(array < 0) | (array >= num_classes)]
        if wrong.size:
            said = f"{split} holds label {wrong.flat[0]}, and there are {num_classes} classes"
            yield Finding("fail", "labels", said)
            return
    yield Finding("ok", "labels", f"from 0 to {num_classes - 1}")
    counts = np.bincount(labels["train"].ravel(), minlength=num_classes)
    least, most = counts.argmin(), counts.argmax()
    said = f"class {least} has {counts[least]} examples to train on, class {most} {counts[most]}"
    if counts[least] == counts[most]:
        said = f"{counts[most]} examples of each class to train on"
    if counts[least] == 0:
        yield Finding("fail", "balance", said)
    else:
        yield Finding("look" if counts[most] > 10 * counts[least] else "ok", "balance", said)


def _check_task(experiment: Experiment) -> Iterator[Finding]:
    task, train = experiment.task, experiment.train
    batches = list(islice(train.train_batches(), min(50, max(3, train.steps_per_epoch))))
    steps = Steps(task, experiment.seed)
    state = jax.jit(steps.init)(batches[0])
    yield _check_first_loss(task, jax.jit(steps.evaluate)(state, batches[0], np.uint32(0)))
    yield _check_compilations(steps, state, batches)
    if not isinstance(getattr(task, "optimizer", None), optax.GradientTransformation):
        yield Finding("skip", "gradients", f"{type(task).__name__} has not one optimizer")
        yield Finding("skip", f"{FEW} examples", f"{type(task).__name__} has not one optimizer")
        return
    yield _check_gradients(experiment, batches[0])
    yield _check_few(experiment, batches)


def _check_first_loss(task: Any, metrics: Any) -> Finding:
    values = compute(jax.device_get(metrics))
    name = "loss" if "loss" in values else next(iter(values))
    loss, what = scalar(values[name]), f"first {name}"
    if not math.isfinite(loss):
        return Finding("fail", what, f"{loss}, before any update")
    if getattr(task, "loss", None) is not cross_entropy:
        return Finding("ok", what, f"{loss:.4g}, before any update")
    chance = math.log(task.num_classes)
    near = abs(loss - chance) < 0.25 * chance
    said = f"{loss:.3f}, and log {task.num_classes} = {chance:.3f} is that of guessing"
    return Finding("ok" if near else "look", what, said)


def _check_compilations(steps: Steps, state: PyTree, batches: list[Batch]) -> Finding:
    """Trains a few steps, and counts the programs that it took."""
    train: Any = jax.jit(steps.train)
    for number, batch in enumerate(batches[:3]):
        state, _ = train(state, batch, np.uint32(number))
    shapes = Counter(str(jax.tree.map(np.shape, batch)) for batch in batches)
    first = len({str(jax.tree.map(np.shape, batch)) for batch in batches[:3]})
    programs = train._cache_size() + len(shapes) - first
    said = f"{programs} for the first {len(batches)} batches, of {len(shapes)} shapes"
    if train._cache_size() > first:
        return Finding("fail", "compilations", f"{said}: the state changes its shapes or types")
    return Finding("ok" if programs <= 8 else "look", "compilations", said)


def _check_gradients(experiment: Experiment, batch: Batch) -> Finding:
    """Looks for layers that the loss does not reach: an optimiser keeps what it is given."""

    def keep(gradients: PyTree, state: PyTree, params: PyTree | None = None):
        return jax.tree.map(jnp.zeros_like, gradients), gradients

    optimizer = optax.GradientTransformation(
        lambda params: jax.tree.map(jnp.zeros_like, params), keep
    )
    steps = Steps(_replaced(experiment.task, optimizer=optimizer), experiment.seed)

    def norms(batch: Any) -> list[jax.Array]:
        state, _ = steps.train(steps.init(batch), batch, jnp.uint32(0))
        return [jnp.sqrt(jnp.square(g).mean()) for g in jax.tree.leaves(state.optimizer_state)]

    kept = jax.eval_shape(lambda batch: steps.init(batch).optimizer_state, batch)
    found = dict(zip(layer_names(kept), map(float, jax.jit(norms)(batch))))
    dead = [name for name, norm in found.items() if not 0 < norm < math.inf]
    if dead:
        more = f" and {len(dead) - 4} more" if len(dead) > 4 else ""
        said = f"zero or not finite in {', '.join(dead[:4])}{more}, of {len(found)} parameters"
        return Finding("fail", "gradients", said)
    least, most = min(found, key=found.__getitem__), max(found, key=found.__getitem__)
    said = (
        f"alive; root mean squares from {found[least]:.1e} ({least}) to {found[most]:.1e} ({most})"
    )
    return Finding("look" if found[least] < 1e-6 * found[most] else "ok", "gradients", said)


def _check_few(experiment: Experiment, batches: list[Batch]) -> Finding:
    """Fits a few examples by Adam, without what makes that harder on purpose."""
    shapes = {str({n: a.shape[1:] for n, a in batch.items()}) for batch in batches}
    if len(shapes) > 1:
        batches = batches[:1]
    rows = {name: np.concatenate([b[name] for b in batches])[:FEW] for name in batches[0]}
    count = len(rows["row"])
    rows |= {"row": np.arange(count, dtype=np.int32), "mask": np.ones(count, np.float32)}
    easier = {"augment": None, "mix": None, "label_smoothing": 0.0, "microbatches": 1, "ema": None}
    task = _replaced(experiment.task, optimizer=optax.adam(1e-3), **easier)
    steps = Steps(task, experiment.seed)
    state = jax.jit(steps.init)(rows)
    train, evaluate = jax.jit(steps.train, donate_argnums=0), jax.jit(steps.evaluate)
    first = loss = _loss(evaluate(state, rows, np.uint32(0)))
    started, done = time.monotonic(), 0
    while done < UPDATES and time.monotonic() - started < SECONDS and not loss < 0.01:
        for _ in range(25):
            state, metrics = train(state, rows, np.uint32(done))
            done += 1
            if done == 1:
                jax.block_until_ready(metrics)
            if time.monotonic() - started > SECONDS:
                break
        loss = _loss(evaluate(state, rows, np.uint32(0)))
    said = f"loss from {first:.4g} to {loss:.2g} in {done} updates of Adam"
    if loss < max(0.01, 0.01 * first):
        return Finding("ok", f"{count} examples", said)
    # Not every loss can be zero, but every loss can be learned.
    return Finding("look" if loss < 0.7 * first else "fail", f"{count} examples", said)


def _replaced(task: Any, **values: Any) -> Any:
    """Replaces those fields of a task that it has."""
    names = {field.name for field in dataclasses.fields(task)}
    return dataclasses.replace(task, **{k: v for k, v in values.items() if k in names})


def _loss(metrics: Any) -> float:
    values = compute(jax.device_get(metrics))
    # Of several tasks, the first's.
    return scalar(values["loss"] if "loss" in values else next(iter(values.values())))
