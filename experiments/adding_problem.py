"""TODO"""

import dataclasses
from typing import Literal

import optax

from jdl import create_model
from jdl.data import InMemoryLoader
from jdl.data.adding import adding_problem
from jdl.launch import run
from jdl.tasks.regression import Regression
from jdl.train import Experiment


@dataclasses.dataclass(frozen=True)
class Config:
    """Every field is a flag with this name."""

    model: Literal["tcn", "lstm"] = "tcn"
    length: int = 200
    num_examples: int = 20_000
    steps: int = 2000
    batch_size: int = 32
    learning_rate: float = 4e-3
    num_blocks: int = 6
    features: int = 27
    kernel_size: int = 6
    hidden_size: int = 128
    seed: int = 0


def build(config: Config) -> Experiment:
    """Wires the adding problem, a network, and Adam with clipped gradients."""
    models = {
        "tcn": lambda: create_model(
            "tcn", features=(config.features,) * config.num_blocks, kernel_size=config.kernel_size
        ),
        "lstm": lambda: create_model("signal_lstm", hidden_size=config.hidden_size),
    }
    train, validation, test = (
        adding_problem(count, config.length, seed)
        for seed, count in enumerate((config.num_examples, 500, 1000), start=3 * config.seed)
    )
    return Experiment(
        task=Regression(
            model=models[config.model](),
            optimizer=optax.chain(optax.clip_by_global_norm(1.0), optax.adam(config.learning_rate)),
        ),
        train=InMemoryLoader(train, config.batch_size, seed=config.seed),
        validation=InMemoryLoader(validation, 100),
        test=InMemoryLoader(test, 100),
        num_steps=config.steps,
        evaluate_every=200,
        seed=config.seed,
        monitor="loss",
    )


sweep = [Config(), Config(model="lstm")]

if __name__ == "__main__":
    run(__file__)
