"""ResNet on ImageNet, by the paper's recipe.

Paper: He et al., 2016, https://arxiv.org/abs/1512.03385, section 3.4.

    jdl train resnet_imagenet
    jdl train resnet_imagenet --model resnet152_v1

This recipe has not been run to the end here. The paper reports (Table 3, ten crops) a top-1 error
of 22.85 % and a top-5 error of 6.71 % with 50 layers, 21.75 % and 6.05 % with 101, and 21.43 % and
5.71 % with 152.

What the paper leaves open, or what differs: its rate is divided by ten when the error plateaus;
here after 150,000, 300,000 and 450,000 of 600,000 updates, about where its Figure 4 has the first
two. The mean colour is subtracted, not the mean image, and pixels are divided by their deviation.
10,000 training images are held out and choose the checkpoint.
"""

import dataclasses
from functools import partial

import optax

from jdl import create_model
from jdl.data.augment import compose, random_flip
from jdl.data.colours import pca_colours
from jdl.data.crops import center_crop, random_crop, resize_shorter_side
from jdl.data.imagenet import imagenet_loaders
from jdl.launch import run
from jdl.ops.images import standardize, ten_crop
from jdl.ops.preprocessing import IMAGENET_DEVIATION, IMAGENET_MEAN
from jdl.tasks.classification import Classification
from jdl.train import Dtype, Experiment


@dataclasses.dataclass(frozen=True)
class Config:
    """Every field is a flag with this name."""

    dataset: str = "imagenet2012"
    model: str = "resnet50_v1"
    image_size: int = 224
    steps: int = 600_000
    batch_size: int = 256
    learning_rate: float = 0.1
    weight_decay: float = 1e-4
    dtype: Dtype = "float32"
    num_workers: int = 8
    seed: int = 0


def schedule(config: Config) -> optax.Schedule:
    """Divided by ten, three times."""
    drops = {config.steps * quarter // 4: 0.1 for quarter in (1, 2, 3)}
    return optax.piecewise_constant_schedule(config.learning_rate, drops)


def build(config: Config) -> Experiment:
    """Wires images of many scales, crops, flips, PCA colours, and SGD with momentum."""
    square = (partial(resize_shorter_side, to=256), partial(center_crop, size=256))
    train, validation, test = imagenet_loaders(
        config.dataset,
        config.batch_size,
        train=(
            partial(resize_shorter_side, to=(256, 480)),
            partial(random_crop, size=config.image_size),
        ),
        evaluate=(*square, partial(center_crop, size=config.image_size)),
        test=square,
        seed=config.seed,
        num_workers=config.num_workers,
    )
    return Experiment(
        task=Classification(
            model=create_model(config.model, dtype=config.dtype),
            optimizer=optax.chain(
                optax.add_decayed_weights(config.weight_decay),
                optax.sgd(schedule(config), momentum=0.9),
            ),
            num_classes=1000,
            augment=compose(random_flip, pca_colours),
            normalize=partial(standardize, mean=IMAGENET_MEAN, deviation=IMAGENET_DEVIATION),
            views=partial(ten_crop, size=config.image_size),
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
