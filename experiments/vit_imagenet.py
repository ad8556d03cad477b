"""Vision Transformer on ImageNet from random weights, by the paper's recipe.

Paper: Dosovitskiy et al., 2021, https://arxiv.org/abs/2010.11929, section 4.1 and Table 3.

    jdl train vit_imagenet
    jdl train vit_imagenet --model vit_b_32

This recipe has not been run to the end here. The paper reports (Table 5, pre-trained and then
fine-tuned on ImageNet, at 384 pixels) a top-1 accuracy of 77.91 % for ViT-B/16, 73.38 % for
ViT-B/32, 76.53 % for ViT-L/16 and 71.16 % for ViT-L/32; this is the pre-training, at 224 pixels.

What the paper leaves open is taken from its authors' code (google-research/vision_transformer):
crops of 5 to 100 % of the image, flips, pixels from −1 to 1; as in their later code (big_vision),
kernels alone decay. 10,000 training images are held out and choose the checkpoint. A batch of 4096
takes several devices; `--microbatches 8` goes through it in pieces.
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
from jdl.optim.schedules import warmup_cosine
from jdl.tasks.classification import Classification
from jdl.train import Dtype, Experiment


@dataclasses.dataclass(frozen=True)
class Config:
    """Every field is a flag with this name."""

    dataset: str = "imagenet2012"
    model: str = "vit_b_16"
    image_size: int = 224
    epochs: int = 300
    batch_size: int = 4096
    microbatches: int = 1
    learning_rate: float = 3e-3
    warmup_steps: int = 10_000
    weight_decay: float = 0.3
    dropout_rate: float = 0.1
    clip: float = 1.0
    dtype: Dtype = "float32"
    num_workers: int = 8
    seed: int = 0


def schedule(config: Config, num_steps: int) -> optax.Schedule:
    """A linear warm-up, and a cosine down to zero."""
    return warmup_cosine(config.learning_rate, config.warmup_steps, num_steps)


def build(config: Config) -> Experiment:
    """Wires random crops, flips, ViT with dropout, clipped gradients, and Adam with decay."""
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
    num_steps = config.epochs * train.steps_per_epoch
    model = create_model(
        config.model,
        image_size=config.image_size,
        dropout_rate=config.dropout_rate,
        dtype=config.dtype,
    )
    return Experiment(
        task=Classification(
            model=model,
            optimizer=optax.chain(
                optax.clip_by_global_norm(config.clip),
                optax.adamw(
                    schedule(config, num_steps),
                    b1=0.9,
                    b2=0.999,
                    weight_decay=config.weight_decay,
                    mask=kernels,
                ),
            ),
            num_classes=1000,
            augment=random_flip,
            normalize=partial(standardize, mean=(0.5,), deviation=(0.5,)),
            microbatches=config.microbatches,
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
