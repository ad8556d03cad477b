"""Recipes that end with a verdict: two steps of each, and the command that writes their table."""

import sys
from pathlib import Path

import numpy as np
import pytest

import jdl.launch
from jdl.cli import main
from jdl.explore.recipes import HEAD
from jdl.launch import experiment_files, load_experiment
from jdl.train.options import Options
from jdl.train.reporting import read_metrics

FEW = {"steps": 2, "seeds": 2, "batch_size": 4}
SMALL = FEW | {"dataset": "digits8x8", "hidden_sizes": (4,)}
DEEP = FEW | {"dataset": "digits8x8", "depth": 2, "width": 4}
# What makes each recipe small; test_experiments compares these names with the folder's.
SHRUNK = {
    "vanishing_gradients": DEEP,
    "initializations": DEEP,
    "batch_normalization": FEW | {"dataset": "digits8x8", "learning_rates": (0.1,)},
    "overfitting": SMALL | {"labels": 8},
    "optimizers": SMALL,
    "schedules": SMALL | {"steps": 5},
    "gradient_noise": DEEP,
    "curriculum": SMALL,
    "multitask": SMALL | {"labels": 8, "features": 4},
    "transfer": FEW | {"source_steps": 2, "labels": 1},
    "ensemble": SMALL | {"labels": 8, "members": 2},
    "ten_crop": SMALL,
}
README = experiment_files()["ensemble"].parent / "README.md"


@pytest.mark.slow
@pytest.mark.parametrize("name", SHRUNK)
def test_two_steps(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    module = load_experiment(name)
    run = jdl.launch.train(module, module.Config(**SHRUNK[name]), Options(devices=1))
    *_, test, _ = read_metrics(run)
    assert test["split"] == "test"
    told = {key: value for key, value in test.items() if "/" in key}
    assert len(told) >= 2
    assert all(np.isfinite(value).all() for value in told.values())
    assert (run / "figures/verdict.png").exists()
    sentence = (run / "verdict.txt").read_text()
    assert sentence.startswith("Against ")
    assert "2 seeds" in sentence


@pytest.mark.parametrize("name", SHRUNK)
def test_the_docstring_is_a_label(name):
    label = load_experiment(name).__doc__
    for part in ("https://", f"jdl train {name}", "Seeds", "cores", "Result"):
        assert part in label, f"{name}'s docstring does not say {part!r}"


def rows():
    lines = [line for line in README.read_text().splitlines() if line.startswith("| `")]
    return {cells[0].strip("`"): cells for line in lines for cells in [line[2:-2].split(" | ")]}


def test_every_recipe_has_its_verdict_in_the_table():
    assert set(rows()) == set(SHRUNK)
    for name, (_, compared, numbers, verdict, seconds) in rows().items():
        label = load_experiment(name).__doc__
        assert compared == label.partition("\n")[0]
        assert f"Result: {verdict}" in " ".join(label.split())
        assert numbers.count("±") >= 2
        assert verdict.startswith("Against ")
        assert 0 < int(seconds) < 600


# What a recipe leaves behind, without a network.
GOOD = '''"""One thing against another."""
import pathlib
run = pathlib.Path("runs/good/1")
run.mkdir(parents=True)
(run / "config.json").write_text("{}")
(run / "numbers.txt").write_text("a 1 ± 0, b 2 ± 0\\n")
(run / "verdict.txt").write_text("Against a, b is better.\\n")
(run / "metrics.jsonl").write_text('{"split": "run", "step": 1, "wall_clock": 12.3}\\n')
'''
BROKEN = '"""What nobody compares."""\nraise SystemExit(3)'


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    recipes = tmp_path / "experiments/recipes"
    recipes.mkdir(parents=True)
    (recipes / "broken.py").write_text(BROKEN)
    (recipes / "good.py").write_text(GOOD)
    (recipes / "never.py").write_text('"""What nobody ran."""')
    (recipes / "README.md").write_text("# Mine\n\n| old |\n\nThe end.\n")
    return recipes


def test_the_table_is_written_from_the_runs_also_of_those_that_failed(folder, refused):
    (Path("runs/never/1")).mkdir(parents=True)
    assert "broken failed" in refused("recipes", "broken", "good")
    text = (folder / "README.md").read_text()
    assert text.startswith(f"# Mine\n\n| {' | '.join(HEAD)} |\n")
    assert text.endswith("\n\nThe end.\n")
    assert "| `good` | One thing against another. | a 1 ± 0, b 2 ± 0 | Against a, b is" in text
    assert "is better. | 12 |" in text
    assert "| `broken` | What nobody compares. |  | **Failed** with status 3" in text
    assert "| `never` | What nobody ran. |  | **No run:** `jdl recipes never` makes one." in text
    # The real ones have no run in this folder either.
    assert "| `ensemble` |" in text


def test_a_run_that_did_not_finish_is_said_so(folder):
    good = (folder / "good.py").read_text()
    (folder / "good.py").write_text(good.replace('"split": "run"', '"split": "train"'))
    main(["recipes", "good", "--output", "table.md"])
    assert "**Not finished:** `jdl train good --name 1 --resume`" in Path("table.md").read_text()
    assert "| old |" in (folder / "README.md").read_text()


def test_an_unknown_recipe_is_refused_before_any_runs(folder, refused):
    assert "unknown recipe 'goood'; the closest names are good" in refused("recipes", "goood")
    assert not Path("runs").exists()
    assert sys.modules.get("good") is None
