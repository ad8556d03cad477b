import pytest

from jdl.data import prepare


@pytest.fixture(scope="session")
def data_dir(tmp_path_factory):
    """One folder of prepared datasets for all tests of this floor."""
    folder = tmp_path_factory.mktemp("datasets")
    prepare("mnist5k", data_dir=folder)
    prepare("digits8x8", data_dir=folder)
    prepare("faces25", data_dir=folder)
    return folder
