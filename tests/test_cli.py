"""The door: what it prints, what it refuses, and how fast it answers."""

import contextlib
import os
import resource
import subprocess
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

import jdl
from jdl.cli import main
from jdl.runs import find_runs
from jdl.train.checkpoints import read_config
from jdl.train.reporting import read_metrics

JDL = [sys.executable, "-c", "from jdl.cli import main; main()"]
TINY = Path(__file__).parent / "train" / "tiny.py"
PHOTOGRAPH = Path(__file__).parents[1] / "notebooks" / "overview.png"


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A folder with one trained run, runs/tiny/1."""
    folder = tmp_path_factory.mktemp("trained")
    here = Path.cwd()
    os.chdir(folder)
    try:
        main(["train", str(TINY), "--steps", "60", "--devices", "1"])
    finally:
        os.chdir(here)
    return folder


@pytest.fixture
def inside(trained, monkeypatch):
    monkeypatch.chdir(trained)
    return trained


def test_lists_take_wildcards(capsys):
    main(["list", "models", "unet*"])
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()] == [
        "unet",
        "unet_same",
    ]
    main(["list", "datasets", "mnist5k"])
    assert capsys.readouterr().out.startswith("mnist5k")
    main(["list", "experiments", "*_mnist"])
    names = [line.split()[0] for line in capsys.readouterr().out.splitlines()]
    assert names == sorted(names)
    assert {"dcgan_mnist", "lenet5_mnist", "zoo_mnist"} <= set(names)
    assert "unet_digit_scenes" not in names


def test_weights_are_converted(tmp_path, capsys):
    lenet = jdl.create_model("lenet5")
    variables = lenet.init(jax.random.key(0), jnp.zeros((1, 28, 28, 1)))
    source, target = tmp_path / "source.safetensors", tmp_path / "target.safetensors"
    jdl.save_weights(lenet, variables, source)
    main(["weights", "convert", "lenet5", str(source), str(target)])
    assert "10 arrays" in capsys.readouterr().out
    again = jdl.load_weights("lenet5", target)
    assert jax.tree.all(jax.tree.map(lambda a, b: bool((a == b).all()), dict(variables), again))


def test_everything_is_listed(capsys):
    main(["list"])
    out = capsys.readouterr().out
    for name in ("models:", "experiments:", "datasets:", "lenet5", "unet_digit_scenes", "mnist5k"):
        assert name in out


def test_bench_prints_the_ratio(capsys):
    main(["bench", "lenet5", "--against", "flax", "--batch", "2", "--repeats", "1"])
    title, ratio, *_ = capsys.readouterr().out.splitlines()
    assert title == "lenet5, infer, 2×28×28×1, float32, against flax"
    assert ratio.startswith("ratio")


def test_an_ensemble_is_measured_beside_its_members(tmp_path, monkeypatch, capsys, refused):
    monkeypatch.chdir(tmp_path)
    few = ["--steps", "20", "--devices", "1"]
    for name, flags in (("a", ["--seed", "1"]), ("b", []), ("c", ["--num-classes", "5"])):
        main(["train", str(TINY), "--name", name, *few, *flags])
    capsys.readouterr()
    main(["evaluate", "tiny/a", "tiny/b"])
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == ["runs/tiny/a", "runs/tiny/b", "ensemble"]
    for line, name in zip(lines, "ab"):
        main(["evaluate", f"tiny/{name}"])
        assert line.split("accuracy ")[1].split()[0] in capsys.readouterr().out
    assert "runs/tiny/a has 4 classes and runs/tiny/c 5" in refused("evaluate", "tiny/a", "tiny/c")


def test_summary_prints_totals(capsys):
    main(["summary", "lenet5", "--shape", "32,32,1"])
    out = capsys.readouterr().out
    assert "conv1" in out
    assert "61,706" in out


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["train", "lenet5_mist"], "experiment 'lenet5_mist'; the closest names are lenet5_mnist"),
        (["train", "nowhere.py"], "there is no file nowhere.py"),
        (["train", "--epochs", "3"], "the experiment's name comes first"),
        (["summary", "lennet5"], "unknown model 'lennet5'; the closest names are lenet5"),
        (["summary", "lenet5", "--shape", "30,30,1"], "28x28, 32x32 or 64x64 pixels, not 30x30"),
        (["summary", "lenet5", "--shape", "big"], "is no shape; write it as 32,32,1"),
        (["bench", "lennet5"], "unknown model 'lennet5'; the closest names are lenet5"),
        (["bench", "lenet5", "--mode", "fly"], "unknown mode 'fly'; it is infer or train"),
        (["bench", "lenet5"], "lenet5 has no reference network to compare with"),
        (["list", "models", "x*"], "there are no models like 'x*'"),
        (["data", "prepare", "mnist5"], "unknown dataset 'mnist5'; the closest names are mnist"),
        (["evaluate", "nothing"], "unknown run 'nothing'"),
        (["evaluate", "tiny/1", "runs/tiny/1"], "a run is named twice"),
        (["predict", "tiny/1", "nothing.png"], "nothing.png cannot be read as an image"),
        (["sample", "tiny"], "is not generative"),
        (["sample", "tiny", "--condition", "7"], "is not generative"),
        (["evaluate", "tiny/7"], "unknown run 'tiny/7'; the closest names are tiny/1"),
        (["weights", "convert", "lenet5", "no.pth", "out.pth"], "no.pth"),
        (["predict", "resnet18", PHOTOGRAPH], "resnet18 is a model: add --weights FILE, or name a"),
        (["predict", "resnt18", "--weights", "no.pth", PHOTOGRAPH], "unknown model 'resnt18'"),
        (["predict", "resnet18", "--weights", "no.pth", PHOTOGRAPH], "there is no file no.pth"),
        (["predict", "lenet5", "--weights", "no.pth", PHOTOGRAPH], "of what lenet5 expects"),
        (["similar", "A cat."], "nothing to compare with: add sentences, or --among FILE"),
        (["similar", "A cat.", "--among", "nowhere.txt"], "there is no file nowhere.txt"),
        (["similar", "A cat.", "A dog.", "--top", "0"], "--top must be at least 1, not 0"),
        (["predict", "tiny/1", TINY], "tiny.py cannot be read as an image"),
        (["predict", "tiny/1", PHOTOGRAPH, "--top", "0"], "--top must be at least 1, not 0"),
        (["train", "g2p_cmudict", "--epochs", "0"], "--epochs must be at least 1, not 0"),
        (["train", "g2p_cmudict", "--members", "0"], "--members must be at least 1, not 0"),
        (["train", "g2p_cmudict", "--hidden-size", "-5"], "--hidden-size must be at least 1, not"),
        (["train", "g2p_cmudict", "--filters", "-1"], "--filters must be at least 0, not -1"),
        (["train", "unet_cracks", "--features", "8", "-2"], "--features must be at least 0, not"),
    ],
)  # fmt: skip
def test_what_the_user_can_mend_is_one_sentence_and_status_2(arguments, sentence, refused, inside):
    assert sentence in refused(*arguments)


@pytest.mark.parametrize("flags", [["--lerning-rate", "0.1"], ["--learning-rate", "fast"]])
def test_a_misspelt_flag_or_a_wrong_type_is_refused_with_a_hint(flags, capsys):
    with pytest.raises(SystemExit) as caught:
        main(["train", "lenet5_mnist", *flags])
    assert caught.value.code == 2
    assert "--learning-rate" in "".join(capsys.readouterr())


DIFFUSION = """
import dataclasses
import numpy as np
import optax
from jdl import create_model
from jdl.data import InMemoryLoader
from jdl.diffusion.processes import Discrete
from jdl.diffusion.samplers import ddim
from jdl.diffusion.schedules import cosine_schedule
from jdl.tasks.conditioning import ByClass
from jdl.tasks.diffusion import Diffusion
from jdl.train import Experiment


