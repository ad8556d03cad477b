"""Commands that look inside networks: dreams, styles, explanations."""

import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from jdl.cli import main

TINY = Path(__file__).parent / "train" / "tiny.py"
# The same, which shows its maps as well.
MAPPED = TINY.read_text().replace(
    "        x = nn.avg_pool(nn.relu(x)",
    "        x = nn.relu(x)\n"
    '        self.sow("intermediates", "maps", x)\n'
    "        x = nn.avg_pool(x",
)
RESTORATION = """
import dataclasses
from functools import partial
import numpy as np
import optax
from jdl import create_model
from jdl.data import InMemoryLoader
from jdl.data.degradations import shrink
from jdl.tasks.restoration import Restoration
from jdl.train import Experiment


@dataclasses.dataclass(frozen=True)
class Config:
    channels: int = 3


def build(config):
    images = np.random.RandomState(0).randint(0, 256, (8, 16, 16, config.channels), np.uint8)
    loader = InMemoryLoader({"image": images}, 8)
    return Experiment(
        task=Restoration(
            model=create_model(
                "unet_same", features=(2, 3), num_classes=config.channels, dropout=0.0
            ),
            optimizer=optax.sgd(0.1),
            degrade=partial(shrink, scale=2),
            pictures=images[:1],
            scale=2,
            enlarged=True,
        ),
        train=loader,
        num_steps=1,
        evaluate_every=1,
    )
"""


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A folder with two trained runs, runs/tiny/1 and runs/enlarge/1, and three image files."""
    folder = tmp_path_factory.mktemp("trained")
    here = Path.cwd()
    os.chdir(folder)
    try:
        main(["train", str(TINY), "--steps", "20", "--devices", "1"])
        Path("enlarge.py").write_text(RESTORATION)
        main(["train", "enlarge.py", "--devices", "1"])
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


def test_a_run_restores_pictures_of_any_size(inside, capsys, refused):
    Image.open("colour.png").resize((177, 21)).save("wide.png")
    main(["restore", "enlarge", "colour.png", "wide.png"])
    files = [Path(line) for line in capsys.readouterr().out.splitlines()]
    folder = Path("runs/enlarge/1/restored")
    assert files == [folder / "colour_1.png", folder / "wide_1.png"]
    assert [Image.open(file).size for file in files] == [(80, 60), (354, 42)]
    main(["restore", "enlarge/1", "grey.png", "--convert", "--output", "large"])
    file = Path(capsys.readouterr().out.strip())
    assert file == Path("large/grey_1.png")
    enlarged = Image.open(file)
    assert (enlarged.size, enlarged.mode) == ((16, 16), "RGB")
    assert "grey.png is grey, but the network takes red, green and" in refused(
        "restore", "enlarge", "colour.png", "grey.png"
    )
    assert "text.png cannot be read as an image" in refused("restore", "enlarge", "text.png")
    assert "runs/tiny/1 restores nothing; Classification is its task" in refused(
        "restore", "tiny", "grey.png"
    )
    assert "unknown run 'resnet18'" in refused("restore", "resnet18", "colour.png")
    told = "undo=lambda key, image: image, enlarged="
    Path("told.py").write_text(RESTORATION.replace("enlarged=", told))
    main(["train", "told.py", "--devices", "1"])
    assert "goes on from a filter that is told what a picture does not tell" in refused(
        "restore", "told", "colour.png"
    )


def test_the_patches_that_a_layer_answers_to(inside, capsys, refused):
    Path("mapped.py").write_text(MAPPED)
    main(["train", "mapped.py", "--steps", "2", "--devices", "1"])
    capsys.readouterr()
    main(["patches", "mapped"])
    file = Path(capsys.readouterr().out.strip())
    assert file == Path("runs/mapped/1/patches/maps_1.png")
    assert Image.open(file).width > 600
    main(["patches", "mapped", "grey.png", "--layer", "maps", "--output", "seen"])
    assert capsys.readouterr().out.strip() == "seen/maps_1.png"
    assert "unknown layer of mapped/1 'map'; the closest names are maps" in refused(
        "patches", "mapped", "--layer", "map"
    )
    assert "tiny/1 has no layer of maps" in refused("patches", "tiny")
    assert "runs/enlarge/1 is of no classifier" in refused("patches", "enlarge")


def test_the_nearest_images_as_a_run_sees_them(inside, capsys, refused):
    main(["neighbours", "tiny", "grey.png"])
    file = Path(capsys.readouterr().out.strip())
    assert file == Path("runs/tiny/1/neighbours/pooled_1.png")
    wide = Image.open(file).width
    main(["neighbours", "tiny", "grey.png", "--among", "grey.png", "grey.png", "--output", "near"])
    assert capsys.readouterr().out.strip() == "near/pooled_1.png"
    assert Image.open("near/pooled_1.png").width < wide / 1.8  # two of each, and not five
    assert "offers no activation 'pool'; the closest are pooled" in refused(
        "neighbours", "tiny", "grey.png", "--layer", "pool"
    )
    assert "colour.png is 30×40×3" in refused("neighbours", "tiny", "colour.png")
