"""Generative against discriminative: Bayes' rule on Gaussians beside softmax regression.

Paper: Ng and Jordan, 2001, "On Discriminative vs. Generative Classifiers",
https://proceedings.neurips.cc/paper/2001/hash/7b7a53e239400a13bd6be6c91c4f6c4e-Abstract.html.
Both kinds learn from the same digits, at half their resolution, a few of each class or all of them.
The class-conditional Gaussians have full, shared or diagonal covariances, and are shrunk by what is
best on the validation split for each size.

    jdl train bayes_mnist

Seed 0, two cores of an AMD EPYC (AVX2), which other programs kept busy: 1 min 34 s from launch to
the last figure. Result, accuracy on the 1,000 test digits after so many training digits:

    training digits         20     50    100    200    500  1,000  2,000  3,500
    softmax regression    60.0%  72.9%  77.0%  81.7%  84.4%  87.4%  89.8%  90.1%
    full covariances      55.1%  75.2%  82.1%  88.0%  92.1%  93.5%  94.6%  94.6%
    one shared            60.0%  72.3%  76.7%  80.2%  83.3%  84.8%  86.7%  86.1%
    diagonal              54.4%  70.5%  73.7%  75.4%  77.6%  78.8%  80.0%  79.8%

With a shared covariance both kinds draw planes: a few digits teach them the same, many teach the
discriminative one more, as the paper has it. Full covariances draw curves, and win from 50 on.
"""

import dataclasses
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax

from jdl.data import InMemoryLoader, load, validate_labels
from jdl.launch import run
from jdl.ops.bayes import Covariance, fit_classes, log_posterior
from jdl.tasks.learning_curve import LearningCurve
from jdl.train import Experiment

COVARIANCES: tuple[Covariance, ...] = ("full", "shared", "diagonal")


@dataclasses.dataclass(frozen=True)
class Config:
    """Every field is a flag with this name."""

    dataset: str = "mnist5k"
    sizes: tuple[int, ...] = (2, 5, 10, 20, 50, 100, 200)
    """Training examples of each class; all of them come last."""
    shrinkages: tuple[float, ...] = (0.01, 0.03, 0.1, 0.3, 0.6, 0.9)
    prior_deviation: float = 3.0
    steps: int = 400
    learning_rate: float = 0.02
    seed: int = 0


def build(config: Config) -> Experiment:
    """Wires small digits, regressions for every size, and the generative classifiers."""
    splits = {
        name: halved(load(config.dataset, name).arrays())
        for name in ("train", "validation", "test")
    }
    for split in splits.values():
        validate_labels(split["label"], 10)
    sizes = (*config.sizes, int(np.bincount(splits["train"]["label"]).min()))
    everything = splits["train"]["rank"] < sizes[-1]
    splits["train"] = {name: array[everything] for name, array in splits["train"].items()}
    loaders = {name: InMemoryLoader(split, len(split["label"])) for name, split in splits.items()}
    schedule = optax.cosine_decay_schedule(config.learning_rate, config.steps)
    return Experiment(
        task=LearningCurve(
            optimizer=optax.adam(schedule),
            sizes=sizes,
            num_classes=10,
            prior_deviation=config.prior_deviation,
            others={
                f"{kind}_covariance": generative(splits, sizes, kind, config.shrinkages)
                for kind in COVARIANCES
            },
        ),
        **loaders,
        num_steps=config.steps,
        evaluate_every=max(1, config.steps // 4),
        seed=config.seed,
    )


def halved(arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Averages pixels two by two, and numbers the examples of each class."""
    images, labels = arrays["image"] / np.float32(255), arrays["label"]
    count, height, width, _ = images.shape
    small = images.reshape(count, height // 2, 2, width // 2, 2, 1).mean((2, 4))
    rank = np.zeros(count, np.int32)
    for label in np.unique(labels):
        rank[labels == label] = np.arange((labels == label).sum())
    return {"image": small, "label": labels, "rank": rank}


def generative(splits, sizes, covariance, shrinkages) -> np.ndarray:
    """Measures Bayes' rule on Gaussians: accuracy on the test split, one number a size."""

    @partial(jax.jit, static_argnames="covariance")
    def accuracies(size, shrinkage, covariance):
        train, *others = (
            (split["image"].reshape(len(split["image"]), -1), split["label"], split["rank"])
            for split in (splits["train"], splits["validation"], splits["test"])
        )
        images, labels, rank = map(jnp.asarray, train)
        seen = (rank < size).astype(jnp.float32)
        classes = fit_classes(images, labels, 10, covariance, shrinkage, seen)
        return jnp.stack(
            [(log_posterior(*classes, jnp.asarray(x)).argmax(1) == y).mean() for x, y, _ in others]
        )

    found = np.array(
        [[accuracies(jnp.int32(n), jnp.float32(a), covariance) for a in shrinkages] for n in sizes]
    )
    best = found[..., 0].argmax(1)
    return found[np.arange(len(sizes)), best, 1]


if __name__ == "__main__":
    run(__file__)
