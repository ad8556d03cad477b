"""VGG on ImageNet with scale jitter, by the paper's recipe.

Paper: Simonyan and Zisserman, 2015, https://arxiv.org/abs/1409.1556, sections 3.1 and 3.2.

    jdl train vgg_imagenet
    jdl train vgg_imagenet --model vgg19

This recipe has not been run to the end here. The paper reports (Table 3, scale jitter, tested at
384 pixels) a top-1 error of 25.6 % and a top-5 error of 8.1 % for VGG-16, and 25.5 % and 8.0 % for
VGG-19.

What the paper leaves open, or what differs: its rate is divided by ten when the validation accuracy
stops rising, three times; here after a quarter, a half and three quarters of the updates. Its deep
networks start from layers of a trained VGG-11, and from a training at one scale; here they start
from He's random weights, for which pixels are divided by their deviation too. It tests densely, on
every place of the image; here on ten crops. 10,000 training images are held out and choose the
checkpoint.
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
from jdl.optim.decay import kernels
from jdl.tasks.classification import Classification
from jdl.train import Dtype, Experiment


@dataclasses.dataclass(frozen=True)
class Config:
    """Every field is a flag with this name."""

    dataset: str = "imagenet2012"
    model: str = "vgg16"
    image_size: int = 224
    steps: int = 370_000
    batch_size: int = 256
    learning_rate: float = 0.01
    weight_decay: float = 5e-4
    dtype: Dtype = "float32"
    num_workers: int = 8
    seed: int = 0


def schedule(config: Config) -> optax.Schedule:
    """Divided by ten, three times."""
    drops = {config.steps * quarter // 4: 0.1 for quarter in (1, 2, 3)}
    return optax.piecewise_constant_schedule(config.learning_rate, drops)


def build(config: Config) -> Experiment:
    """Wires scale jitter, crops, flips, PCA colours, VGG with dropout, and SGD with momentum."""
    large = partial(resize_shorter_side, to=384)
    train, validation, test = imagenet_loaders(
        config.dataset,
        config.batch_size,
        train=(
            partial(resize_shorter_side, to=(256, 512)),
            partial(random_crop, size=config.image_size),
        ),
        evaluate=(large, partial(center_crop, size=config.image_size)),
        test=(large, partial(center_crop, size=384)),
        seed=config.seed,
        num_workers=config.num_workers,
    )
    return Experiment(
        task=Classification(
            model=create_model(config.model, dtype=config.dtype),
            optimizer=optax.chain(
                optax.add_decayed_weights(config.weight_decay, kernels),
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
