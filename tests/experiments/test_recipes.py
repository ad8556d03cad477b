"""Recipes for datasets that are not at hand: two steps and an evaluation on random images.

Their schedules are compared with the papers' numbers, and their docstrings must say that nobody ran
them to the end.
"""

import dataclasses
import re

import jax
import numpy as np
import pytest

import jdl.data.cifar
import jdl.data.imagenet
from jdl.data import Dataset
from jdl.launch import list_experiments, load_experiment
from jdl.models.registry import model_info
from jdl.models.vision import googlenet, googlenet_2014, mobilenet_v2
from jdl.train.loop import measure
from jdl.train.metrics import compute
from jdl.train.options import Options
from jdl.train.parallel import make_executor

IMAGENET = {"batch_size": 2, "num_workers": 0}
# What makes each recipe small; test_experiments compares these names with the folder's.
SHRUNK = {
    "resnet_cifar10": {"batch_size": 2},
    "densenet_cifar10": {"batch_size": 2},
    "alexnet_imagenet": IMAGENET | {"image_size": 67},
    "zfnet_imagenet": IMAGENET | {"image_size": 64},
    "vgg_imagenet": IMAGENET | {"image_size": 32, "model": "vgg11"},
    "googlenet_imagenet": IMAGENET | {"image_size": 96},
    # Its own auxiliary head takes no smaller images, and would compile for minutes.
    "inception_v3_imagenet": IMAGENET | {"image_size": 64, "model": "googlenet"},
    "resnet_imagenet": IMAGENET | {"image_size": 64},
    "densenet_imagenet": IMAGENET | {"image_size": 64},
    "mobilenet_v2_imagenet": IMAGENET | {"image_size": 64},
    "efficientnet_imagenet": IMAGENET | {"image_size": 64},
    "vit_imagenet": IMAGENET
    | {"image_size": 32, "model": "vit_ti_16", "batch_size": 4, "microbatches": 2}
    | {"warmup_steps": 1},
    "swin_imagenet": IMAGENET | {"image_size": 64, "batch_size": 4},
}
# Fewer layers of the same kinds, which compile sooner.
FEWER = {
    "resnet_cifar10": {"stage_sizes": (1, 1, 1)},
    "densenet_cifar10": {"block_sizes": (2, 2, 2)},
    "alexnet_imagenet": {"hidden": 64},
    "zfnet_imagenet": {"hidden": 64},
    "resnet_imagenet": {"stage_sizes": (1, 1, 1, 1)},
    "densenet_imagenet": {"block_sizes": (2, 2, 2, 2)},
    "efficientnet_imagenet": {"width": 0.25, "depth": 0.25},
    "vit_imagenet": {"num_layers": 2},
    "swin_imagenet": {"stage_sizes": (2, 1, 1, 1)},
}


def photographs(name, split, data_dir=None):
    """Eight images of several sizes, as TFDS decodes them."""
    random = np.random.default_rng(len(split))
    sizes = [(300, 400), (400, 300), (280, 500), (260, 260)] * 2
    source = [
        {
            "file_name": b"n01440764_1.JPEG",
            "image": random.integers(0, 256, (*size, 3), np.uint8),
            "label": int(random.integers(1000)),
        }
        for size in sizes
    ]
    return Dataset(name, split, source, None)


class Small(Dataset):
    """Eight images of 32×32 pixels."""

    def arrays(self):
        random = np.random.default_rng(len(self.split))
        return {
            "id": np.array([f"train_{i}" for i in range(8)], object),
            "image": random.integers(0, 256, (8, 32, 32, 3), np.uint8),
            "label": random.integers(0, 10, 8).astype(np.int32),
        }


@pytest.fixture
def synthetic(monkeypatch):
    monkeypatch.setattr(jdl.data.imagenet, "load", photographs)
    monkeypatch.setattr(
        jdl.data.cifar, "load", lambda name, split, data_dir=None: Small(name, split, None, None)
    )


@pytest.fixture
def few_blocks(monkeypatch):
    """The same kinds of blocks, but fewer, in networks that have no field that says how many."""
    stages = mobilenet_v2.STAGES
    monkeypatch.setattr(mobilenet_v2, "STAGES", stages[:2] + stages[-1:])
    for module in (googlenet, googlenet_2014):
        with_heads = {block: module.BLOCKS[block] for block in ("4a", "4d")}
        monkeypatch.setattr(module, "BLOCKS", with_heads)


