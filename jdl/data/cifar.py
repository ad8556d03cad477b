"""What all recipes for CIFAR-10 share: its splits as loaders, its mean, crops and flips."""

import os
from typing import NamedTuple

import jax
import numpy as np
from jaxtyping import Array, Float, Key

from jdl.data.augment import Image, random_crop, random_flip
from jdl.data.dataset import load
from jdl.data.loaders import InMemoryLoader, Loader


class Cifar(NamedTuple):
    """Loaders of the splits, and the statistics of the training images, from 0 to 1."""

    train: Loader
    validation: Loader
    test: Loader
    mean: Float[np.ndarray, "32 32 3"]
    deviation: Float[np.ndarray, "3"]


def cifar(
    name: str,
    batch_size: int,
    *,
    held_out: int = 5000,
    seed: int = 0,
    data_dir: str | os.PathLike | None = None,
) -> Cifar:
    """Opens CIFAR-10, or CIFAR-100, with validation images held out of "train".

    Args:
        name: "cifar10" or "cifar100", prepared by TFDS.
        batch_size: examples in a training batch.
        held_out: the last images of "train", on which checkpoints are chosen.
        seed: of the order.
        data_dir: where datasets lie, as in `jdl.data.load`.

    Returns:
        Loaders, the mean of every pixel, and the deviation of every channel, over the training
        images.

    Raises:
        UserError: the dataset is not prepared; the sentence says what prepares it.
    """
    splits = {}
    for split in (f"train[:-{held_out}]", f"train[-{held_out}:]", "test"):
        arrays = load(name, split, data_dir=data_dir).arrays()
        splits[split] = {"image": arrays["image"], "label": arrays["label"]}
    train, validation, test = splits.values()
    pixels = train["image"]
    return Cifar(
        train=InMemoryLoader(train, batch_size, seed=seed),
        validation=InMemoryLoader(validation, min(1000, len(validation["label"]))),
        test=InMemoryLoader(test, min(1000, len(test["label"]))),
        mean=(pixels.mean(0, dtype=np.float64) / 255).astype(np.float32),
        deviation=(pixels.std((0, 1, 2), dtype=np.float64) / 255).astype(np.float32),
    )


def crop_and_flip(
    key: Key[Array, ""], image: Image, *, mean: Float[np.ndarray, "*image"] | Array
) -> Image:
    """Pads by four pixels, cuts 32×32 of them at random, and mirrors half of the images.

    The papers pad images whose mean is subtracted already, with zeros; so is it done here, and the
    mean is added again.

    Args:
        key: of the place and of the mirror.
        image: in [0, 1].
        mean: of every pixel and channel, or of every channel.

    Example:
        >>> mean = np.full((8, 8, 1), 0.3, np.float32)
        >>> image = jax.numpy.full((8, 8, 1), 0.3)
        >>> bool((crop_and_flip(jax.random.key(0), image, mean=mean) == image).all())
        True

    Source: He et al., 2016, https://arxiv.org/abs/1512.03385, section 4.2.
    """
    mean = jax.numpy.broadcast_to(mean, image.shape)
    crop_key, flip_key = jax.random.split(key)
    centred = random_flip(flip_key, random_crop(crop_key, image - mean, padding=4))
    return centred + mean
