"""A denoising diffusion model on five thousand MNIST digits."""

import dataclasses

import optax
from lenet5_mnist import trained_classifier

from jdl import create_model
from jdl.data import InMemoryLoader, load
from jdl.diffusion.schedules import cosine_schedule
from jdl.launch import run
from jdl.layers.patches import Patched
from jdl.tasks.diffusion import Diffusion
from jdl.train import Experiment


@dataclasses.dataclass(frozen=True)
class Config:
    """Every field is a flag with this name."""

    dataset: str = "mnist5k"
    classifier: str = "lenet5_mnist"
    steps: int = 3000
    batch_size: int = 64
    learning_rate: float = 2e-3
    channels: int = 128
    patch: int = 4
    ema: float = 0.998
    prediction: str = "velocity"
    seed: int = 0


def build(config: Config) -> Experiment:
    """Wires digits, a U-Net on patches, the cosine schedule and Adam."""
    judge = trained_classifier(config.classifier)
    images = {
        s: {"image": load(config.dataset, s).arrays()["image"]}
        for s in ("train", "validation", "test")
    }
    unet = create_model(
        "ddpm_cifar10",
        channels=config.channels,
        channel_multipliers=(1,),
        num_res_blocks=1,
        attention_resolutions=(),
        num_groups=8,
        dropout=0.0,
    )
    schedule = optax.warmup_cosine_decay_schedule(0, config.learning_rate, 100, config.steps)
    return Experiment(
        task=Diffusion(
            model=Patched(unet, config.patch),
            optimizer=optax.chain(optax.clip_by_global_norm(1.0), optax.adam(schedule, b2=0.99)),
            alpha_bar=cosine_schedule(1000),
            image_shape=(28, 28, 1),
            judge=judge,
            prediction=config.prediction,
            ema=config.ema,
        ),
        train=InMemoryLoader(images["train"], config.batch_size, seed=config.seed),
        validation=InMemoryLoader(images["validation"], 500),
        test=InMemoryLoader(images["test"], 500),
        num_steps=config.steps,
        evaluate_every=1000,
        seed=config.seed,
    )


if __name__ == "__main__":
    run(__file__)
