"""MobileNetV2 on ImageNet, by the paper's recipe.

Paper: Sandler et al., 2018, https://arxiv.org/abs/1801.04381, section 6.1.

    jdl train mobilenet_v2_imagenet
    jdl train mobilenet_v2_imagenet --model mobilenetv2_140

This recipe has not been run to the end here. The paper reports (Table 4, one crop) a top-1 accuracy
of 72.0 %, and 74.7 % with 1.4 times the channels.

What the paper leaves open is taken from its authors' code (tensorflow/models, slim): 5.5 million
updates, RMSProp's ε = 1, label smoothing 0.1, an average with decay 0.9999, crops of 5 to 100 % of
the image, pixels from −1 to 1; that code's changes of colour are left out. What differs: the
paper's 16 workers update asynchronously, each with a batch of 96; here updates come one after
another. 10,000 training images are held out and choose the checkpoint.
"""

import dataclasses
from functools import partial

import optax

from jdl import create_model
from jdl.data.augment import random_flip
from jdl.data.crops import center_crop, random_resized_crop, resize_shorter_side
from jdl.data.imagenet import imagenet_loaders
from jdl.launch import run
from jdl.ops.images import standardize
from jdl.optim.decay import kernels
from jdl.tasks.classification import Classification
from jdl.train import Dtype, Experiment


@dataclasses.dataclass(frozen=True)
class Config:
    """Every field is a flag with this name."""

    dataset: str = "imagenet2012"
    model: str = "mobilenet_v2"
    image_size: int = 224
    steps: int = 5_500_000
    batch_size: int = 96
    learning_rate: float = 0.045
    weight_decay: float = 4e-5
    label_smoothing: float = 0.1
    ema: float = 0.9999
    dtype: Dtype = "float32"
    num_workers: int = 8
    seed: int = 0


def schedule(config: Config, steps_per_epoch: int) -> optax.Schedule:
    """2 % less every epoch."""
    return optax.exponential_decay(
        config.learning_rate, steps_per_epoch, decay_rate=0.98, staircase=True
    )


def build(config: Config) -> Experiment:
    """Wires random crops, flips, smoothed labels, and averaged RMSProp."""
    train, validation, test = imagenet_loaders(
        config.dataset,
        config.batch_size,
        train=[partial(random_resized_crop, size=config.image_size, area=(0.05, 1.0))],
        evaluate=(
            partial(resize_shorter_side, to=256),
            partial(center_crop, size=config.image_size),
        ),
        seed=config.seed,
        num_workers=config.num_workers,
    )
    return Experiment(
        task=Classification(
            model=create_model(config.model, dtype=config.dtype),
            optimizer=optax.chain(
                optax.add_decayed_weights(config.weight_decay, kernels),
                optax.rmsprop(
                    schedule(config, train.steps_per_epoch),
                    decay=0.9,
                    eps=1.0,
                    momentum=0.9,
                    initial_scale=1.0,
                ),
            ),
            num_classes=1000,
            augment=random_flip,
            normalize=partial(standardize, mean=(0.5,), deviation=(0.5,)),
            label_smoothing=config.label_smoothing,
            ema=config.ema,
        ),
        train=train,
        validation=validation,
        test=test,
        num_steps=config.steps,
        evaluate_every=train.steps_per_epoch,
        seed=config.seed,
        monitor="accuracy",
        mode="max",
    )


if __name__ == "__main__":
    run(__file__)
