"""The score of three Gaussians in the plane, learned and drawn beside the true one.

Papers: Vincent, 2011, https://doi.org/10.1162/NECO_a_00142; Song et al., 2021,
https://arxiv.org/abs/2011.13456.

    jdl train score_sde_mixture
    jdl train score_sde_mixture --process sub_vp

Seed 0, two cores of an AMD EPYC (AVX2): 37 s from launch to the last figure. Result: the learned
score is off by 2.9 % of the true one's length (the root of `score_error`, 0.00085), and a test
point costs 0.701 nats by the learned flow, where the mixture's own density asks for 0.665. The
sub-VP process, on an Intel Xeon (AVX-512) with other work beside it: 25 s, 3.5 % and 0.705 nats.
"""

import dataclasses
from typing import Literal

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax

from jdl.data import InMemoryLoader
from jdl.diffusion.mixture import Mixture
from jdl.diffusion.processes import SubVariancePreserving, VariancePreserving
from jdl.launch import run
from jdl.models.generative.ddpm_unet import embed_timesteps
from jdl.tasks.score_field import ScoreField
from jdl.train import Experiment

PROCESSES = {"vp": VariancePreserving(), "sub_vp": SubVariancePreserving()}


@dataclasses.dataclass(frozen=True)
class Config:
    """Every field is a flag with this name."""

    process: Literal["vp", "sub_vp"] = "vp"
    points: int = 20_000
    width: int = 128
    epochs: int = 100
    batch_size: int = 512
    learning_rate: float = 5e-3
    seed: int = 0


class Denoiser(nn.Module):
    """Names the noise in a point: four dense layers, which are told the time."""

    width: int

    @nn.compact
    def __call__(self, points, timesteps):
        """Applies the layers to points beside sines and cosines of the time."""
        x = jnp.concatenate([points, embed_timesteps(timesteps, 32)], axis=-1)
        for _ in range(3):
            x = nn.swish(nn.Dense(self.width)(x))
        return nn.Dense(points.shape[-1])(x)


def mixture() -> Mixture:
    """Three Gaussians of unequal weights, one of them slanted."""
    return Mixture(
        weights=np.array([0.5, 0.3, 0.2]),
        means=np.array([[1.0, 0.8], [-1.2, 0.2], [0.3, -1.1]]),
        covariances=np.array(
            [
                [[0.08, 0.05], [0.05, 0.06]],
                [[0.03, 0.0], [0.0, 0.06]],
                [[0.06, -0.02], [-0.02, 0.02]],
            ]
        ),
    )


def build(config: Config) -> Experiment:
    """Wires points of the mixture, a process, a small network and Adam."""
    truth = mixture()
    sizes = {"train": config.points, "validation": 2000, "test": 1000}
    keys = jax.random.split(jax.random.key(config.seed), len(sizes))
    points = {
        name: {"point": np.asarray(truth.sample(jax.random.split(key, size)))}
        for (name, size), key in zip(sizes.items(), keys)
    }
    train = InMemoryLoader(points["train"], config.batch_size, seed=config.seed)
    num_steps = config.epochs * train.steps_per_epoch
    schedule = optax.cosine_decay_schedule(config.learning_rate, num_steps)
    return Experiment(
        task=ScoreField(
            model=Denoiser(config.width),
            optimizer=optax.adam(schedule),
            process=PROCESSES[config.process],
            mixture=truth,
        ),
        train=train,
        validation=InMemoryLoader(points["validation"], 1000),
        test=InMemoryLoader(points["test"], 1000),
        num_steps=num_steps,
        evaluate_every=10 * train.steps_per_epoch,
        seed=config.seed,
    )


if __name__ == "__main__":
    run(__file__)
