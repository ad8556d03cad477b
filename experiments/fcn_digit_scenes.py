"""FCN on scenes of digits: what finer maps give back of the boundaries.

Paper: Long et al., 2015, https://arxiv.org/abs/1411.4038, with an eighth of the channels and random
first weights. `boundary_iou` is over the pixels that have another class within two pixels.

    jdl train fcn_digit_scenes --model fcn32s
    jdl train fcn_digit_scenes --sweep     # FCN-32s, FCN-16s and FCN-8s

Seed 0, two cores of an Intel Xeon (AVX-512): the wall-clock is not yet measured here. Result: not
yet measured here.
"""

import dataclasses
from typing import Literal

import optax
from unet_digit_scenes import CLASSES, scenes

from jdl import create_model
from jdl.data import InMemoryLoader
from jdl.launch import run
from jdl.tasks.segmentation import Segmentation
from jdl.train import Experiment


@dataclasses.dataclass(frozen=True)
class Config:
    """Every field is a flag with this name."""

    dataset: str = "digit_scenes"
    model: Literal["fcn32s", "fcn16s", "fcn8s"] = "fcn8s"
    widths: tuple[int, ...] = (8, 16, 32, 48, 64)
    hidden: int = 128
    epochs: int = 6
    batch_size: int = 16
    learning_rate: float = 2e-3
    weight_decay: float = 1e-2
    seed: int = 0


sweep = [Config(model="fcn32s"), Config(model="fcn16s"), Config(model="fcn8s")]


def build(config: Config) -> Experiment:
    """Wires scenes, an FCN and AdamW with one cycle of the rate."""
    splits = scenes(config.dataset)
    train = InMemoryLoader(splits["train"], config.batch_size, seed=config.seed)
    num_steps = config.epochs * train.steps_per_epoch
    schedule = optax.cosine_onecycle_schedule(num_steps, config.learning_rate)
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
                optax.adamw(schedule, weight_decay=config.weight_decay),
            ),
            class_names=CLASSES,
            class_weights=(0.2, *[1.0] * 10),
        ),
        train=train,
        validation=InMemoryLoader(splits["validation"], 50),
        test=InMemoryLoader(splits["test"], 50),
        num_steps=num_steps,
        evaluate_every=train.steps_per_epoch,
        seed=config.seed,
        monitor="iou",
        mode="max",
    )


if __name__ == "__main__":
    run(__file__)
