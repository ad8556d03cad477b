"""DenseNet of 40 layers, or DenseNet-BC of 100, on CIFAR-10, by the paper's recipe.

Paper: Huang et al., 2017, https://arxiv.org/abs/1608.06993, section 4.2.

    jdl train densenet_cifar10
    jdl train densenet_cifar10 --model densenet_bc_100_12

This recipe has not been run to the end here. The paper reports (Table 2, C10+) a test error of 5.24
% with DenseNet (k = 12, 40 layers), and 4.51 % with DenseNet-BC (k = 12, 100 layers).

As in the paper but that 5,000 training images stay held out and choose the checkpoint; the paper's
last run learns from them too.
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
    model: str = "densenet40_12"
    epochs: int = 300
    batch_size: int = 64
    learning_rate: float = 0.1
    weight_decay: float = 1e-4
    dtype: Dtype = "float32"
    seed: int = 0


def schedule(config: Config, num_steps: int) -> optax.Schedule:
    """A tenth after half of the updates, and again after three quarters."""
    drops = {num_steps // 2: 0.1, num_steps * 3 // 4: 0.1}
    return optax.piecewise_constant_schedule(config.learning_rate, drops)


def build(config: Config) -> Experiment:
    """Wires padded crops, flips, normalised channels, and SGD with Nesterov's momentum."""
    data = cifar(config.dataset, config.batch_size, seed=config.seed)
    num_steps = config.epochs * data.train.steps_per_epoch
    mean = data.mean.mean((0, 1))  # of each channel
    return Experiment(
        task=Classification(
            model=create_model(config.model, dtype=config.dtype),
            optimizer=optax.chain(
                optax.add_decayed_weights(config.weight_decay),
                optax.sgd(schedule(config, num_steps), momentum=0.9, nesterov=True),
            ),
            num_classes=10,
            augment=partial(crop_and_flip, mean=mean),
            normalize=partial(standardize, mean=mean, deviation=data.deviation),
        ),
        train=data.train,
        validation=data.validation,
        test=data.test,
        num_steps=num_steps,
        evaluate_every=data.train.steps_per_epoch,
        seed=config.seed,
        monitor="accuracy",
        mode="max",
    )


if __name__ == "__main__":
    run(__file__)
