"""A denoising diffusion model of MNIST digits that is told which one to draw.

Papers: Ho and Salimans, 2022, https://arxiv.org/abs/2207.12598; Ho et al., 2020,
https://arxiv.org/abs/2006.11239; the rest as in `ddpm_mnist`.

    jdl train ddpm_guided_mnist
    jdl sample ddpm_guided_mnist --condition 7 --guidance 2

Seed 0, two cores of an AMD EPYC (AVX2), which tests kept busy: 16 min 58 s from launch to the last
figure, the classifier of `lenet5_mnist` trained already. Result, guided by 1: it gives 99.2 % of
1,000 samples a probability above 0.9, and takes 99.5 % of them for the digit that was asked for;
samples of one digit vary 0.76 times as much as real ones. The loss is 0.109 where the network is
told the digit, and 0.123 where it is not. "guidance.png" has the same noise guided by 0 to 8.
"""

import dataclasses

import optax
from lenet5_mnist import trained_classifier

from jdl import create_model
from jdl.data import InMemoryLoader, load, validate_labels
from jdl.diffusion.processes import Discrete
from jdl.diffusion.schedules import cosine_schedule
from jdl.launch import run
from jdl.layers.patches import Patched
from jdl.optim.muon import muon
from jdl.optim.schedules import warmup_cosine
from jdl.tasks.conditioning import ByClass
from jdl.tasks.diffusion import Diffusion
from jdl.train import Experiment


@dataclasses.dataclass(frozen=True)
class Config:
    """Every field is a flag with this name."""

    dataset: str = "mnist5k"
    classifier: str = "lenet5_mnist"
    steps: int = 1950
    batch_size: int = 32
    learning_rate: float = 0.015
    adam_learning_rate: float = 1.5e-3
    channels: int = 64
    patch: int = 2
    ema: float = 0.995
    prediction: str = "velocity"
    drop: float = 0.1
    guidance: float = 1.0
    seed: int = 0


def build(config: Config) -> Experiment:
    """Wires digits and their labels, a U-Net on patches, the cosine schedule and Muon."""
    splits = {}
    for name in ("train", "validation", "test"):
        arrays = load(config.dataset, name).arrays()
        validate_labels(arrays["label"], 10)
        splits[name] = {"image": arrays["image"], "label": arrays["label"]}
    unet = create_model(
        "ddpm_cifar10",
        channels=config.channels,
        channel_multipliers=(1, 1),
        num_res_blocks=1,
        num_groups=8,
        dropout=0.0,
        num_classes=10,
    )

    def schedule(rate):
        return warmup_cosine(rate, min(100, config.steps // 10), config.steps)

    optimizer = muon(schedule(config.learning_rate), schedule(config.adam_learning_rate))
    return Experiment(
        task=Diffusion(
            model=Patched(unet, config.patch),
            optimizer=optax.chain(optax.clip_by_global_norm(1.0), optimizer),
            process=Discrete(cosine_schedule(1000)),
            image_shape=(28, 28, 1),
            judge=trained_classifier(config.classifier),
            prediction=config.prediction,
            conditioning=ByClass("0123456789"),
            drop=config.drop,
            ema=config.ema,
            guidance=config.guidance,
        ),
        train=InMemoryLoader(splits["train"], config.batch_size, seed=config.seed),
        validation=InMemoryLoader(splits["validation"], 500),
        test=InMemoryLoader(splits["test"], 500),
        num_steps=config.steps,
        evaluate_every=500,
        seed=config.seed,
    )


if __name__ == "__main__":
    run(__file__)
