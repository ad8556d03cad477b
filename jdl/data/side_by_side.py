"""One batch for several trainings that go on side by side."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from jdl.data.dataset import load
from jdl.data.loaders import Batch, InMemoryLoader, Loader, StepIterator, validate_labels
from jdl.errors import UserError


class SideBySideLoader:
    """The batches of several loaders in one, for `jdl.tasks.comparison`.

    Row s, s + S, s + 2S, … of a batch come from loader s of S: so a device that holds some rows
    holds some of each. Where loaders are named, their arrays are too: "shuffled/image".

    Args:
        loaders: one for each seed; or as many for each name, for trainings that differ in data.

    Raises:
        UserError: loaders of different batch sizes, or names with different numbers of loaders.

    Example:
        >>> some, others = (
        ...     InMemoryLoader({"x": np.arange(3) + i}, batch_size=2, shuffle=False) for i in (0, 7)
        ... )
        >>> loader = SideBySideLoader([some, others])
        >>> batch = next(loader.train_batches())
        >>> batch["x"].tolist(), batch["row"].tolist()
        ([0, 7, 1, 8], [0, 0, 1, 1])
        >>> sorted(next(SideBySideLoader({"a": [some], "b": [others]}).train_batches()))[:3]
        ['a/mask', 'a/row', 'a/x']
    """

    def __init__(self, loaders: Sequence[InMemoryLoader] | Mapping[str, Sequence[InMemoryLoader]]):
        named = loaders if isinstance(loaders, Mapping) else {"": loaders}
        self.loaders = {f"{name}/" if name else "": list(own) for name, own in named.items()}
        sizes = {len(own) * loader.batch_size for own in self.loaders.values() for loader in own}
        if len(sizes) != 1:
            raise UserError(
                f"trainings side by side see batches of the same size, not {sorted(sizes)}"
            )
        (self.batch_size,) = sizes
        first = next(iter(self.loaders.values()))[0]
        self.num_examples = sum(one.num_examples for own in self.loaders.values() for one in own)
        self.steps_per_epoch = first.steps_per_epoch

    def batch(self, step: int, rows: slice = slice(None)) -> Batch:
        """Returns the given rows of the training batch of a step."""
        joined: dict[str, Any] = {}
        for prefix, loaders in self.loaders.items():
            parts = [loader.batch(step) for loader in loaders]
            for name in parts[0]:
                array = np.stack([part[name] for part in parts], axis=1)
                joined[prefix + name] = array.reshape(-1, *array.shape[2:])[rows]
        return joined

    def train_batches(self, start_step: int = 0, rows: slice = slice(None)) -> StepIterator:
        """Returns the endless training batches from a step on."""
        return StepIterator(lambda step: self.batch(step, rows), start_step)

    def eval_batches(self, rows: slice = slice(None)) -> Iterator[Batch]:
        """Refuses: all are measured on the same examples, which need no such loader."""
        raise UserError(
            "trainings side by side are measured on the same examples: on a plain loader"
        )


def repeated(
    dataset: str, seeds: int, batch_size: int, labels: int | None = None, num_classes: int = 10
) -> dict[str, Loader]:
    """Opens a dataset of images with labels for trainings from several seeds.

    Args:
        dataset: with the splits train, validation and test.
        seeds: how many; each has an order of the examples of its own.
        batch_size: of each.
        labels: examples that each learns from, no two the same; all learn from all when None.
        num_classes: that labels are to name.

    Returns:
        The loaders of an experiment, by name; validation and test are one batch each.

    Raises:
        UserError: there are not so many examples, or a label is out of range.

    Example:
        >>> loaders = repeated("digits8x8", seeds=3, batch_size=10, labels=100)
        >>> loaders["train"].batch_size, loaders["train"].num_examples
        (30, 300)
    """
    splits = {name: load(dataset, name).arrays() for name in ("train", "validation", "test")}
    for arrays in splits.values():
        validate_labels(arrays["label"], num_classes)
    train = splits.pop("train")
    count = len(train["label"])
    if labels is not None and labels * seeds > count:
        raise UserError(f"{dataset} has {count} examples, not {labels} for each of {seeds} seeds")

    def own(seed: int) -> InMemoryLoader:
        mine = slice(seed * labels, (seed + 1) * labels) if labels else slice(None)
        return InMemoryLoader({k: v[mine] for k, v in train.items()}, batch_size, seed=seed)

    return {"train": SideBySideLoader([own(seed) for seed in range(seeds)])} | {
        name: InMemoryLoader(arrays, len(arrays["label"])) for name, arrays in splits.items()
    }
