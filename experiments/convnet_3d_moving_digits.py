"""Kernels over space and time see where a digit goes; those over space alone cannot.

Paper: Tran et al., 2015, https://arxiv.org/abs/1412.0767, at the size of `moving_digits`: one digit
moves in one of eight directions, and a video backwards is as likely as forwards. With `--shuffle`
the frames of each video come in random order, which is all that a network without time could see.

    jdl train convnet_3d_moving_digits
    jdl train convnet_3d_moving_digits --shuffle

Seed 0, two cores of an AMD EPYC (AVX2): 54 s and 47 s. Result: 99.2 % of the 500 test videos, and
49.4 % with shuffled frames, which still show the line on which a digit moves, but not which way.
"""

import dataclasses

import numpy as np
import optax

from jdl import create_model
from jdl.data import InMemoryLoader, load
from jdl.launch import run
from jdl.tasks.classification import Classification
from jdl.train import Experiment


@dataclasses.dataclass(frozen=True)
class Config:
    """Every field is a flag with this name."""

    dataset: str = "moving_digits"
    shuffle: bool = False
    features: tuple[int, ...] = (8, 16, 32)
    epochs: int = 3
    batch_size: int = 32
    learning_rate: float = 3e-3
    weight_decay: float = 1e-2
    seed: int = 0


def build(config: Config) -> Experiment:
    """Wires videos, a 3-D ConvNet, and AdamW with one cycle of the rate."""
    random = np.random.default_rng(config.seed)
    splits = {}
    for name in ("train", "validation", "test"):
        split = load(config.dataset, name)
        arrays = split.arrays()
        videos = random.permuted(arrays["video"], axis=1) if config.shuffle else arrays["video"]
        splits[name] = {"image": videos, "label": arrays["direction"]}
    directions = split.features["direction"].names
    train = InMemoryLoader(splits["train"], config.batch_size, seed=config.seed)
    num_steps = config.epochs * train.steps_per_epoch
    schedule = optax.cosine_onecycle_schedule(num_steps, config.learning_rate)
    return Experiment(
        task=Classification(
            model=create_model("convnet_3d", num_classes=len(directions), features=config.features),
            optimizer=optax.adamw(schedule, weight_decay=config.weight_decay),
            num_classes=len(directions),
            class_names=directions,
        ),
        train=train,
        validation=InMemoryLoader(splits["validation"], 125),
        test=InMemoryLoader(splits["test"], 125),
        num_steps=num_steps,
        evaluate_every=train.steps_per_epoch,
        seed=config.seed,
        monitor="accuracy",
        mode="max",
    )


if __name__ == "__main__":
    run(__file__)
