import itertools

import numpy as np
import pytest

from jdl.data import load, prepare
from jdl.data.builders import cracks, digit_scenes, photos, textures
from tests.data.test_builders import SPLITS, everything


def test_photos(tmp_path):
    splits = everything("photos", tmp_path)
    assert {s: len(splits[s]["photograph"]) for s in SPLITS} == photos.Photos.SPLITS
    assert splits["train"]["image"].shape[1:] == (96, 96, 3)
    assert splits["train"]["image"].dtype == np.uint8
    # Whole photographs are held out, by their names and by their pixels.
    names = {s: {photos.NAMES[i] for i in splits[s]["photograph"]} for s in SPLITS}
    assert names == {s: set(photos.PHOTOGRAPHS[s]) for s in SPLITS}
    assert sum(map(len, names.values())) == len(set().union(*names.values())) == len(photos.NAMES)
    seen = {s: {image.tobytes() for image in splits[s]["image"]} for s in SPLITS}
    assert not seen["train"] & (seen["validation"] | seen["test"])
    assert not seen["validation"] & seen["test"]


def test_photos_to_measure_on_do_not_overlap():
    for split in ("validation", "test"):
        for name in photos.PHOTOGRAPHS[split]:
            places = np.arange(np.prod(photos.photograph(name).shape[:2]))
            places = places.reshape(photos.photograph(name).shape[:2])
            cut = photos.pieces(places, photos.SIZE, photos.STRIDES[split])
            assert len(np.unique(cut)) == cut.size


def test_photographs_come_with_the_packages(monkeypatch):
    """Some of scikit-image's are downloaded when they are asked for; these are not."""
    import socket

    def offline(*args, **kwargs):
        raise OSError("no network")

    monkeypatch.setattr(socket, "create_connection", offline)
    photos.photograph.cache_clear()
    for name in photos.NAMES:
        image = photos.photograph(name)
        assert image.dtype == np.uint8
        assert image.shape[-1] == 3
        assert image.std() > 20


def test_textures(tmp_path):
    splits = everything("textures", tmp_path)
    for split in SPLITS:
        count = textures.Textures.SPLITS[split]
        assert np.bincount(splits[split]["label"]).tolist() == [count // 3] * 3
        assert splits[split]["image"].shape == (count, 64, 64, 1)
    # Every piece is of the rows of its own split, and of the texture that it is named after.
    for split in SPLITS:
        rows = digit_scenes.textures(split)
        for number in (0, 1, 2, -3, -2, -1):
            image = splits[split]["image"][number, ..., 0]
            texture = rows[textures.CLASSES[splits[split]["label"][number]]]
            windows = np.lib.stride_tricks.sliding_window_view(texture, (64, 64))
            corners = np.argwhere((windows[:, :, 0] == image[0]).all(-1))
            assert any((windows[r, c] == image).all() for r, c in corners)


@pytest.fixture(scope="module")
def cracked():
    builder = cracks.Cracks(data_dir="never written")
    return {s: list(itertools.islice(builder.examples(s), 60)) for s in SPLITS}


def test_cracks_are_dark_and_thin_and_some_pictures_have_none(cracked):
    pictures = list(itertools.chain(*cracked.values()))
    shares = np.array([picture["mask"].mean() for picture in pictures])
    assert 0.02 < (shares == 0).mean() < 0.25
    assert 0.01 < shares.mean() < 0.06
    differences = []
    for picture in pictures:
        assert set(np.unique(picture["mask"])) <= {0, 1}
        crack = picture["mask"] > 0
        if crack.sum() > 30:
            image = picture["image"][..., 0].astype(float)
            differences.append(image[~crack].mean() - image[crack].mean())
    assert np.mean(np.array(differences) > 10) > 0.95


def test_cracks_of_the_test_are_on_a_surface_that_training_has_not_seen(cracked):
    surfaces = {s: {picture["surface"] for picture in cracked[s]} for s in SPLITS}
    assert surfaces["test"] == {cracks.SURFACES.index("brick")}
    assert not surfaces["test"] & surfaces["train"]
    assert surfaces["train"] == surfaces["validation"]
    # And those that training and validation share lend different rows.
    assert cracks.ROWS["train"][1] <= cracks.ROWS["validation"][0]


def test_cracks_branch_and_vary_in_width():
    strokes = list(cracks.walk(np.random.RandomState(0), np.array([48.0, 48.0]), 0.0, 2.0, 400.0))
    widths = [stroke.width for stroke in strokes]
    assert cracks.WIDTHS[0] <= min(widths) < max(widths) <= cracks.WIDTHS[1]
    assert max(widths) > 1.5 * min(widths)
    # Each stroke goes on where the one before it ended, or branches off where some one ended.
    ends = {tuple(stroke.end) for stroke in strokes} | {(48.0, 48.0)}
    assert all(tuple(stroke.start) in ends for stroke in strokes)
    jumps = [
        tuple(later.start) != tuple(earlier.end) for earlier, later in itertools.pairwise(strokes)
    ]
    assert any(jumps)


def test_cracks_survive_the_disk(tmp_path, cracked, monkeypatch):
    monkeypatch.setattr(cracks.Cracks, "SPLITS", dict.fromkeys(SPLITS, 20))
    prepare("cracks", data_dir=tmp_path)
    arrays = load("cracks", "test", data_dir=tmp_path).arrays()
    for name in ("image", "mask", "surface"):
        np.testing.assert_array_equal(arrays[name], [p[name] for p in cracked["test"][:20]])
