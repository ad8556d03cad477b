"""Inception-v3 on ImageNet with its auxiliary head, by the paper's recipe.

Paper: Szegedy et al., 2016, https://arxiv.org/abs/1512.00567, sections 7 and 8.

    jdl train inception_v3_imagenet

This recipe has not been run to the end here. The paper reports (Table 3, one crop) a top-1 error of
21.2 % and a top-5 error of 5.6 %.

What the paper leaves open is taken from its authors' code (tensorflow/models, inception): momentum
0.9 besides RMSProp's decay, weight decay 4e-5, 0.4 times the auxiliary loss, an average with decay
0.9999, pixels from −1 to 1. Crops are GoogLeNet's, without changes of colour. What differs: the
paper's 50 replicas update asynchronously, each with a batch of 32; here as many updates come one
after another. 10,000 training images are held out and choose the checkpoint.
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
    model: str = "inception_v3"
    image_size: int = 299
    epochs: int = 100
    batch_size: int = 32
    learning_rate: float = 0.045
    weight_decay: float = 4e-5
    label_smoothing: float = 0.1
    clip: float = 2.0
    ema: float = 0.9999
    dtype: Dtype = "float32"
    num_workers: int = 8
    seed: int = 0


def schedule(config: Config, steps_per_epoch: int) -> optax.Schedule:
    """6 % less every two epochs."""
    return optax.exponential_decay(
        config.learning_rate, 2 * steps_per_epoch, decay_rate=0.94, staircase=True
    )


def build(config: Config) -> Experiment:
    """Wires random crops, smoothed labels, two heads, clipped gradients, and averaged RMSProp."""
    train, validation, test = imagenet_loaders(
        config.dataset,
        config.batch_size,
        train=[partial(random_resized_crop, size=config.image_size)],
        evaluate=(
            partial(resize_shorter_side, to=round(config.image_size / 0.875)),
            partial(center_crop, size=config.image_size),
        ),
        seed=config.seed,
        num_workers=config.num_workers,
    )
    return Experiment(
        task=Classification(
            model=create_model(config.model, aux_heads=True, dtype=config.dtype),
            optimizer=optax.chain(
                optax.add_decayed_weights(config.weight_decay, kernels),
                optax.clip_by_global_norm(config.clip),
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
            auxiliary_weight=0.4,
            ema=config.ema,
        ),
        train=train,
        validation=validation,
        test=test,
        num_steps=config.epochs * train.steps_per_epoch,
        evaluate_every=train.steps_per_epoch,
        seed=config.seed,
        monitor="accuracy",
        mode="max",
    )


if __name__ == "__main__":
    run(__file__)
