"""Swin Transformer on ImageNet from random weights, by the paper's recipe.

Paper: Liu et al., 2021, https://arxiv.org/abs/2103.14030, section 4.1 and appendix A2.1.

    jdl train swin_imagenet
    jdl train swin_imagenet --model swin_b

This recipe has not been run to the end here. The paper reports (Table 1, 224 pixels, one crop) a
top-1 accuracy of 81.3 % for Swin-T, 83.0 % for Swin-S and 83.5 % for Swin-B.

What the paper leaves open is taken from its authors' code (microsoft/Swin-Transformer): label
smoothing 0.1, RandAugment at level 9, bicubic crops of 8 to 100 % of the image, random erasing in a
quarter of the images, a schedule from 1e-6 and down to 1e-5, no decay of biases, norms and position
biases. The paper clips gradients at 1, that code at 5, as here. 10,000 training images are held out
and choose the checkpoint. `--microbatches 4` goes through the batch in pieces, mixing within each.
"""

import dataclasses
from functools import partial

import optax

from jdl import create_model
from jdl.data.augment import compose, random_erasing, random_flip
from jdl.data.autoaugment import rand_augment
from jdl.data.crops import center_crop, random_resized_crop, resize_shorter_side
from jdl.data.imagenet import imagenet_loaders
from jdl.data.mixing import mixup_or_cutmix
from jdl.launch import run
from jdl.ops.images import standardize
from jdl.ops.preprocessing import IMAGENET_DEVIATION, IMAGENET_MEAN
from jdl.optim.decay import kernels
from jdl.optim.schedules import warmup_cosine
from jdl.tasks.classification import Classification
from jdl.train import Dtype, Experiment


@dataclasses.dataclass(frozen=True)
class Config:
    """Every field is a flag with this name."""

    dataset: str = "imagenet2012"
    model: str = "swin_t"
    image_size: int = 224
    epochs: int = 300
    warmup_epochs: int = 20
    batch_size: int = 1024
    microbatches: int = 1
    learning_rate: float = 1e-3
    weight_decay: float = 0.05
    clip: float = 5.0
    label_smoothing: float = 0.1
    mixup: float = 0.8
    cutmix: float = 1.0
    erasing: float = 0.25
    dtype: Dtype = "float32"
    num_workers: int = 8
    seed: int = 0


def schedule(config: Config, steps_per_epoch: int) -> optax.Schedule:
    """A linear warm-up, and a cosine down to a hundredth."""
    return warmup_cosine(
        config.learning_rate,
        config.warmup_epochs * steps_per_epoch,
        config.epochs * steps_per_epoch,
        start=config.learning_rate / 1000,
        end=config.learning_rate / 100,
    )


def build(config: Config) -> Experiment:
    """Wires crops, RandAugment, erasing, mixtures, Swin with stochastic depth, and AdamW."""
    train, validation, test = imagenet_loaders(
        config.dataset,
        config.batch_size,
        train=(
            partial(random_resized_crop, size=config.image_size, filter="bicubic"),
            partial(rand_augment, magnitude=9.0, deviation=0.5),
        ),
        evaluate=(
            partial(resize_shorter_side, to=256, filter="bicubic"),
            partial(center_crop, size=config.image_size),
        ),
        seed=config.seed,
        num_workers=config.num_workers,
    )
    erase = partial(
        random_erasing, probability=config.erasing, mean=IMAGENET_MEAN, deviation=IMAGENET_DEVIATION
    )
    return Experiment(
        task=Classification(
            model=create_model(config.model, dtype=config.dtype),
            optimizer=optax.chain(
                optax.clip_by_global_norm(config.clip),
                optax.adamw(
                    schedule(config, train.steps_per_epoch),
                    weight_decay=config.weight_decay,
                    mask=kernels,
                ),
            ),
            num_classes=1000,
            augment=compose(random_flip, erase),
            normalize=partial(standardize, mean=IMAGENET_MEAN, deviation=IMAGENET_DEVIATION),
            label_smoothing=config.label_smoothing,
            mix=partial(mixup_or_cutmix, mixup_alpha=config.mixup, cutmix_alpha=config.cutmix),
            microbatches=config.microbatches,
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
