from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

import jdl.data.cifar
from jdl.data import Dataset
from jdl.data.augment import augment_batch, random_crop
from jdl.data.cifar import cifar, crop_and_flip

RANDOM = np.random.default_rng(0)
IMAGES = RANDOM.integers(0, 256, (40, 32, 32, 3), np.uint8)


class Part(Dataset):
    def arrays(self):
        first, last = {"train[:-5]": (0, 30), "train[-5:]": (30, 35), "test": (35, 40)}[self.split]
        return {
            "id": np.array(["name"] * (last - first), object),
            "image": IMAGES[first:last],
            "label": np.arange(first, last, dtype=np.int32) % 10,
        }


def test_statistics_are_those_of_the_training_images_alone(monkeypatch):
    monkeypatch.setattr(
        jdl.data.cifar, "load", lambda name, split, data_dir=None: Part(name, split, None, None)
    )
    data = cifar("cifar10", 10, held_out=5)
    assert [loader.num_examples for loader in data[:3]] == [30, 5, 5]
    train = IMAGES[:30] / 255
    np.testing.assert_allclose(data.mean, train.mean(0), atol=1e-6)
    np.testing.assert_allclose(data.deviation, train.std((0, 1, 2)), atol=1e-6)
    assert set(data.train.batch(0)) == {"image", "label", "mask", "row"}


def test_what_is_padded_is_the_mean():
    """Less the mean, a crop is one of the image less the mean, padded with zeros."""
    mean = IMAGES.mean(0).astype(np.float32) / 255
    images = jnp.array(IMAGES[:8]) / 255.0
    cropped = augment_batch(
        partial(crop_and_flip, mean=mean), jax.random.key(0), images, jnp.arange(8)
    )
    padded = np.pad(np.asarray(images) - mean[None], ((0, 0), (4, 4), (4, 4), (0, 0)))
    flipped = 0
    for i, crop in enumerate(np.asarray(cropped) - mean[None]):
        windows = [
            (np.abs(view - padded[i, top : top + 32, left : left + 32]).max(), mirrored)
            for top in range(9)
            for left in range(9)
            for mirrored, view in ((0, crop), (1, crop[:, ::-1]))
        ]
        error, mirrored = min(windows)
        assert error < 1e-5
        flipped += mirrored
    assert 0 < flipped < 8
    assert random_crop(jax.random.key(0), images[0]).shape == images[0].shape
