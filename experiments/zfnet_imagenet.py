"""ZFNet on ImageNet, by the paper's recipe.

Paper: Zeiler and Fergus, 2014, https://arxiv.org/abs/1311.2901, sections 3 and 3.1.

    jdl train zfnet_imagenet

This recipe has not been run to the end here. The paper reports (Table 2, one network as in its
Figure 3) a top-1 error of 38.4 % and a top-5 error of 16.5 %.

What the paper leaves open, or what differs: its rate is annealed by hand when the validation error
plateaus; here it is divided by ten after a quarter, a half and three quarters of the 70 epochs. The
mean colour is subtracted, not the mean image. Tested, like AlexNet, on ten crops. 10,000 training
images are held out and choose the checkpoint.
"""

import dataclasses
from functools import partial

import optax

from jdl import create_model
from jdl.data.augment import random_flip
from jdl.data.crops import center_crop, corner_or_center_crop, resize_shorter_side
from jdl.data.imagenet import imagenet_loaders
from jdl.launch import run
from jdl.ops.images import standardize, ten_crop
from jdl.ops.preprocessing import IMAGENET_MEAN
from jdl.optim.constraints import renormalize_filters
from jdl.tasks.classification import Classification
from jdl.train import Dtype, Experiment


@dataclasses.dataclass(frozen=True)
class Config:
    """Every field is a flag with this name."""

    dataset: str = "imagenet2012"
    model: str = "zfnet"
    image_size: int = 224
    epochs: int = 70
    batch_size: int = 128
    learning_rate: float = 0.01
    radius: float = 0.1
    dtype: Dtype = "float32"
    num_workers: int = 8
    seed: int = 0


def schedule(config: Config, num_steps: int) -> optax.Schedule:
    """Divided by ten, three times."""
    drops = {num_steps * quarter // 4: 0.1 for quarter in (1, 2, 3)}
    return optax.piecewise_constant_schedule(config.learning_rate, drops)


def build(config: Config) -> Experiment:
    """Wires crops of corners and centre, flips, SGD with momentum, and renormalised filters."""
    square = (partial(resize_shorter_side, to=256), partial(center_crop, size=256))
    train, validation, test = imagenet_loaders(
        config.dataset,
        config.batch_size,
        train=(*square, partial(corner_or_center_crop, size=config.image_size)),
        evaluate=(*square, partial(center_crop, size=config.image_size)),
        test=square,
        seed=config.seed,
        num_workers=config.num_workers,
    )
    num_steps = config.epochs * train.steps_per_epoch
    return Experiment(
        task=Classification(
            model=create_model(config.model, dtype=config.dtype),
            optimizer=optax.chain(
                optax.sgd(schedule(config, num_steps), momentum=0.9),
                renormalize_filters(config.radius),
            ),
            num_classes=1000,
            augment=random_flip,
            # Its filters' radius is made for pixels of about −128 to 128.
            normalize=partial(standardize, mean=IMAGENET_MEAN, deviation=(1 / 255,)),
            views=partial(ten_crop, size=config.image_size),
        ),
        train=train,
        validation=validation,
        test=test,
        num_steps=num_steps,
        evaluate_every=train.steps_per_epoch,
        seed=config.seed,
        monitor="accuracy",
        mode="max",
    )


if __name__ == "__main__":
    run(__file__)
