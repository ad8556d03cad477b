"""A character LSTM or GRU on Shakespeare, or on the World English Bible.

Papers: Hochreiter and Schmidhuber, 1997, https://doi.org/10.1162/neco.1997.9.8.1735; Graves, 2013,
https://arxiv.org/abs/1308.0850.

    jdl data prepare tiny_shakespeare --source FILE
    jdl train lstm_char

Seed 0, two cores of an AMD EPYC (AVX2): 8 min 22 s from launch to the last figure, and on two of an
AMD EPYC with AVX-512 (Zen 5) 3 min 30 s, with the same figures. Result on tiny_shakespeare, in
windows of 1,024 characters that begin with an empty memory: 1.428 nats per character on the
validation split (best checkpoint), 1.549 on the test split. The GRU (`--cell gru`) has fewer
parameters and is as good: 1.418 (best and last) and 1.541, in 7 min 55 s on two cores of an Intel
Xeon (Ice Lake, AVX-512).
"""

import dataclasses
from typing import Literal

import optax

from jdl import create_model
from jdl.data import CharacterTokenizer, TokenWindowLoader, is_prepared, load
from jdl.launch import run
from jdl.tasks.language_model import LanguageModel
from jdl.train import Dtype, Experiment


@dataclasses.dataclass(frozen=True)
class Config:
    """Every field is a flag with this name."""

    dataset: str | None = None
    """tiny_shakespeare when it is prepared, else bible_en."""
    cell: Literal["lstm", "gru"] = "lstm"
    hidden_size: int = 384
    embedding_size: int = 64
    num_layers: int = 1
    window: int = 64
    steps: int = 2800
    batch_size: int = 64
    learning_rate: float = 4e-3
    dropout: float = 0.1
    temperature: float = 0.8
    dtype: Dtype = "float32"
    seed: int = 0


def build(config: Config) -> Experiment:
    """Wires characters, an LSTM and AdamW with a warm-up and a cosine."""
    dataset = config.dataset or (
        "tiny_shakespeare" if is_prepared("tiny_shakespeare") else "bible_en"
    )
    texts = {
        name: "".join(load(dataset, name).arrays()["text"])
        for name in ("train", "validation", "test")
    }
    tokenizer = CharacterTokenizer("".join(texts.values()))
    tokens = {name: tokenizer.encode(text) for name, text in texts.items()}
    warm_up = min(100, config.steps // 10)
    schedule = optax.warmup_cosine_decay_schedule(0.0, config.learning_rate, warm_up, config.steps)
    return Experiment(
        task=LanguageModel(
            model=create_model(
                "char_lstm",
                vocabulary_size=tokenizer.vocabulary_size,
                hidden_size=config.hidden_size,
                embedding_size=config.embedding_size,
                num_layers=config.num_layers,
                cell=config.cell,
                dropout=config.dropout,
                dtype=config.dtype,
            ),
            optimizer=optax.chain(
                optax.clip_by_global_norm(1.0), optax.adamw(schedule, weight_decay=0.01)
            ),
            tokenizer=tokenizer,
            temperature=config.temperature,
        ),
        train=TokenWindowLoader(
            tokens["train"], config.window, config.batch_size, seed=config.seed
        ),
        # Long windows: the memory of a recurrent network is not cut where training's was.
        validation=TokenWindowLoader(tokens["validation"], 1024, 8),
        test=TokenWindowLoader(tokens["test"], 1024, 8),
        num_steps=config.steps,
        evaluate_every=300,
        seed=config.seed,
        monitor="loss",
    )


if __name__ == "__main__":
    run(__file__)
