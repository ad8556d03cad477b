import numpy as np
import pytest

from jdl.data import load
from jdl.data.dataset import Dataset
from jdl.errors import UserError


def test_source_and_arrays_agree(data_dir):
    dataset = load("mnist5k", "validation", data_dir=data_dir)
    arrays = dataset.arrays()
    assert len(dataset) == len(dataset.source) == len(arrays["label"]) == 500
    for index in (0, 7, 499):
        assert dataset.source[index]["label"] == arrays["label"][index]
        np.testing.assert_array_equal(dataset.source[index]["image"], arrays["image"][index])
    assert arrays["label"].dtype == np.int32
    assert dataset.features["image"].shape == (28, 28, 1)


def test_split_language(data_dir):
    count = len(load("mnist5k", "train[:10%]+test", data_dir=data_dir))
    assert count == 350 + 1000


def test_environment_names_the_folder(data_dir, monkeypatch):
    monkeypatch.setenv("TFDS_DATA_DIR", str(data_dir))
    assert len(load("digits8x8", "train")) == 1258


@pytest.mark.parametrize(
    ("name", "split", "message"),
    [
        ("mnst5k", "train", "unknown dataset 'mnst5k'; the closest names are mnist5k"),
        ("huggingface:mnist", "train", "unknown dataset"),
        ("", "train", "unknown dataset"),
        ("mnist5k", "trian", "no split 'trian'; it has test, train, validation"),
        ("mnist5k", "test+trian", "no split 'trian'"),
        ("mnist5k", "train[:0]", "is empty"),
        ("mnist5k", "train[oops]", "split 'train\\[oops\\]' of dataset 'mnist5k'"),
        ("mnist", "train", "jdl data prepare mnist; it needs the network"),
        ("imagenet2012", "train", "--source FOLDER .*ILSVRC2012_img_train.tar"),
        ("glue/nope", "train", "BuilderConfig nope not found"),
    ],
)
def test_what_cannot_be_loaded(data_dir, name, split, message):
    with pytest.raises(UserError, match=message):
        load(name, split, data_dir=data_dir)


class Source:
    def __init__(self, examples):
        self.examples = examples

    def __len__(self):
        return len(self.examples)

    def __getitem__(self, index):
        return self.examples[index]

    def __getitems__(self, indices):
        return [self.examples[index] for index in indices]


@pytest.mark.parametrize(
    "values",
    [[{"a": 1}, {"a": 2}], [np.zeros(2), np.zeros(3)]],
    ids=["nested", "ragged"],
)
def test_what_cannot_be_stacked(values):
    dataset = Dataset("toy", "train", Source([{"x": value} for value in values]), None)
    with pytest.raises(UserError, match=r"feature 'x' .*GrainLoader"):
        dataset.arrays()


def test_text_becomes_str():
    dataset = Dataset("toy", "train", Source([{"x": "Zoë".encode()}, {"x": b"longer"}]), None)
    column = dataset.arrays()["x"]
    assert column.tolist() == ["Zoë", "longer"]
    assert column.dtype == object