def shrunk(name):
    module = load_experiment(name)
    experiment = module.build(module.Config(**SHRUNK[name]))
    model = experiment.task.model.clone(**FEWER.get(name, {}))
    return dataclasses.replace(experiment, task=dataclasses.replace(experiment.task, model=model))


@pytest.mark.slow
@pytest.mark.parametrize("name", SHRUNK)
def test_two_steps(name, synthetic, few_blocks):
    experiment = shrunk(name)
    executor = make_executor(experiment.task, experiment.seed, Options(devices=1))
    batches = experiment.train.train_batches()
    state = executor.init(next(batches))
    before = jax.device_get(state.params)
    for step in range(2):
        state, metrics = executor.train_step(state, next(batches), step)
    losses = compute(jax.device_get(metrics))
    assert np.isfinite(losses["loss"])
    # The first step of a warm-up has a rate of zero, but not the second.
    moved = jax.tree.map(lambda new, old: bool((new != old).any()), state.params, before)
    assert all(moved for path, moved in jax.tree.leaves_with_path(moved) if "kernel" in str(path))
    expected = {"loss", "accuracy"} | ({"top_5_accuracy"} if name.endswith("imagenet") else set())
    for run, loader in (
        (executor.eval_step, experiment.validation),
        (executor.test_step, experiment.test),
    ):
        values = measure(run, executor, state, loader)
        assert set(values) == expected
        assert np.isfinite(values["loss"])


# With auxiliary heads, as in the papers.
PARAMS = {"googlenet_imagenet": 13_378_280, "inception_v3_imagenet": 27_161_264}


@pytest.mark.slow
@pytest.mark.parametrize("name", SHRUNK)
def test_the_network_of_the_paper_takes_the_images_of_the_paper(name, synthetic):
    """At full size, traced and not computed."""
    module = load_experiment(name)
    small = {"batch_size": 2} | ({"num_workers": 0} if name.endswith("imagenet") else {})
    if name == "vit_imagenet":
        small["warmup_steps"] = 1  # Here are not enough images for ten thousand.
    experiment = module.build(module.Config(**small))
    task, key = experiment.task, jax.random.key(0)
    batch, test_batch = experiment.train.batch(0), next(experiment.test.eval_batches())
    state = jax.eval_shape(task.init, key, batch)
    count = sum(leaf.size for leaf in jax.tree.leaves(state.params))
    assert count == PARAMS.get(name, model_info(module.Config().model).params)
    after, _ = jax.eval_shape(task.train_step, state, batch, key)
    assert jax.tree.map(lambda leaf: (leaf.shape, leaf.dtype), after) == jax.tree.map(
        lambda leaf: (leaf.shape, leaf.dtype), state
    )
    values = jax.eval_shape(task.test_step, state, test_batch, key)
    assert values["accuracy"].total.shape == ()


@pytest.mark.parametrize("name", SHRUNK)
def test_the_docstring_says_that_it_was_not_run(name):
    label = " ".join(load_experiment(name).__doc__.split())
    for part in ("Paper:", "https://", f"jdl train {name}", "has not been run to the end here"):
        assert part in label, f"{name}'s docstring does not say {part!r}"
    assert re.search(r"The paper reports \(Tables? [\d, and]+.*?\).* \d+\.\d+ %", label)
    assert "cores" not in label  # No claim to have measured anything.
    assert list_experiments(name)[name]


@pytest.mark.parametrize("name", ["resnet_imagenet", "resnet_cifar10"])
def test_a_dataset_that_is_not_there_is_asked_for_by_name(name, tmp_path, monkeypatch, capsys):
    from jdl.cli import main

    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path))
    with pytest.raises(SystemExit) as exit:
        main(["train", name, "--runs", str(tmp_path / "runs")])
    assert exit.value.code == 2
    dataset = load_experiment(name).Config().dataset
    assert f"prepare it with: jdl data prepare {dataset}" in capsys.readouterr().err


def rates(name, *arguments, steps, **config):
    """What the recipe's schedule gives at some steps."""
    module = load_experiment(name)
    schedule = module.schedule(module.Config(**config), *arguments)
    return [float(schedule(step)) for step in steps]


