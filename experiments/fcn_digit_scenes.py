"""FCN on scenes of digits: what finer maps give back of the boundaries.

Paper: Long et al., 2015, https://arxiv.org/abs/1411.4038, with an eighth of the channels, random
first weights, and Muon. Twenty scenes side by side, each enlarged twice, are an image about as
large as the paper's. `boundary_iou` is over the pixels with another class within two pixels.

    jdl train fcn_digit_scenes --model fcn32s
    jdl train fcn_digit_scenes --sweep     # FCN-32s, FCN-16s and FCN-8s

Seed 0, one core of an AMD EPYC (AVX2) that other programs shared: 13 min 45 s, 13 min 24 s and
18 min 40 s from launch to the last figure. Result on the test scenes:

              mean IoU    at boundaries    pixels right
    FCN-32s      0.339            0.362          84.2 %
    FCN-16s      0.495            0.464          89.9 %
    FCN-8s       0.665            0.584          95.1 %

FCN-32s draws digits as blobs, FCN-8s with their holes. AdamW on single scenes of 64×64 pixels, in a
padding of 100 on every side, left FCN-32s at 0.09 after three epochs.
"""

import dataclasses
from functools import partial
from typing import Literal

import numpy as np
import optax
from einops import repeat
from unet_digit_scenes import CLASSES, scenes

from jdl import create_model
from jdl.data import InMemoryLoader
from jdl.launch import run
from jdl.optim.muon import muon
from jdl.optim.schedules import warmup_cosine
from jdl.tasks.segmentation import Segmentation
from jdl.train import Experiment


@dataclasses.dataclass(frozen=True)
class Config:
    """Every field is a flag with this name."""

    dataset: str = "digit_scenes"
    model: Literal["fcn32s", "fcn16s", "fcn8s"] = "fcn8s"
    widths: tuple[int, ...] = (8, 16, 32, 48, 64)
    hidden: int = 128
    epochs: int = 4
    batch_size: int = 1
    learning_rate: float = 0.02
    adam_learning_rate: float = 2e-3
    """for what is no kernel."""
    seed: int = 0


sweep = [Config(model="fcn32s"), Config(model="fcn16s"), Config(model="fcn8s")]


def mosaics(scenes: np.ndarray) -> np.ndarray:
    """Lays twenty scenes, each enlarged twice, side by side: photographs of 512×640 pixels.

    Of a single scene's 64 pixels the padding would leave little to see.
    """
    return repeat(scenes, "(n r c) h w ... -> n (r h 2) (c w 2) ...", r=4, c=5)


def build(config: Config) -> Experiment:
    """Wires scenes, an FCN and AdamW with one cycle of the rate."""
    splits = {
        name: {key: mosaics(array) for key, array in split.items()}
        for name, split in scenes(config.dataset).items()
    }
    train = InMemoryLoader(splits["train"], config.batch_size, seed=config.seed)
    num_steps = config.epochs * train.steps_per_epoch
    schedule = partial(warmup_cosine, warmup_steps=num_steps // 20, num_steps=num_steps)
    return Experiment(
        task=Segmentation(
            model=create_model(
                config.model,
                num_classes=len(CLASSES),
                widths=config.widths,
                hidden=config.hidden,
                dropout_rate=0.0,
            ),
            optimizer=optax.chain(
                optax.clip_by_global_norm(1.0),
                muon(schedule(config.learning_rate), schedule(config.adam_learning_rate)),
            ),
            class_names=CLASSES,
            class_weights=(0.2, *[1.0] * 10),
        ),
        train=train,
        validation=InMemoryLoader(splits["validation"], 5),
        test=InMemoryLoader(splits["test"], 5),
        num_steps=num_steps,
        evaluate_every=train.steps_per_epoch,
        seed=config.seed,
        monitor="iou",
        mode="max",
    )


if __name__ == "__main__":
    run(__file__)
