"""A tiny experiment that trains in milliseconds, for the engine's tests."""

import dataclasses

import flax.linen as nn
import numpy as np
import optax

from jdl.data import InMemoryLoader, validate_labels
from jdl.launch import run
from jdl.layers.normalization import BatchNorm
from jdl.tasks.classification import Classification
from jdl.train import Experiment


class Net(nn.Module):
    width: int
    num_classes: int
    norm: bool

    @nn.compact
    def __call__(self, images, *, train: bool = False):
        x = nn.Conv(self.width, (3, 3), use_bias=False)(images)
        if self.norm:
            x = BatchNorm(train=train)(x)
        x = nn.avg_pool(nn.relu(x), (4, 4), (4, 4)).reshape(len(x), -1)
        self.sow("intermediates", "pooled", x)
        return nn.Dense(self.num_classes)(x)


def tint(key, image):
    """An augmentation with a random draw for each example."""
    import jax

    return image * jax.random.uniform(key, (), minval=0.5, maxval=1.0)


@dataclasses.dataclass(frozen=True)
class Config:
    """Of the tiny experiment."""

    steps: int = 60
    evaluate_every: int = 20
    batch_size: int = 16
    width: int = 8
    """Channels of the only convolution."""
    num_classes: int = 4
    norm: bool = True
    microbatches: int = 1
    learning_rate: float = 0.05
    poison: bool = False
    empty: bool = False
    patience: int | None = None
    seed: int = 0


sweep = [Config(), Config(learning_rate=0.01)]


def build(config: Config) -> Experiment:
    """Classifies random images by their brightest quadrant."""
    draw = np.random.default_rng(0)
    images = draw.uniform(0, 0.6, (160, 8, 8, 1)).astype(np.float32)
    labels = draw.integers(0, 4, 160)
    for image, label in zip(images, labels):
        image[4 * (label // 2) :][:4, 4 * (label % 2) :][:, :4] += 0.4
    if config.poison:
        images[100] = np.nan
    validate_labels(labels, config.num_classes)
    end = 0 if config.empty else 96
    split = lambda a, b: {"image": images[a:b], "label": labels[a:b].astype(np.int32)}
    return Experiment(
        task=Classification(
            model=Net(config.width, config.num_classes, config.norm),
            optimizer=optax.adam(config.learning_rate),
            num_classes=config.num_classes,
            augment=tint,
            microbatches=config.microbatches,
        ),
        train=InMemoryLoader(split(0, 160 if config.poison else end), config.batch_size),
        validation=InMemoryLoader(split(96, 128), 32),
        test=InMemoryLoader(split(128, 160), 32),
        num_steps=config.steps,
        evaluate_every=config.evaluate_every,
        seed=config.seed,
        monitor="accuracy",
        mode="max",
        patience=config.patience,
    )


if __name__ == "__main__":
    run(__file__)