EPOCH = 1000  # Updates.


@pytest.mark.parametrize(
    ("name", "arguments", "steps", "expected"),
    [
        (
            "resnet_cifar10",
            (),
            (0, 31_999, 32_001, 47_999, 48_001),
            (0.1, 0.1, 0.01, 0.01, 0.001),
        ),
        (
            "densenet_cifar10",
            (300 * EPOCH,),
            (0, 149 * EPOCH, 151 * EPOCH, 224 * EPOCH, 226 * EPOCH),
            (0.1, 0.1, 0.01, 0.01, 0.001),
        ),
        (
            "alexnet_imagenet",
            (80 * EPOCH,),
            (0, 19 * EPOCH, 21 * EPOCH, 41 * EPOCH, 61 * EPOCH),
            (1e-2, 1e-2, 1e-3, 1e-4, 1e-5),
        ),
        (
            "zfnet_imagenet",
            (80 * EPOCH,),
            (0, 19 * EPOCH, 21 * EPOCH, 41 * EPOCH, 61 * EPOCH),
            (1e-2, 1e-2, 1e-3, 1e-4, 1e-5),
        ),
        (
            "vgg_imagenet",
            (),
            (0, 92_000, 93_000, 186_000, 278_000),
            (1e-2, 1e-2, 1e-3, 1e-4, 1e-5),
        ),
        (
            "googlenet_imagenet",
            (EPOCH,),
            (0, 8 * EPOCH - 1, 8 * EPOCH, 16 * EPOCH),
            (0.01, 0.01, 0.01 * 0.96, 0.01 * 0.96**2),
        ),
        (
            "inception_v3_imagenet",
            (EPOCH,),
            (0, 2 * EPOCH - 1, 2 * EPOCH, 100 * EPOCH),
            (0.045, 0.045, 0.045 * 0.94, 0.045 * 0.94**50),
        ),
        (
            "resnet_imagenet",
            (),
            (0, 149_999, 150_001, 300_001, 450_001),
            (0.1, 0.1, 0.01, 0.001, 0.0001),
        ),
        (
            "densenet_imagenet",
            (EPOCH,),
            (0, 30 * EPOCH - 1, 30 * EPOCH + 1, 60 * EPOCH + 1),
            (0.1, 0.1, 0.01, 0.001),
        ),
        (
            "mobilenet_v2_imagenet",
            (EPOCH,),
            (0, EPOCH - 1, EPOCH, 10 * EPOCH),
            (0.045, 0.045, 0.045 * 0.98, 0.045 * 0.98**10),
        ),
        (
            "efficientnet_imagenet",
            (EPOCH,),
            # The decay counts from the beginning: two steps of it are past after the warm-up.
            (0, 2500, 4999, 5000, 7200, 24 * EPOCH),
            (0, 0.128, 0.2559488, 0.256 * 0.97**2, 0.256 * 0.97**3, 0.256 * 0.97**10),
        ),
        (
            "vit_imagenet",
            (90_000,),
            (0, 5000, 10_000, 50_000, 90_000),
            (0, 1.5e-3, 3e-3, 1.5e-3, 0),
        ),
        (
            "swin_imagenet",
            (EPOCH,),
            (0, 20 * EPOCH, 160 * EPOCH, 300 * EPOCH),
            (1e-6, 1e-3, (1e-3 + 1e-5) / 2, 1e-5),
        ),
    ],
)
def test_schedules_are_the_papers(name, arguments, steps, expected):
    assert rates(name, *arguments, steps=steps) == pytest.approx(expected, rel=1e-5, abs=1e-12)


def test_the_hundred_and_ten_layers_are_warmed_up():
    found = rates("resnet_cifar10", steps=(0, 399, 401, 32_001, 48_001), model="resnet110_cifar")
    assert found == pytest.approx([0.01, 0.01, 0.1, 0.01, 0.001], rel=1e-5)


def test_every_recipe_has_a_schedule_that_is_tested():
    (mark,) = (m for m in test_schedules_are_the_papers.pytestmark if m.name == "parametrize")
    assert {case[0] for case in mark.args[1]} == set(SHRUNK)