@dataclasses.dataclass(frozen=True)
class Config:
    told: bool = True


def build(config):
    sizes = {"channels": 4, "channel_multipliers": (1,), "num_res_blocks": 1, "num_groups": 2}
    arrays = {"image": np.zeros((8, 4, 4, 1), np.uint8), "label": np.arange(8) % 2}
    options = {"num_classes": 2} if config.told else {}
    return Experiment(
        task=Diffusion(
            model=create_model("ddpm_cifar10", **sizes, **options),
            optimizer=optax.sgd(0.1),
            process=Discrete(cosine_schedule(20)),
            image_shape=(4, 4, 1),
            conditioning=ByClass(("cat", "dog")) if config.told else None,
            sampler=lambda *inputs: ddim(*inputs, steps=5),
        ),
        train=InMemoryLoader(arrays, 8),
        validation=InMemoryLoader(arrays, 8),
        num_steps=2,
        evaluate_every=1,
    )
"""


@pytest.mark.slow
def test_a_diffusion_model_is_told_what_to_draw(tmp_path, monkeypatch, capsys, refused):
    monkeypatch.chdir(tmp_path)
    Path("pets.py").write_text(DIFFUSION)
    main(["train", "pets.py", "--devices", "1"])
    drawn = {path.name for path in Path("runs/pets/1/figures").glob("*.png")}
    assert {"samples_1.png", "samples_2.png", "samples.png", "guidance.png"} <= drawn
    flags = ["--condition", "dog", "--guidance", "2", "--count", "3", "--output", "dogs.png"]
    main(["sample", "pets", *flags])
    assert "3 samples in dogs.png" in capsys.readouterr().out
    assert "unknown class 'bird'" in refused("sample", "pets", "--condition", "bird")
    main(["train", "pets.py", "--no-told", "--devices", "1"])
    error = refused("sample", "pets", "--condition", "dog")
    assert "--condition: runs/pets/2 is told nothing of what to draw" in error
    error = refused("sample", "pets", "--guidance", "2")
    assert "guidance of 2 needs a model with conditions" in error


def test_without_any_run_it_says_how_to_make_one(tmp_path, monkeypatch, refused):
    monkeypatch.chdir(tmp_path)
    assert "`jdl train` makes one" in refused("evaluate", "nothing")


def test_an_unwritable_folder_is_refused(tmp_path, refused):
    (tmp_path / "file").touch()
    error = refused("train", TINY, "--runs", tmp_path / "file")
    assert "cannot be written" in error


def test_evaluate_repeats_the_run(inside, capsys):
    lines = Path("runs/tiny/1/metrics.jsonl").read_text().splitlines()
    assert '"test"' in lines[-2]
    main(["evaluate", "tiny"])
    out = capsys.readouterr().out
    assert "test: accuracy" in out
    main(["evaluate", "runs/tiny/1", "--split", "validation"])
    assert "validation: accuracy" in capsys.readouterr().out


def test_compare_writes_what_runs_reached_and_cost(inside, capsys):
    main(["compare", "tiny"])
    head, _, row = capsys.readouterr().out.splitlines()
    assert "test accuracy" in head
    cells = [cell.strip() for cell in row.strip("|").split("|")]
    last = {line["split"]: line for line in read_metrics(Path("runs/tiny/1"))}
    assert cells[0] == "`jdl train tiny`"  # 60 steps are the default
    assert f"{last['test']['accuracy']:.1%}" in cells
    assert f"{int(last['run']['parameters']):,}" in cells
    readme = Path("results.md")
    readme.write_text("Before.\n\n| old |\n|---|\n| table |\n\nAfter.\n")
    main(["compare", "tiny/1", "--output", str(readme), "--curves", "curves.png"])
    text = readme.read_text()
    assert text.startswith("Before.\n\n| command")
    assert text.endswith("\n\nAfter.\n")
    assert "old" not in text
    assert Image.open("curves.png").width > 500


GENERATOR = Path(__file__).parent / "train" / "tiny_generator.py"


def test_compare_puts_samples_side_by_side(inside, capsys, refused):
    main(["train", str(GENERATOR), "--devices", "1"])
    capsys.readouterr()
    judged = ["--classifier", "tiny", "--layer", "pooled"]
    main(["compare", "tiny_generator", "--samples", "40", *judged])
    head, _, real, row = capsys.readouterr().out.splitlines()
    assert "Fréchet distance (tiny/1 pooled)" in head
    assert "real test images" in real
    cells = [cell.strip() for cell in row.strip("|").split("|")]
    measured = {line["split"]: line for line in read_metrics(Path("runs/tiny_generator/1"))}
    assert cells[0] == "tiny_generator/1"
    assert float(cells[1]) == pytest.approx(measured["test"]["bits_per_dimension"], rel=1e-3)
    assert 0 < float(cells[4]) < np.inf
    error = refused("compare", "tiny_generator", "--samples", 1, *judged)
    assert "at least 2" in error
    error = refused("compare", "tiny", "--samples", 40, *judged)
    assert "runs/tiny/1 draws no images" in error
    error = refused("compare", "tiny", "--samples", 40, *judged[:3], "f7")
    assert "no activation 'f7'" in error
    weights = ("--inception", "nowhere.pth")
    error = refused("compare", "tiny_generator", "--samples", 40, *judged, *weights)
    assert "nowhere.pth" in error
    error = refused("compare", "tiny", "--samples", 40, "--classifier", "tiny_generator")
    assert "of no classifier" in error


def test_a_sweep_trains_every_configuration(tmp_path, monkeypatch, capsys, refused):
    monkeypatch.chdir(tmp_path)
    main(["train", str(TINY), "--sweep", "--steps", "2"])
    configs = [read_config(run)["config"] for run in find_runs("tiny")]
    assert [(c["steps"], c["learning_rate"]) for c in configs] == [(2, 0.05), (2, 0.01)]
    main(["compare", "tiny"])
    out = capsys.readouterr().out
    assert "jdl train tiny --steps 2 --learning-rate 0.01" in out
    assert "leave --name" in refused("train", TINY, "--sweep", "--name", "mine")
    bare = tmp_path / "bare.py"
    bare.write_text(Path(TINY).read_text().replace("sweep =", "others ="))
    assert "bare has no sweep" in refused("train", bare, "--sweep")


def test_sigterm_ends_a_sweep_and_not_one_run_of_it(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    at_once = contextlib.nullcontext(lambda step: True)
    monkeypatch.setattr("jdl.train.loop._sigterm", lambda: at_once)
    with pytest.raises(SystemExit) as ended:
        main(["train", str(TINY), "--sweep", "--steps", "2"])
    assert ended.value.code == 0
    assert len(find_runs("tiny")) == 1


def test_predict_reads_images(inside, capsys):
    image = np.full((8, 8), 60, np.uint8)
    image[4:, 4:] = 200  # The brightest quadrant is the last.
    Image.fromarray(image).save("dark.png")
    main(["predict", "tiny/1", "dark.png", "--top", "1"])
    told, written = capsys.readouterr().out.splitlines()
    assert told.startswith("dark.png: 3 ")
    assert written.strip() == "runs/tiny/1/predictions/dark_1.png"
    assert Image.open(written.strip()).width > 600


def test_an_image_of_another_size_or_colour_needs_convert(inside, capsys, refused):
    Image.fromarray(np.zeros((9, 8, 3), np.uint8)).save("colour.png")
    error = refused("predict", "tiny/1", "colour.png")
    assert "colour.png is 9×8×3" in error
    assert "takes 8×8×1" in error
    main(["predict", "tiny/1", "colour.png", "--convert"])
    assert capsys.readouterr().out.startswith("colour.png: ")


def test_a_file_that_is_no_experiment_is_refused(tmp_path, refused):
    (tmp_path / "empty.py").touch()
    assert "needs a dataclass Config and build" in refused("train", tmp_path / "empty.py")


def test_names_complete_in_the_shell(tmp_path):
    line = "jdl summary lenet"
    done = subprocess.run(
        JDL,
        env=os.environ
        | {
            "_ARGCOMPLETE": "1",
            "_ARGCOMPLETE_STDOUT_FILENAME": str(tmp_path / "out"),
            "COMP_LINE": line,
            "COMP_POINT": str(len(line)),
            "_ARGCOMPLETE_IFS": "\n",
        },
        capture_output=True,
        text=True,
        check=False,
    )
    completions = (tmp_path / "out").read_text().split()
    assert set(completions) == {"lenet5", "lenet5_relu", "lenet5_1998", "lenet1989"}, done


@pytest.mark.slow
@pytest.mark.parametrize(
    "arguments",
    [["--help"], ["list"], ["train", "lenet5_mnist", "--help"], ["train", "nothing"]],
)
def test_it_answers_in_under_three_seconds(arguments):
    """Or on a busy machine in twice what its libraries alone take to import."""

    def seconds(command):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run(command, capture_output=True, check=False)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        return after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime

    libraries = [sys.executable, "-c", "import jax, flax.linen, optax, orbax.checkpoint"]
    taken = [(seconds([*JDL, *arguments]), seconds(libraries)) for _ in range(3)]
    ours, theirs = map(min, zip(*taken))
    assert ours < max(3, 2 * theirs)


def test_importing_jdl_is_quick_and_starts_no_backend():
    code = (
        "import time; start = time.perf_counter(); import jdl; "
        "seconds = time.perf_counter() - start; jdl.create_model; "
        "from jax._src import xla_bridge; print(seconds, xla_bridge.backends_are_initialized())"
    )
    out = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout.split()
    assert float(out[0]) < 2
    assert out[1] == "False"
