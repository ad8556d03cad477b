"""ResNet of 20 to 110 layers on CIFAR-10, by the paper's recipe.

Paper: He et al., 2016, https://arxiv.org/abs/1512.03385, section 4.2.

    jdl train resnet_cifar10
    jdl train resnet_cifar10 --model resnet110_cifar

This recipe has not been run to the end here. The paper reports (Table 6) a test error of 8.75 %
with 20 layers, 7.51 % with 32, 7.17 % with 44, 6.97 % with 56, and 6.43 % with 110.

As in the paper but that the 110 layers are warmed up for 400 updates, the time after which its
authors' training error was below 80 %; and that the 5,000 images on which the paper chose its
schedule stay held out, and choose the checkpoint.
"""

import dataclasses
from functools import partial

import optax

from jdl import create_model
from jdl.data.cifar import cifar, crop_and_flip
from jdl.launch import run
from jdl.ops.images import standardize
from jdl.tasks.classification import Classification
from jdl.train import Dtype, Experiment


@dataclasses.dataclass(frozen=True)
class Config:
    """Every field is a flag with this name."""

    dataset: str = "cifar10"
    model: str = "resnet20_cifar"
    steps: int = 64_000
    batch_size: int = 128
    learning_rate: float = 0.1
    weight_decay: float = 1e-4
    dtype: Dtype = "float32"
    seed: int = 0


def schedule(config: Config) -> optax.Schedule:
    """A tenth after 32,000 of 64,000 updates, and again after 48,000."""
    drops = {config.steps // 2: 0.1, config.steps * 3 // 4: 0.1}
    if config.model == "resnet110_cifar":
        return optax.piecewise_constant_schedule(config.learning_rate / 10, {400: 10.0, **drops})
    return optax.piecewise_constant_schedule(config.learning_rate, drops)


def build(config: Config) -> Experiment:
    """Wires padded crops, flips, the mean image subtracted, and SGD with momentum."""
    data = cifar(config.dataset, config.batch_size, seed=config.seed)
    return Experiment(
        task=Classification(
            model=create_model(config.model, dtype=config.dtype),
            optimizer=optax.chain(
                optax.add_decayed_weights(config.weight_decay),
                optax.sgd(schedule(config), momentum=0.9),
            ),
            num_classes=10,
            augment=partial(crop_and_flip, mean=data.mean),
            normalize=partial(standardize, mean=data.mean),
        ),
        train=data.train,
        validation=data.validation,
        test=data.test,
        num_steps=config.steps,
        evaluate_every=1000,
        seed=config.seed,
        monitor="accuracy",
        mode="max",
    )


if __name__ == "__main__":
    run(__file__)
