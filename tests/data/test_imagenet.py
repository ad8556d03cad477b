from functools import partial

import numpy as np
import pytest

import jdl.data.imagenet
from jdl.data import Dataset
from jdl.data.crops import center_crop, random_crop
from jdl.data.imagenet import imagenet_loaders
from jdl.errors import UserError


def photographs(name, split, data_dir=None):
    first = {"train[:-4]": 0, "train[-4:]": 100, "validation": 200}[split]
    source = [
        {"file_name": b"x", "image": np.full((9, 12, 3), first + i, np.uint8), "label": first + i}
        for i in range(8)
    ]
    return Dataset(name, split, source, None)


def test_checkpoints_are_chosen_on_training_images_and_tested_on_tfds_validation(monkeypatch):
    monkeypatch.setattr(jdl.data.imagenet, "load", photographs)
    train, validation, test = imagenet_loaders(
        "imagenet2012",
        4,
        train=[partial(random_crop, size=4)],
        evaluate=[partial(center_crop, size=4)],
        test=[partial(center_crop, size=6)],
        held_out=4,
    )
    batch = next(train.train_batches())
    assert batch["image"].shape == (4, 4, 4, 3)
    assert batch["label"].dtype == np.int32
    assert set(batch) == {"image", "label", "mask", "row"}
    np.testing.assert_array_equal(batch["image"][:, 0, 0, 0], batch["label"])
    assert batch["label"].max() < 100
    for loader, first, size in ((validation, 100, 4), (test, 200, 6)):
        batches = list(loader.eval_batches())
        assert np.concatenate([b["label"] for b in batches]).tolist() == [
            first + i for i in range(8)
        ]
        assert {b["image"].shape for b in batches} == {(4, size, size, 3)}


def test_without_the_dataset_it_says_what_prepares_it(tmp_path):
    with pytest.raises(UserError, match="downloaded by hand"):
        imagenet_loaders("imagenet2012", 4, train=[], evaluate=[], data_dir=tmp_path)
