"""TODO"""

import dataclasses
from collections.abc import Mapping
from typing import Literal

import numpy as np
import optax
from numpy.lib.stride_tricks import sliding_window_view

from jdl import create_model
from jdl.data import InMemoryLoader, load
from jdl.launch import run
from jdl.optim.schedules import warmup_cosine
from jdl.tasks.forecasting import Days, Forecasting
from jdl.train import Experiment


@dataclasses.dataclass(frozen=True)
class Config:
    """Every field is a flag with this name."""

    model: Literal["tcn", "lstm"] = "tcn"
    dataset: str = "stocks"
    window: int = 64
    num_blocks: int = 4
    features: int = 16
    kernel_size: int = 3
    hidden_size: int = 32
    dropout: float = 0.2
    epochs: int = 8
    batch_size: int = 64
    learning_rate: float = 1e-3
    weight_decay: float = 0.1
    seed: int = 0


def build(config: Config) -> Experiment:
    """Wires windows of days, a network that reads them, and AdamW with a warm-up and a cosine."""
    tables = {name: load(config.dataset, name) for name in ("train", "validation", "test")}
    names = tables["train"].features["ticker"].names
    days = scaled(
        {name: windows(table.arrays(), names, config.window) for name, table in tables.items()}
    )
    mean, deviation = days["train"].change.mean(), days["train"].change.std()
    loaders = {
        name: InMemoryLoader(
            {
                "inputs": split.inputs,
                "target": ((split.change - mean) / deviation).astype(np.float32)[:, None, None],
            },
            config.batch_size if name == "train" else 128,
            seed=config.seed,
        )
        for name, split in days.items()
    }
    train = loaders["train"]
    num_steps = config.epochs * train.steps_per_epoch
    schedule = warmup_cosine(config.learning_rate, num_steps // 10, num_steps)
    models = {
        "tcn": lambda: create_model(
            "tcn",
            features=(config.features,) * config.num_blocks,
            kernel_size=config.kernel_size,
            dropout=config.dropout,
        ),
        "lstm": lambda: create_model(
            "signal_lstm", hidden_size=config.hidden_size, dropout=config.dropout
        ),
    }
    return Experiment(
        task=Forecasting(
            model=models[config.model](),
            optimizer=optax.chain(
                optax.clip_by_global_norm(1.0),
                optax.adamw(schedule, weight_decay=config.weight_decay),
            ),
            test=days["test"],
            mean=float(mean),
            deviation=float(deviation),
        ),
        train=train,
        validation=loaders["validation"],
        test=loaders["test"],
        num_steps=num_steps,
        evaluate_every=train.steps_per_epoch,
        seed=config.seed,
        monitor="loss",
    )


def windows(table: Mapping[str, np.ndarray], names: list[str], length: int) -> Days:
    """Cuts each company's days into all windows that have a day after them.

    Args:
        table: days of one split, as `stocks` has them.
        names: of the companies.
        length: days of a window.

    Returns:
        Inputs [windows, length, 3] are the log-return of each day, the log-ratio of its highest to
        its lowest price, and the change of the logarithm of its volume.
    """
    parts = []
    for ticker, name in enumerate(names):
        day = {key: column[table["ticker"] == ticker] for key, column in table.items()}
        count = len(day["adj_close"]) - length - 1
        if count < 1:
            continue
        returns = np.diff(np.log(day["adj_close"]))
        ranges = np.log(day["high"] / day["low"])[1:]
        volumes = np.diff(np.log(day["volume"]))
        channels = np.stack([returns, ranges, volumes], axis=-1)
        parts.append(
            (
                sliding_window_view(channels, length, axis=0)[:count].swapaxes(1, 2),
                returns[length:],
                day["adj_close"][length:-1],
                np.full(count, name, object),
            )
        )
    return Days(*map(np.concatenate, zip(*parts)))


def scaled(splits: Mapping[str, Days]) -> dict[str, Days]:
    """Brings the inputs of all splits to the training days' mean of 0 and deviation of 1."""
    seen = splits["train"].inputs
    mean, deviation = (f(seen, axis=(0, 1)) for f in (np.mean, np.std))
    return {
        name: dataclasses.replace(
            days, inputs=((days.inputs - mean) / deviation).astype(np.float32)
        )
        for name, days in splits.items()
    }


sweep = [Config(), Config(model="lstm")]

if __name__ == "__main__":
    run(__file__)
