import pytest

from jdl.data import data_directory, list_datasets
from jdl.data.catalogue import EMBEDDED, find_builder


def test_folder_is_option_then_environment_then_home(monkeypatch, tmp_path):
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path / "environment"))
    assert data_directory(tmp_path / "option") == tmp_path / "option"
    assert data_directory() == tmp_path / "environment"
    monkeypatch.delenv("TFDS_DATA_DIR")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert data_directory() == tmp_path / "tensorflow_datasets"


def test_listing_holds_embedded_first_and_tfds():
    names = list(list_datasets())
    assert names[: len(EMBEDDED)] == sorted(EMBEDDED)
    # glue lives in a folder of TFDS that comes after one that cannot be imported.
    assert {"mnist", "cifar10", "imagenet2012", "glue", "oxford_iiit_pet"} <= set(names)
    assert names.count("tiny_shakespeare") == 1


def test_pattern():
    assert set(list_datasets("digit*")) >= {"digit_scenes", "digits8x8"}
    assert "mnist5k" not in list_datasets("digit*")


@pytest.mark.parametrize("name", EMBEDDED)
def test_every_embedded_dataset_says_whence_it_comes(name):
    info = find_builder(name).info
    assert info.name == name
    assert list_datasets(name)[name].endswith(".")
    assert info.citation
    assert info.homepage.startswith("https://")
    assert info.redistribution_info.license
