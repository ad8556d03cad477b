"""Sentences of what is to be seen in scenes of digits.

Papers: Xu et al., 2015, https://arxiv.org/abs/1502.03044, and without attention Vinyals et al.,
2015, https://arxiv.org/abs/1411.4555. Their encoders had learned ImageNet before; the small one
here learns from the 3,000 scenes alone.

    jdl train captioning_digit_scenes
    jdl train captioning_digit_scenes --no-attention

Seed 0, one of two cores of an AMD EPYC (AVX2), which other programs shared: 29 min 2 s from launch
to the last figure. Result: of 500 test sentences 58.6 % are exactly right with a beam of 5 and
58.0 % with greedy search; BLEU is 83.5 and 82.8. Of the 207 that are wrong 63 have all the right
digits and colours, in another order. With AdamW in the place of Muon, in as many steps, 2.2 % were
right. Without attention it is 0.2 %, and a BLEU of 36.7, in 24 min 46 s: what is seen of all the
grid at once tells colours and grounds, but not which digit is where.
"""

import dataclasses
from functools import partial

import numpy as np
import optax

from jdl import create_model
from jdl.data import InMemoryLoader, load, pad_sequences
from jdl.data.augment import random_crop
from jdl.data.vocabulary import Vocabulary
from jdl.launch import run
from jdl.optim.muon import muon
from jdl.optim.schedules import warmup_cosine
from jdl.runs import find_run, open_run, restore_state
from jdl.tasks.captioning import Captioning
from jdl.tasks.diffusion import Captioner
from jdl.train import Dtype, Experiment


@dataclasses.dataclass(frozen=True)
class Config:
    """Every field is a flag with this name."""

    dataset: str = "digit_scenes"
    attention: bool = True
    features: tuple[int, ...] = (16, 32, 64, 96)
    embedding_size: int = 64
    hidden_size: int = 128
    dropout: float = 0.1
    epochs: int = 24
    batch_size: int = 32
    learning_rate: float = 0.02
    """of the matrices and kernels, by Muon."""
    adam_learning_rate: float = 2e-3
    label_smoothing: float = 0.0
    width: int = 5
    dtype: Dtype = "float32"
    seed: int = 0


sweep = [Config(), Config(attention=False)]


def build(config: Config) -> Experiment:
    """Wires scenes, their sentences, both networks, and Muon with a warm-up and a cosine."""
    splits = {name: load(config.dataset, name).arrays() for name in ("train", "validation", "test")}
    words = Vocabulary(" ".join(splits["train"]["sentence"]).split())
    longest = max(len(s.split()) for split in splits.values() for s in split["sentence"])
    arrays = {name: encode(split, words, longest) for name, split in splits.items()}
    train = InMemoryLoader(arrays["train"], config.batch_size, seed=config.seed)
    num_steps = config.epochs * train.steps_per_epoch

    def schedule(rate):
        return warmup_cosine(rate, min(200, num_steps // 10), num_steps)

    return Experiment(
        task=Captioning(
            model=create_model(
                "captioner_attention" if config.attention else "captioner",
                vocabulary_size=words.size,
                embedding_size=config.embedding_size,
                hidden_size=config.hidden_size,
                features=config.features,
                dropout=config.dropout,
                dtype=config.dtype,
            ),
            optimizer=optax.chain(
                optax.clip_by_global_norm(1.0),
                muon(schedule(config.learning_rate), schedule(config.adam_learning_rate)),
            ),
            source=words,
            target=words,
            max_length=longest + 1,
            label_smoothing=config.label_smoothing,
            ema=0.99,
            width=config.width,
            # Wherever all of it stands, a scene is described by the same sentence.
            augment=partial(random_crop, padding=4),
            pictures=splits["test"]["image"],
            sentences=list(splits["test"]["sentence"]),
        ),
        train=train,
        validation=InMemoryLoader(arrays["validation"], 50),
        test=InMemoryLoader(arrays["test"], 50),
        num_steps=num_steps,
        evaluate_every=4 * train.steps_per_epoch,
        seed=config.seed,
        monitor="sequence_error",
    )


def encode(split, words, longest):
    """Returns pictures, and sentences as the numbers of their words."""
    sentences = [words.encode(sentence.split()) for sentence in split["sentence"]]
    count = len(sentences)
    return {
        "source": split["image"],
        "source_length": np.full(count, 64, np.int32),
        "target": pad_sequences(sentences, longest),
        "target_length": np.array([len(sentence) for sentence in sentences], np.int32),
    }


def trained_captioner(run_name: str) -> Captioner:
    """Finds a run of this experiment, whose best checkpoint is restored when there is work for it.

    Args:
        run_name: as `jdl evaluate` takes it; "captioning_digit_scenes" for the latest.

    Returns:
        Images [count, 64, 64, 3] in [0, 1] → the best sentence of each by its beam.
    """
    folder = find_run(run_name)

    def describe(images):
        experiment, _ = open_run(folder)
        state = restore_state(experiment, folder)
        return experiment.task.describe(state, np.round(255 * images).astype(np.uint8))

    return describe


if __name__ == "__main__":
    run(__file__)
