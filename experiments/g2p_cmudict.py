"""Grapheme to phoneme on CMUdict."""

import dataclasses
from typing import Literal

import optax

from jdl import create_model
from jdl.data import load
from jdl.data.pronunciation import LETTERS, PHONEMES, pronunciation_loader
from jdl.launch import run
from jdl.optim.schedules import warmup_cosine
from jdl.tasks.transduction import Transduction
from jdl.train import Experiment


@dataclasses.dataclass(frozen=True)
class Config:
    """Every field is a flag with this name."""

    model: Literal["seq2seq"] = "seq2seq"
    attention: bool = True
    bidirectional: bool = True
    reverse_source: bool = False
    embedding_size: int = 128
    hidden_size: int = 256
    num_layers: int = 1
    epochs: int = 12
    batch_size: int = 128
    learning_rate: float = 2e-3
    weight_decay: float = 0.01
    dropout: float = 0.3
    label_smoothing: float = 0.1
    ema: float = 0.999
    width: int = 5
    seed: int = 0


def build(config: Config) -> Experiment:
    """Wires."""
    splits = {name: load("cmudict", name).arrays() for name in ("train", "validation", "test")}
    loaders = {
        name: pronunciation_loader(
            s["word"],
            s["pronunciations"],
            config.batch_size if name == "train" else 256,
            every=name == "train",
            seed=config.seed,
        )
        for name, s in splits.items()
    }
    train = loaders["train"]
    num_steps = config.epochs * train.steps_per_epoch
    schedule = warmup_cosine(config.learning_rate, min(500, num_steps // 10), num_steps)
    return Experiment(
        task=Transduction(
            model=create_model(
                "seq2seq",
                source_vocabulary=LETTERS.size,
                target_vocabulary=PHONEMES.size,
                embedding_size=config.embedding_size,
                hidden_size=config.hidden_size,
                num_layers=config.num_layers,
                bidirectional=config.bidirectional,
                reverse_source=config.reverse_source,
                attention=config.attention,
                dropout=config.dropout,
            ),
            optimizer=optax.chain(
                optax.clip_by_global_norm(1.0),
                optax.adamw(schedule, weight_decay=config.weight_decay),
            ),
            source=LETTERS,
            target=PHONEMES,
            max_length=30,
            label_smoothing=config.label_smoothing,
            ema=config.ema,
            width=config.width,
        ),
        train=train,
        validation=loaders["validation"],
        test=loaders["test"],
        num_steps=num_steps,
        evaluate_every=train.steps_per_epoch,
        seed=config.seed,
        monitor="sequence_error",
    )


if __name__ == "__main__":
    run(__file__)
