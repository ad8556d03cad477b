import subprocess
import sys

import numpy as np
import pytest

from jdl.data import is_prepared, load, preparation, prepare
from jdl.errors import UserError


def test_prepared_once(data_dir, capsys):
    folder = prepare("mnist5k", data_dir=data_dir)
    assert folder == data_dir / "mnist5k" / "1.0.0"
    assert capsys.readouterr() == ("", "")
    assert is_prepared("mnist5k", data_dir)


def test_prepared_on_first_use_with_one_line(tmp_path, capsys):
    assert not is_prepared("digits8x8", tmp_path)
    load("digits8x8", "test", data_dir=tmp_path)
    out, err = capsys.readouterr()
    assert out == ""
    assert err == f"preparing digits8x8 in {tmp_path / 'digits8x8' / '1.0.0'}\n"


@pytest.mark.slow
def test_two_processes_at_once(tmp_path, data_dir):
    """Both succeed, one folder remains, and it holds what a single process would write."""
    code = f"from jdl.data import prepare; prepare('digits8x8', data_dir={str(tmp_path)!r})"
    processes = [subprocess.Popen([sys.executable, "-c", code]) for _ in range(2)]
    assert [process.wait() for process in processes] == [0, 0]
    assert [path.name for path in (tmp_path / "digits8x8").iterdir()] == ["1.0.0"]
    ours = load("digits8x8", "train", data_dir=tmp_path).arrays()
    alone = load("digits8x8", "train", data_dir=data_dir).arrays()
    np.testing.assert_array_equal(ours["image"], alone["image"])


def test_loser_of_the_race_keeps_the_winners_folder(tmp_path, monkeypatch):
    from jdl.data.builders.digits8x8 import Digits8x8

    slow = Digits8x8._split_generators

    def overtaken(self, dl_manager):
        monkeypatch.setattr(Digits8x8, "_split_generators", slow)
        prepare("digits8x8", data_dir=tmp_path)
        return slow(self, dl_manager)

    monkeypatch.setattr(Digits8x8, "_split_generators", overtaken)
    prepare("digits8x8", data_dir=tmp_path)
    assert [path.name for path in (tmp_path / "digits8x8").iterdir()] == ["1.0.0"]
    assert len(load("digits8x8", "train", data_dir=tmp_path).arrays()["label"]) == 1258


def test_broken_off_leaves_nothing(tmp_path, monkeypatch):
    from jdl.data.builders.digits8x8 import Digits8x8

    def broken(self, split):
        raise RuntimeError("power cut")
        yield

    with monkeypatch.context() as patch:
        patch.setattr(Digits8x8, "examples", broken)
        with pytest.raises(RuntimeError, match="power cut"):
            prepare("digits8x8", data_dir=tmp_path)
    assert not is_prepared("digits8x8", tmp_path)
    assert len(load("digits8x8", "test", data_dir=tmp_path)) == 359


def test_unwritable_folder(tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(UserError, match=r"cannot be written to .*--data-dir or TFDS_DATA_DIR"):
        prepare("digits8x8", data_dir=tmp_path / "file")


def test_missing_package(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "sklearn", None)
    monkeypatch.setitem(sys.modules, "sklearn.datasets", None)
    with pytest.raises(UserError, match=r"needs the package sklearn.*jdl\[data\]"):
        prepare("digits8x8", data_dir=tmp_path)


def test_no_network(tmp_path, monkeypatch):
    monkeypatch.setattr(preparation, "_has_network", lambda: False)
    with pytest.raises(UserError, match="'mnist' cannot be downloaded: it needs the network"):
        prepare("mnist", data_dir=tmp_path)


def test_manual_download_missing(tmp_path):
    with pytest.raises(UserError, match=r"imagenet2012.*--source FOLDER"):
        prepare("imagenet2012", data_dir=tmp_path)


def test_source_where_none_is_taken(tmp_path):
    with pytest.raises(UserError, match="made without a source"):
        prepare("digits8x8", data_dir=tmp_path, source=tmp_path)
