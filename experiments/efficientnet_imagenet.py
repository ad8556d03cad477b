"""EfficientNet-B0 to B7 on ImageNet, by the paper's recipe.

Paper: Tan and Le, 2019, https://arxiv.org/abs/1905.11946, section 5.2.

    jdl train efficientnet_imagenet
    jdl train efficientnet_imagenet --model efficientnet_b7

This recipe has not been run to the end here. The paper reports (Table 2, one crop) a top-1 accuracy
of 77.1 % for B0, 79.1 % for B1, 80.1 % for B2, 81.6 % for B3, 82.9 % for B4, 83.6 % for B5, 84.0 %
for B6 and 84.3 % for B7.

What the paper leaves open is taken from its authors' code (tensorflow/tpu, efficientnet): batches
of 4096, 350 epochs, a warm-up of five, RMSProp's ε = 1e-3, label smoothing 0.1, an average with
decay 0.9999, no decay of norms. AutoAugment's policies are those of its own paper. As in the paper,
25,000 training images are held out and choose the checkpoint; here they are the last, not random
ones.
"""

import dataclasses
from functools import partial

import optax

from jdl import create_model
from jdl.data.augment import random_flip
from jdl.data.autoaugment import auto_augment
from jdl.data.crops import center_crop, random_resized_crop, resize_shorter_side
from jdl.data.imagenet import imagenet_loaders
from jdl.launch import run
from jdl.models.registry import model_info
from jdl.ops.images import standardize
from jdl.ops.preprocessing import IMAGENET_DEVIATION, IMAGENET_MEAN
from jdl.optim.decay import all_but_norms
from jdl.optim.schedules import with_warmup
from jdl.tasks.classification import Classification
from jdl.train import Dtype, Experiment


@dataclasses.dataclass(frozen=True)
class Config:
    """Every field is a flag with this name."""

    dataset: str = "imagenet2012"
    model: str = "efficientnet_b0"
    image_size: int | None = None
    epochs: int = 350
    warmup_epochs: int = 5
    batch_size: int = 4096
    learning_rate: float = 0.256
    weight_decay: float = 1e-5
    stochastic_depth_rate: float = 0.2
    label_smoothing: float = 0.1
    ema: float = 0.9999
    dtype: Dtype = "float32"
    num_workers: int = 8
    seed: int = 0


def schedule(config: Config, steps_per_epoch: int) -> optax.Schedule:
    """3 % less every 2.4 epochs, counted from the beginning, after a linear warm-up."""
    decay = optax.exponential_decay(
        config.learning_rate, 2.4 * steps_per_epoch, decay_rate=0.97, staircase=True
    )
    return with_warmup(decay, config.warmup_epochs * steps_per_epoch)


def build(config: Config) -> Experiment:
    """Wires crops, AutoAugment, EfficientNet with stochastic depth, and averaged RMSProp."""
    size = config.image_size or model_info(config.model).example[0].shape[1]
    train, validation, test = imagenet_loaders(
        config.dataset,
        config.batch_size,
        train=(partial(random_resized_crop, size=size, filter="bicubic"), auto_augment),
        evaluate=(
            partial(resize_shorter_side, to=size + 32, filter="bicubic"),
            partial(center_crop, size=size),
        ),
        held_out=25_000,
        seed=config.seed,
        num_workers=config.num_workers,
    )
    model = create_model(
        config.model,
        stochastic_depth_rate=config.stochastic_depth_rate,
        momentum=0.99,
        epsilon=1e-3,
        dtype=config.dtype,
    )
    return Experiment(
        task=Classification(
            model=model,
            optimizer=optax.chain(
                optax.add_decayed_weights(config.weight_decay, all_but_norms),
                optax.rmsprop(
                    schedule(config, train.steps_per_epoch),
                    decay=0.9,
                    eps=1e-3,
                    momentum=0.9,
                    initial_scale=1.0,
                ),
            ),
            num_classes=1000,
            augment=random_flip,
            normalize=partial(standardize, mean=IMAGENET_MEAN, deviation=IMAGENET_DEVIATION),
            label_smoothing=config.label_smoothing,
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
