"""What all recipes for ImageNet share: its splits as loaders, and the statistics of its pixels."""

import os
from collections.abc import Sequence

import numpy as np

from jdl.data.dataset import load
from jdl.data.loaders import Loader
from jdl.data.streaming import Example, GrainLoader, Transform


def imagenet_loaders(
    name: str,
    batch_size: int,
    *,
    train: Sequence[Transform],
    evaluate: Sequence[Transform],
    test: Sequence[Transform] | None = None,
    held_out: int = 10_000,
    seed: int = 0,
    num_workers: int = 0,
    data_dir: str | os.PathLike | None = None,
) -> tuple[Loader, Loader, Loader]:
    """Opens a dataset of photographs in classes, split as TFDS splits ImageNet.

    The test split of ImageNet has no public labels: as in the papers, what TFDS calls "validation"
    is what is tested on, once; checkpoints are chosen on images held out of "train".

    Args:
        name: "imagenet2012", or another dataset of TFDS with "image", "label" and these splits.
        batch_size: examples in a global batch.
        train: transforms of training images; after them all have the same size.
        evaluate: transforms of the images held out.
        test: transforms of the test images; those of `evaluate` when None.
        held_out: images, the last of TFDS's "train".
        seed: of the order and of the transforms.
        num_workers: processes that decode and transform ahead; 0 uses threads.
        data_dir: where datasets lie, as in `jdl.data.load`.

    Returns:
        Loaders of the training, validation and test images; batches have "image" and "label".

    Raises:
        UserError: the dataset is not prepared; the sentence says what prepares it.
    """

    def loader(split: str, transforms: Sequence[Transform]) -> Loader:
        return GrainLoader(
            load(name, split, data_dir=data_dir).source,
            batch_size,
            seed=seed,
            transforms=(image_and_label, *transforms),
            num_workers=num_workers,
        )

    return (
        loader(f"train[:-{held_out}]", train),
        loader(f"train[-{held_out}:]", evaluate),
        loader("validation", evaluate if test is None else test),
    )


def image_and_label(example: Example, random: np.random.Generator) -> Example:
    """Leaves out names of files: a transform.

    Example:
        >>> example = {"image": np.zeros((2, 2, 3), np.uint8), "label": 3, "file_name": b"a.jpeg"}
        >>> sorted(image_and_label(example, np.random.default_rng(0)))
        ['image', 'label']
    """
    return {"image": example["image"], "label": np.int32(example["label"])}
