"""Commands that look inside networks: dreams, styles, explanations."""

import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from jdl.cli import main

TINY = Path(__file__).parent / "train" / "tiny.py"


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A folder with one trained run, runs/tiny/1, and three image files."""
    folder = tmp_path_factory.mktemp("trained")
    here = Path.cwd()
    os.chdir(folder)
    try:
        main(["train", str(TINY), "--steps", "20", "--devices", "1"])
        random = np.random.RandomState(0)
        Image.fromarray(random.randint(0, 256, (8, 8), np.uint8)).save("grey.png")
        Image.fromarray(random.randint(0, 256, (30, 40, 3), np.uint8)).save("colour.png")
        Path("text.png").write_text("a cat")
    finally:
        os.chdir(here)
    return folder


@pytest.fixture
def inside(trained, monkeypatch):
    monkeypatch.chdir(trained)


def test_a_run_explains_what_it_says(inside, capsys):
    main(["explain", "tiny", "grey.png"])
    told, written = capsys.readouterr().out.splitlines()
    assert told.startswith("grey.png: ")
    assert written.strip() == "runs/tiny/1/explanations/grey_1.png"
    assert Image.open(written.strip()).width > 600


def test_what_cannot_be_dreamt_is_one_sentence(inside, refused):
    assert "nothing to dream of" in refused("dream")
    assert "text.png cannot be read as an image" in refused("dream", "tiny", "text.png")
    assert "colour.png is in colour" in refused("dream", "tiny", "colour.png")
    assert "unknown layer of tiny/1 'poold'" in refused(
        "dream", "tiny", "grey.png", "--layer", "poold", "--octaves", "1"
    )
    assert "class of tiny/1 '9'" in refused(
        "dream", "tiny", "grey.png", "--towards", "9", "--octaves", "1"
    )
    assert "an octave has 3×3 pixels, but tiny/1 takes (8, 8)" in refused(
        "dream", "tiny", "grey.png"
    )
    dream = ("dream", "tiny", "grey.png")
    assert "at least one octave, not 0" in refused(*dream, "--octaves", "0")
    assert "at least one octave and one step" in refused(*dream, "--octaves", "1", "--steps", "0")
    assert "at least one pixel, not 0" in refused(*dream, "--size", "0")
    assert "resnet18 is a model: add --weights" in refused("explain", "resnet18", "grey.png")
    assert "text.png cannot be read as an image" in refused("explain", "tiny", "text.png")
    assert "colour.png is 30×40×3" in refused("explain", "tiny", "colour.png")
    assert "are the weights of a model: name it" in refused("dream", "grey.png", "--weights", "x")


def test_a_run_draws_its_classes(inside, capsys):
    main(["dream", "tiny", "--towards", "3", "--octaves", "1", "--steps", "4"])
    file = Path(capsys.readouterr().out.strip())
    assert file == Path("runs/tiny/1/dreams/3_1.png")
    drawn = np.asarray(Image.open(file)).astype(float)
    assert drawn.shape == (8, 8)
    assert drawn[4:, 4:].mean() > drawn[:4, :4].mean()  # The brightest quadrant is the last.
