"""Photographs from edges: scenes of digits on brick, grass and gravel.

Paper: Isola et al., 2017, https://arxiv.org/abs/1611.07004, with a U-Net of half the width that
halves as often as it can, six times on images of 64×64 pixels; they come one at a time. The edges
are Canny's.

    jdl train pix2pix_digit_scenes
    jdl train pix2pix_digit_scenes --adversarial-weight 0    # the distance alone: blurred
    jdl train pix2pix_digit_scenes --dataset photos          # pieces of photographs, 96×96

Seed 0, two cores of an AMD EPYC (AVX2): 11 min 31 s from launch to the last figure. Result, weak:
an absolute distance of 0.146 to the test scenes. Bricks come back, mortar and all; stones and grass
look alike, and one digit has several colours, of which the edges say nothing. On photos, in 14 min
9 s on one core that other programs shared, the distance is 0.354, and all there is to see are
blotches of orange and blue. Without the adversary, in 13 min 45 s on one core of an Intel Xeon (Ice
Lake), the distance to the scenes is 0.116, and that is no better picture: the mean of what could be
there is near to all of it, so that stones and grass are one green-grey haze, and digits faint.
"""

import dataclasses

import numpy as np
import optax
from skimage.color import rgb2gray
from skimage.feature import canny

from jdl import create_model
from jdl.data import InMemoryLoader, load
from jdl.errors import UserError
from jdl.launch import run
from jdl.tasks.image_translation import ImageTranslation
from jdl.train import Experiment


@dataclasses.dataclass(frozen=True)
class Config:
    """Every field is a flag with this name."""

    dataset: str = "digit_scenes"
    epochs: int = 2
    learning_rate: float = 2e-4
    distance_weight: float = 100.0
    adversarial_weight: float = 1.0
    base_features: int = 32
    sigma: float = 1.0
    """of the Gaussian before the edges, in pixels."""
    seed: int = 0


def edges(images: np.ndarray, sigma: float) -> np.ndarray:
    """Finds the edges of colour images: 255 on them, 0 elsewhere, [count, height, width, 1].

    Raises:
        UserError: the images are grey.
    """
    if images.shape[-1] != 3:
        raise UserError(f"edges are found in colour images, these have {images.shape[-1]} channel")
    found = [canny(rgb2gray(image), sigma) for image in images]
    return np.stack(found)[..., None].astype(np.uint8) * 255


def halvings(size: int) -> int:
    """Counts how often a number of pixels is halved without a rest: 64 six times, 96 five."""
    return (size & -size).bit_length() - 1


def build(config: Config) -> Experiment:
    """Wires edges and scenes, both networks, and an Adam for each."""
    loaders = {}
    for split in ("train", "validation", "test"):
        images = load(config.dataset, split).arrays()["image"]
        pairs = {"source": edges(images, config.sigma), "image": images}
        batch_size = 1 if split == "train" else 12
        loaders[split] = InMemoryLoader(pairs, batch_size, seed=config.seed)
    num_steps = config.epochs * loaders["train"].steps_per_epoch
    half = num_steps // 2
    decay = optax.linear_schedule(config.learning_rate, 0.0, num_steps - half)
    constant = optax.constant_schedule(config.learning_rate)
    adam = optax.adam(optax.join_schedules([constant, decay], [half]), b1=0.5)
    return Experiment(
        task=ImageTranslation(
            generator=create_model(
                "pix2pix_generator",
                num_downs=halvings(images.shape[1]),
                base_features=config.base_features,
            ),
            discriminator=create_model("patchgan", base_features=config.base_features),
            generator_optimizer=adam,
            discriminator_optimizer=adam,
            distance_weight=config.distance_weight,
            adversarial_weight=config.adversarial_weight,
        ),
        **loaders,
        num_steps=num_steps,
        evaluate_every=loaders["train"].steps_per_epoch,
        seed=config.seed,
    )


if __name__ == "__main__":
    run(__file__)
