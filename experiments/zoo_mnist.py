"""Every family of classifiers on the same five thousand digits, by the same recipe.

Papers: of each network, as `jdl.model_info(name).paper` says, for example LeCun et al., 1998,
https://doi.org/10.1109/5.726791. The networks keep their kinds of layers and lose width, depth and
early strides through their own arguments, because the digits have 28 pixels, not 224. LeNets of
1989 and 1998 are trained with their papers' losses.

    jdl train zoo_mnist --model vgg11_bn
    jdl train zoo_mnist --sweep          # all of them, one after another

Seed 0, two cores of an AMD EPYC (AVX2), nothing compiled beforehand: 93 s for VGG, 9 s to 4 min for
the others. Result: 99.0 % of the 1,000 test digits by VGG, 99.1 % by ResNet in 2 min 21 s; the
table of all is in experiments/README.md. Convolution is what counts: 3,500 digits teach a
transformer without it, in the same twenty epochs, 90 %.
"""

import dataclasses
from functools import partial
from typing import Any

import flax.linen as nn
import jax.numpy as jnp
import optax
from jaxtyping import Array

from jdl import create_model, model_info
from jdl.data import InMemoryLoader, load, validate_labels
from jdl.data.augment import random_affine
from jdl.launch import run
from jdl.models.vision.lenet_1998 import map_loss
from jdl.ops.images import standardize
from jdl.tasks.classification import Classification, cross_entropy
from jdl.train import Experiment

# What fits a network to 28 pixels, and to a minute or two of two cores.
SMALL: dict[str, dict[str, Any]] = {
    "alexnet_2012": {
        "features": (24, 48, 64, 64, 48),
        "hidden": 256,
        "kernel": 5,
        "stride": 1,
        "init_scale": 2.0,
    },
    "zfnet": {"features": (24, 48, 64, 64, 48), "hidden": 256, "stride": 1, "init_scale": 2.0},
    "vgg11_bn": {"stage_sizes": (1, 2, 2), "widths": (16, 48, 96), "hidden": 256},
    "googlenet": {"width": 0.25, "stem_stride": 1},
    "resnet18": {"stage_sizes": (1, 2, 2), "features": 16, "small_images": True},
    "densenet121": {"block_sizes": (3, 4, 4), "growth_rate": 12, "stem_features": 24},
    "mobilenet_v2": {"width": 0.25, "stem_stride": 1},
    "efficientnet_b0": {"width": 0.25, "depth": 0.5, "stem_stride": 1},
    "vit_ti_16": {
        "image_size": 28,
        "patch_size": 4,
        "width": 64,
        "num_layers": 6,
        "num_heads": 4,
        "mlp_width": 128,
    },
    "swin_t": {
        "patch_size": 2,
        "stage_sizes": (2, 2),
        "width": 32,
        "num_heads": (2, 4),
        "stochastic_depth_rate": 0.1,
    },
}


def squared_error(outputs: Array, targets: Array) -> Array:
    """Half the squared distance from −1, and from 1 for the right class (LeCun et al., 1989)."""
    return 0.5 * jnp.square(outputs - (2 * targets - 1)).sum(-1)


# Most networks want inputs of unit variance. AlexNet's and ZFNet's initial weights are for pixels
# from 0 to 255; the early LeNets bring images from 0 to 1 to their papers' ranges by themselves.
PIXELS = partial(standardize, mean=(0.1307,), deviation=(1 / 255,))
STANDARD = partial(standardize, mean=(0.1307,), deviation=(0.3081,))
NORMALIZATION = {"alexnet_2012": PIXELS, "zfnet": PIXELS, "lenet1989": None, "lenet5_1998": None}

LOSSES = {
    "lenet1989": squared_error,
    "lenet5_1998": lambda logits, targets: map_loss(logits, targets.argmax(-1)),
}


@dataclasses.dataclass(frozen=True)
class Config:
    """Every field is a flag with this name."""

    model: str = "vgg11_bn"
    dataset: str = "mnist5k"
    epochs: int = 20
    batch_size: int = 64
    learning_rate: float = 3e-3
    weight_decay: float = 1e-2
    seed: int = 0


FIRST = ("perceptron", "mlp", "lenet1989", "lenet5_1998", "lenet5", "lenet5_relu")
# Networks without normalisation of their maps, and transformers, want smaller steps.
SLOW = ("alexnet_2012", "zfnet", "vit_ti_16", "swin_t")
sweep = [
    Config(model=name, learning_rate=1e-3 if name in SLOW else 3e-3) for name in (*FIRST, *SMALL)
]


def small(name: str) -> nn.Module:
    """Builds a network for digits: ten classes, one channel, and whatever else fits it to them."""
    digits = {"num_classes": 10, "in_channels": 1, **SMALL.get(name, {})}
    taken = model_info(name).overrides
    return create_model(name, **{k: v for k, v in digits.items() if k in taken})


def build(config: Config) -> Experiment:
    """Wires digits, random affine distortions, the network and AdamW with one cycle of the rate."""
    splits = {name: load(config.dataset, name).arrays() for name in ("train", "validation", "test")}
    for arrays in splits.values():
        validate_labels(arrays["label"], 10)
    train = InMemoryLoader(splits["train"], config.batch_size, seed=config.seed)
    num_steps = config.epochs * train.steps_per_epoch
    schedule = optax.cosine_onecycle_schedule(num_steps, config.learning_rate)
    return Experiment(
        task=Classification(
            model=small(config.model),
            optimizer=optax.adamw(schedule, weight_decay=config.weight_decay),
            num_classes=10,
            augment=partial(random_affine, rotation=12.0, scale=0.15, translation=2.0, shear=10.0),
            normalize=NORMALIZATION.get(config.model, STANDARD),
            loss=LOSSES.get(config.model, cross_entropy),
        ),
        train=train,
        validation=InMemoryLoader(splits["validation"], 500),
        test=InMemoryLoader(splits["test"], 500),
        num_steps=num_steps,
        evaluate_every=3 * train.steps_per_epoch,
        seed=config.seed,
        monitor="accuracy",
        mode="max",
    )


if __name__ == "__main__":
    run(__file__)
