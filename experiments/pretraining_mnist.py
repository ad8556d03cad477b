"""Greedy layer-wise pretraining of an MLP on digits without labels.

Papers: Bengio et al., 2007, https://papers.nips.cc/paper/3048, and Vincent et al., 2010,
https://jmlr.org/papers/v11/vincent10a.html. Three denoising autoencoders, each on the codes of the
one below, see all 3,500 training images; `finetuning_mnist` goes on from their encoders.

    jdl train pretraining_mnist

Seed 0, two cores of an AMD EPYC (AVX2), which other programs kept busy: 49 s from launch to the
last figure. Result: the three layers bring their inputs back with squared errors of 14.4 a test
image, and 4.43 and 1.46 a code. What that is worth, `finetuning_mnist` says.
"""

import dataclasses
import sys
from functools import partial
from typing import Any, Literal

import flax.linen as nn
import optax

from jdl import create_model
from jdl.data import InMemoryLoader, load
from jdl.data.noise import masking_noise
from jdl.launch import run
from jdl.runs import trained_run
from jdl.tasks.layerwise import LayerwisePretraining
from jdl.train import Experiment

ACTIVATIONS = {"sigmoid": nn.sigmoid, "relu": nn.relu}


@dataclasses.dataclass(frozen=True)
class Config:
    """Every field is a flag with this name."""

    dataset: str = "mnist5k"
    hidden_sizes: tuple[int, ...] = (400, 400, 400)
    activation: Literal["sigmoid", "relu"] = "sigmoid"
    noise: float = 0.25
    """Share of its inputs that a layer does not see."""
    epochs: int = 15
    """Of each layer."""
    batch_size: int = 64
    learning_rate: float = 1e-3
    seed: int = 0


def build(config: Config) -> Experiment:
    """Wires images and one autoencoder for each layer."""
    images = {
        name: {"image": load(config.dataset, name).arrays()["image"]}
        for name in ("train", "validation", "test")
    }
    train = InMemoryLoader(images["train"], config.batch_size, seed=config.seed)
    steps = config.epochs * train.steps_per_epoch
    shapes = [images["train"]["image"].shape[1:], *((1, 1, n) for n in config.hidden_sizes)]
    return Experiment(
        task=LayerwisePretraining(
            layers=tuple(
                create_model(
                    "autoencoder",
                    hidden_sizes=(),
                    latent_size=size,
                    code_activation=ACTIVATIONS[config.activation],
                    image_shape=shape,
                )
                for shape, size in zip(shapes, config.hidden_sizes)
            ),
            optimizer=optax.adam(optax.cosine_decay_schedule(config.learning_rate, steps)),
            steps_per_layer=steps,
            # Of codes too, which are images of one pixel: each number of them is lost by itself.
            corruption=partial(masking_noise, rate=config.noise),
        ),
        train=train,
        validation=InMemoryLoader(images["validation"], 500),
        test=InMemoryLoader(images["test"], 500),
        num_steps=steps * len(config.hidden_sizes),
        evaluate_every=steps,
        seed=config.seed,
    )


def pretrained_layers(run_name: str) -> tuple[dict[str, Any], dict[str, Any], int]:
    """Takes the encoders of a run of this experiment, trained first if there is none.

    Args:
        run_name: as `jdl evaluate` takes it; "pretraining_mnist" for the latest.

    Returns:
        Parameters of each hidden layer of an MLP by name; the MLP's sizes and activation; and the
        updates that the layers have cost.
    """
    _, experiment, state = trained_run(sys.modules[__name__], run_name)
    encoders = [network.params["encoder.0"] for network in state.networks]
    layers = {f"hidden.{i}": encoder for i, encoder in enumerate(encoders)}
    options = {
        "hidden_sizes": tuple(layer["bias"].size for layer in layers.values()),
        "activation": experiment.task.layers[0].code_activation,
    }
    return layers, options, experiment.num_steps


if __name__ == "__main__":
    run(__file__)
