"""TODO"""

import dataclasses

import optax

from jdl import create_model
from jdl.data import BucketLoader, BytePairTokenizer, load
from jdl.data.pieces import Pieces
from jdl.launch import run
from jdl.optim.schedules import noam
from jdl.tasks.translation import Translation
from jdl.train import Experiment

# Pieces of a verse, in Japanese and in English: longer ones are not learned from.
BOUNDARIES = (24, 32, 40, 48, 64)
LONGEST = 100  # that is written


@dataclasses.dataclass(frozen=True)
class Config:
    """Every field is a flag with this name."""

    dataset: str = "bible_en_ja"
    vocabulary_size: int = 6000
    width: int = 128
    num_layers: int = 2
    num_heads: int = 4
    mlp_width: int = 512
    dropout: float = 0.1
    steps: int = 2000
    batch_size: int = 32
    warmup_steps: int = 500
    rate: float = 0.7
    """Factor of Noam's schedule."""
    label_smoothing: float = 0.1
    ema: float = 0.99
    beam: int = 4
    length_penalty: float = 0.6
    seed: int = 0


def build(config: Config) -> Experiment:
    """Wires verses in shared pieces, a small Transformer, and the paper's Adam with its schedule."""
    verses = {name: load(config.dataset, name).arrays() for name in ("train", "validation", "test")}
    both = "\n".join([*verses["train"]["en"], *verses["train"]["ja"]])
    pieces = Pieces(BytePairTokenizer(both, config.vocabulary_size))

    def loader(name: str, batch_size: int) -> BucketLoader:
        pairs = [
            [pieces.encode(verse) for verse in pair]
            for pair in zip(verses[name]["ja"], verses[name]["en"])
        ]
        source, target = zip(*[pair for pair in pairs if max(map(len, pair)) <= BOUNDARIES[-1]])
        sequences = {"source": source, "target": target}
        return BucketLoader(sequences, batch_size, boundaries=BOUNDARIES, seed=config.seed)

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
                max_length=LONGEST,
            ),
            optimizer=optax.adam(
                noam(config.width, config.warmup_steps, config.rate), b2=0.98, eps=1e-9
            ),
            source=pieces,
            target=pieces,
            max_length=LONGEST,
            separator="",
            label_smoothing=config.label_smoothing,
            ema=config.ema,
            width=config.beam,
            length_penalty=config.length_penalty,
            sentences=list(zip(verses["test"]["ja"], verses["test"]["en"])),
        ),
        train=train,
        validation=loader("validation", 64),
        num_steps=config.steps,
        evaluate_every=1000,
        seed=config.seed,
        monitor="loss",
    )


if __name__ == "__main__":
    run(__file__)
