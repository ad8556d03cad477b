"""GoogLeNet on ImageNet with both auxiliary heads, by the paper's recipe.

Paper: Szegedy et al., 2015, https://arxiv.org/abs/1409.4842, sections 5 and 6.

    jdl train googlenet_imagenet

This recipe has not been run to the end here. The paper reports (Table 3, one network and one crop)
a top-5 error of 10.07 %.

What the paper leaves open is taken from its replication in Caffe (bvlc_googlenet, solver.prototxt):
batches of 32, the first rate 0.01, weight decay 2e-4, 250 epochs. What differs: Polyak's average is
an exponential one; images are scaled bilinearly, not by a random method; updates come one after
another, where the paper's are asynchronous. 10,000 training images are held out and choose the
checkpoint.
"""

import dataclasses
from functools import partial

import optax

from jdl import create_model
from jdl.data.augment import compose, random_flip
from jdl.data.colours import colour_jitter, pca_colours
from jdl.data.crops import center_crop, random_resized_crop, resize_shorter_side
from jdl.data.imagenet import imagenet_loaders
from jdl.launch import run
from jdl.ops.images import standardize
from jdl.ops.preprocessing import IMAGENET_MEAN
from jdl.optim.decay import kernels
from jdl.tasks.classification import Classification
from jdl.train import Dtype, Experiment


@dataclasses.dataclass(frozen=True)
class Config:
    """Every field is a flag with this name."""

    dataset: str = "imagenet2012"
    model: str = "googlenet_2014"
    image_size: int = 224
    epochs: int = 250
    batch_size: int = 32
    learning_rate: float = 0.01
    weight_decay: float = 2e-4
    ema: float = 0.9999
    dtype: Dtype = "float32"
    num_workers: int = 8
    seed: int = 0


def schedule(config: Config, steps_per_epoch: int) -> optax.Schedule:
    """4 % less every 8 epochs."""
    return optax.exponential_decay(
        config.learning_rate, 8 * steps_per_epoch, decay_rate=0.96, staircase=True
    )


def build(config: Config) -> Experiment:
    """Wires crops of many sizes and forms, Howard's colours, three heads, and averaged SGD."""
    train, validation, test = imagenet_loaders(
        config.dataset,
        config.batch_size,
        train=[partial(random_resized_crop, size=config.image_size)],
        evaluate=(
            partial(resize_shorter_side, to=256),
            partial(center_crop, size=config.image_size),
        ),
        seed=config.seed,
        num_workers=config.num_workers,
    )
    howard = partial(colour_jitter, brightness=0.5, contrast=0.5, saturation=0.5)
    return Experiment(
        task=Classification(
            model=create_model(config.model, aux_heads=True, dtype=config.dtype),
            optimizer=optax.chain(
                optax.add_decayed_weights(config.weight_decay, kernels),
                optax.sgd(schedule(config, train.steps_per_epoch), momentum=0.9),
            ),
            num_classes=1000,
            augment=compose(random_flip, howard, pca_colours),
            # As in Caffe: pixels from 0 to 255, for which its local response norms are made.
            normalize=partial(standardize, mean=IMAGENET_MEAN, deviation=(1 / 255,)),
            auxiliary_weight=0.3,
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
