"""An MLP on 500 labels: fine-tuned after layer-wise pretraining, or trained from scratch.

Papers: Bengio et al., 2007, https://papers.nips.cc/paper/3048, and Erhan et al., 2010,
https://jmlr.org/papers/v11/erhan10a.html. Both are the network of `pretraining_mnist` and see the
same 500 labels; from scratch it gets as many updates as pretraining and fine-tuning together.

    jdl train finetuning_mnist
    jdl train finetuning_mnist --from-scratch
    jdl train finetuning_mnist --optimizer adamw --learning-rate 0.001
    jdl train finetuning_mnist --sweep

Seed 0, two cores of an AMD EPYC (AVX2), which other programs kept busy: 10 s from launch to the
last figure, the layers pretrained already. Result: with plain gradient descent, as then, 84.5 % of
the 1,000 test digits after pretraining and 79.8 % from scratch (seed 1: 84.8 % and 80.0 %), where
for four hundred updates nothing happens. AdamW has taken that advantage away: 85.9 % and 85.6 %;
and ReLUs in place of sigmoids (`pretraining_mnist --activation relu`) are better from scratch,
88.9 %, than pretrained, 88.1 %. One percent is ten digits.
"""

import dataclasses
from typing import Literal

import optax
from pretraining_mnist import pretrained_layers

from jdl import create_model
from jdl.data import InMemoryLoader, load, validate_labels
from jdl.launch import run
from jdl.tasks.classification import Classification
from jdl.train import Experiment


@dataclasses.dataclass(frozen=True)
class Config:
    """Every field is a flag with this name."""

    dataset: str = "mnist5k"
    pretrained: str = "pretraining_mnist"
    """The run whose layers are taken."""
    from_scratch: bool = False
    """Draw the weights anew, and train for as long as both together."""
    labels: int = 500
    steps: int = 600
    batch_size: int = 64
    optimizer: Literal["sgd", "adamw"] = "sgd"
    learning_rate: float = 0.3
    weight_decay: float = 1e-2
    """Of AdamW."""
    dropout: float = 0.0
    seed: int = 0


sweep = [
    Config(optimizer=optimizer, learning_rate=rate, from_scratch=scratch)
    for optimizer, rate in (("sgd", 0.3), ("adamw", 1e-3))
    for scratch in (False, True)
]


def build(config: Config) -> Experiment:
    """Wires a few digits with labels, an MLP that has seen many without, and AdamW."""
    layers, options, spent = pretrained_layers(config.pretrained)
    splits = {name: load(config.dataset, name).arrays() for name in ("train", "validation", "test")}
    for arrays in splits.values():
        validate_labels(arrays["label"], 10)
    # Classes are interleaved, so that the first images are as many of each.
    few = {name: array[: config.labels] for name, array in splits["train"].items()}
    num_steps = config.steps + (spent if config.from_scratch else 0)
    schedule = optax.cosine_decay_schedule(config.learning_rate, num_steps)
    if config.optimizer == "sgd":
        optimizer = optax.sgd(schedule)
    else:
        optimizer = optax.adamw(schedule, weight_decay=config.weight_decay)
    return Experiment(
        task=Classification(
            model=create_model("mlp", dropout=config.dropout, **options),
            optimizer=optimizer,
            num_classes=10,
            pretrained={} if config.from_scratch else layers,
        ),
        train=InMemoryLoader(few, config.batch_size, seed=config.seed),
        validation=InMemoryLoader(splits["validation"], 500),
        test=InMemoryLoader(splits["test"], 1000),
        num_steps=num_steps,
        evaluate_every=50,
        seed=config.seed,
        monitor="accuracy",
        mode="max",
    )


if __name__ == "__main__":
    run(__file__)
