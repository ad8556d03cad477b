"""DenseNet on ImageNet, by the paper's recipe.

Paper: Huang et al., 2017, https://arxiv.org/abs/1608.06993, section 4.2.

    jdl train densenet_imagenet
    jdl train densenet_imagenet --model densenet201

This recipe has not been run to the end here. The paper reports (Table 3, one crop; ten crops in
brackets) a top-1 error of 25.02 % (23.61 %) with 121 layers, 23.80 % (22.08 %) with 169, 22.58 %
(21.46 %) with 201, and 22.15 % (20.80 %) with 264.

The paper augments as fb.resnet.torch does: crops of 8 to 100 % of the image, flips, changes of
brightness, contrast and saturation by 40 %, and PCA colours. What differs: 10,000 training images
are held out and choose the checkpoint.
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
from jdl.ops.preprocessing import IMAGENET_DEVIATION, IMAGENET_MEAN
from jdl.tasks.classification import Classification
from jdl.train import Dtype, Experiment


@dataclasses.dataclass(frozen=True)
class Config:
    """Every field is a flag with this name."""

    dataset: str = "imagenet2012"
    model: str = "densenet121"
    image_size: int = 224
    epochs: int = 90
    batch_size: int = 256
    learning_rate: float = 0.1
    weight_decay: float = 1e-4
    dtype: Dtype = "float32"
    num_workers: int = 8
    seed: int = 0


def schedule(config: Config, steps_per_epoch: int) -> optax.Schedule:
    """A tenth after 30 epochs, and again after 60."""
    drops = {30 * steps_per_epoch: 0.1, 60 * steps_per_epoch: 0.1}
    return optax.piecewise_constant_schedule(config.learning_rate, drops)


def build(config: Config) -> Experiment:
    """Wires random crops, flips and colours, and SGD with Nesterov's momentum."""
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
    jitter = partial(colour_jitter, brightness=0.4, contrast=0.4, saturation=0.4)
    return Experiment(
        task=Classification(
            model=create_model(config.model, dtype=config.dtype),
            optimizer=optax.chain(
                optax.add_decayed_weights(config.weight_decay),
                optax.sgd(schedule(config, train.steps_per_epoch), momentum=0.9, nesterov=True),
            ),
            num_classes=1000,
            augment=compose(random_flip, jitter, pca_colours),
            normalize=partial(standardize, mean=IMAGENET_MEAN, deviation=IMAGENET_DEVIATION),
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
