"""TODO"""

import dataclasses

import numpy as np
import optax

from jdl import create_model
from jdl.data import BucketLoader, load
from jdl.data.pieces import Pieces
from jdl.launch import run
from jdl.optim.schedules import noam
from jdl.tasks.translation import Translation
from jdl.train import Experiment


@dataclasses.dataclass(frozen=True)
class Config:
    """Every field is a flag with this name."""

    dataset: str = "bible_en_ja"
    vocabulary_size: int = 8000
    max_length: int = 64
    """Pieces of the longest verse to learn from."""
    width: int = 128
    num_layers: int = 3
    num_heads: int = 4
    mlp_width: int = 512
    dropout: float = 0.1
    steps: int = 2000
    batch_size: int = 64
    warmup_steps: int = 400
    rate: float = 1.0
    """Factor of Noam's schedule."""
    label_smoothing: float = 0.1
    ema: float = 0.99
    beam: int = 4
    length_penalty: float = 0.6
    seed: int = 0


def build(config: Config) -> Experiment:
    """Wires verses in shared pieces, a small Transformer, and the paper's Adam with its schedule."""
    verses = {
        name: load(config.dataset, name).arrays() for name in ("train", "validation", "test")
    }
    pieces = Pieces(
        np.concatenate([verses["train"]["en"], verses["train"]["ja"]]), config.vocabulary_size
    )
    boundaries = (config.max_length // 2, 3 * config.max_length // 4, config.max_length)

    def loader(name: str, batch_size: int) -> BucketLoader:
        pairs = [
            [pieces.encode(pieces.cut(verse)) for verse in pair]
            for pair in zip(verses[name]["ja"], verses[name]["en"])
        ]
        source, target = zip(*[pair for pair in pairs if max(map(len, pair)) <= config.max_length])
        sequences = {"source": source, "target": target}
        return BucketLoader(sequences, batch_size, boundaries=boundaries, seed=config.seed)

    train = loader("train", config.batch_size)
    return Experiment(
        task=Translation(
            model=create_model(
                "transformer_base",
                vocabulary_size=pieces.size,
                width=config.width,
                num_layers=config.num_layers,
                num_heads=config.num_heads,
                mlp_width=config.mlp_width,
                dropout=config.dropout,
                max_length=2 * config.max_length,
            ),
            optimizer=optax.adam(
                noam(config.width, config.warmup_steps, config.rate), b2=0.98, eps=1e-9
            ),
            source=pieces,
            target=pieces,
            max_length=2 * config.max_length,
            separator="",
            label_smoothing=config.label_smoothing,
            ema=config.ema,
            width=config.beam,
            length_penalty=config.length_penalty,
            pieces=pieces,
            sentences=list(zip(verses["test"]["ja"], verses["test"]["en"])),
        ),
        train=train,
        validation=loader("validation", 64),
        num_steps=config.steps,
        evaluate_every=train.steps_per_epoch,
        seed=config.seed,
        monitor="loss",
    )


if __name__ == "__main__":
    run(__file__)
