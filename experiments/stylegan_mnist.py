"""StyleGAN on five thousand MNIST digits.

Papers: Karras et al., 2019, https://arxiv.org/abs/1812.04948, at 32×32 and an eighth of its width
or less: mapping network, AdaIN, noise, style mixing, truncation, equalised learning rate, the R1
penalty. Instead of growing, all sizes add up from the first step on (Karras et al., 2020,
https://arxiv.org/abs/1912.04958, section 4.1).

    jdl train stylegan_mnist

Seed 0, one core of an AMD EPYC (AVX2) that other programs shared: about 90 minutes, stopped once
and resumed. Result: the classifier of `lenet5_mnist` gives 85.6 % of 1,000 samples a probability
above 0.9; the rarest digit is 3.8 % of them, and samples of one digit vary 0.82 times as much as
real ones.
"""

import dataclasses

import jax.numpy as jnp
import optax
from dcgan_mnist import pad, shift
from lenet5_mnist import trained_classifier

from jdl import create_model
from jdl.data import InMemoryLoader, load
from jdl.launch import run
from jdl.tasks.adversarial import Adversarial, normal_prior
from jdl.train import Experiment


@dataclasses.dataclass(frozen=True)
class Config:
    """Every field is a flag with this name."""

    dataset: str = "mnist5k"
    classifier: str = "lenet5_mnist"
    steps: int = 10_000
    batch_size: int = 32
    learning_rate: float = 2e-3
    penalty: float = 0.1
    style_size: int = 64
    base_features: int = 256
    most_features: int = 64
    truncation: float = 0.7
    seed: int = 0


def clip_and_shift(key, image):
    """Moves an image whose values are cut to those that can be shown.

    The background of digits is exactly −1, which the generator's last layer, a linear one, never
    hits: the discriminator would look at nothing else.
    """
    return shift(key, jnp.clip(image, -1, 1))


def build(config: Config) -> Experiment:
    """Wires digits, both networks, and an Adam without momentum for each."""
    judge = trained_classifier(config.classifier)
    loaders = {
        split: InMemoryLoader(
            pad(load(config.dataset, split).arrays()),
            config.batch_size if split == "train" else 500,
            seed=config.seed,
        )
        for split in ("train", "validation", "test")
    }
    sizes = {
        "image_size": 32,
        "base_features": config.base_features,
        "most_features": config.most_features,
    }
    adam = optax.adam(config.learning_rate, b1=0.0, b2=0.99)
    return Experiment(
        task=Adversarial(
            generator=create_model(
                "stylegan_generator",
                channels=1,
                style_size=config.style_size,
                mapping_layers=4,
                truncation=config.truncation,
                **sizes,
            ),
            discriminator=create_model("stylegan_discriminator", **sizes),
            generator_optimizer=adam,
            discriminator_optimizer=adam,
            prior=normal_prior(config.style_size),
            judge=lambda images: judge(images[:, 2:-2, 2:-2]),
            augment=clip_and_shift,
            ema=0.999,
            penalty=config.penalty,
        ),
        **loaders,
        num_steps=config.steps,
        evaluate_every=500,
        seed=config.seed,
    )


if __name__ == "__main__":
    run(__file__)
