"""AlexNet on ImageNet, by the paper's recipe.

Paper: Krizhevsky et al., 2012, sections 4 and 5,
https://papers.nips.cc/paper/4824-imagenet-classification-with-deep-convolutional-neural-networks

    jdl train alexnet_imagenet

This recipe has not been run to the end here. The paper reports (Table 2, one network) a top-1 error
of 40.7 % and a top-5 error of 18.2 %, averaged over ten crops.

What the paper leaves open, or what differs: its rate is divided by ten by hand, three times, when
the validation error stops falling; here after a quarter, a half and three quarters of the updates.
Crops have 227 pixels, which its layers need, where it says 224. The mean colour is subtracted, not
the mean image. 10,000 training images are held out and choose the checkpoint.
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
from jdl.ops.preprocessing import IMAGENET_MEAN
from jdl.optim.decay import kernels
from jdl.tasks.classification import Classification
from jdl.train import Dtype, Experiment


@dataclasses.dataclass(frozen=True)
class Config:
    """Every field is a flag with this name."""

    dataset: str = "imagenet2012"
    model: str = "alexnet_2012"
    image_size: int = 227
    epochs: int = 90
    batch_size: int = 128
    learning_rate: float = 0.01
    weight_decay: float = 5e-4
    dtype: Dtype = "float32"
    num_workers: int = 8
    seed: int = 0


def schedule(config: Config, num_steps: int) -> optax.Schedule:
    """Divided by ten, three times."""
    drops = {num_steps * quarter // 4: 0.1 for quarter in (1, 2, 3)}
    return optax.piecewise_constant_schedule(config.learning_rate, drops)


def build(config: Config) -> Experiment:
    """Wires crops, flips, PCA colours, AlexNet, and the paper's rule of momentum."""
    square = (partial(resize_shorter_side, to=256), partial(center_crop, size=256))
    train, validation, test = imagenet_loaders(
        config.dataset,
        config.batch_size,
        train=(*square, partial(random_crop, size=config.image_size)),
        evaluate=(*square, partial(center_crop, size=config.image_size)),
        test=square,
        seed=config.seed,
        num_workers=config.num_workers,
    )
    num_steps = config.epochs * train.steps_per_epoch
    return Experiment(
        task=Classification(
            model=create_model(config.model, dtype=config.dtype),
            # v ← 0.9 v − 0.0005 ε w − ε ∂L/∂w, w ← w + v: the rate is within the momentum.
            optimizer=optax.chain(
                optax.add_decayed_weights(config.weight_decay, kernels),
                optax.scale_by_learning_rate(schedule(config, num_steps)),
                optax.trace(0.9),
            ),
            num_classes=1000,
            augment=compose(random_flip, pca_colours),
            # The deviation 0.01 of its first weights is made for pixels from 0 to 255.
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
