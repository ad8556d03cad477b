"""Every experiment's `build` runs two steps on a shrunk Config, and shows its figures.

Recipes for whose datasets there is no room here are tested in `test_recipes`, those that compare
what a technique does in `test_verdicts`.
"""

import dataclasses
from functools import partial
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jdl
from jdl.data import BucketLoader, TokenWindowLoader
from jdl.errors import UserError
from jdl.launch import experiment_files, load_experiment, parse_flags, train
from jdl.train.options import Options
from jdl.train.reporting import read_metrics

from .test_recipes import SHRUNK as RECIPES
from .test_verdicts import SHRUNK as VERDICTS

# What makes each experiment small; a test below compares these names with the folder's.
SHRUNK = {
    "lenet5_mnist": {"epochs": 1},
    "unet_digit_scenes": {"epochs": 1, "features": (4, 8), "batch_size": 4},
    "fcn_digit_scenes": {"epochs": 1, "widths": (2,) * 5, "hidden": 4},
    "unet_cracks": {"epochs": 1, "features": (4, 8), "batch_size": 4},
    "unet_instances": {"epochs": 1, "features": (4, 8), "batch_size": 4},
    "denoising_photos": {"epochs": 1, "features": (4, 8), "batch_size": 4},
    "deblurring_photos": {"epochs": 1, "features": 4, "num_blocks": 1, "batch_size": 4},
    "superresolution_photos": {"epochs": 1, "features": (4, 8), "batch_size": 4},
    "lstm_char": {"dataset": "bible_en", "steps": 20, "hidden_size": 8, "window": 8},
    "bert_bible": {"width": 16, "num_heads": 2, "num_layers": 1, "batch_size": 8},
    "bert_finetune": {"verses": 64, "epochs": 1},
    "captioning_digit_scenes": {"epochs": 1, "features": (8, 8, 8, 8), "batch_size": 8},
    "gpt_char": {"dataset": "bible_en", "byte_pairs": 260, "steps": 20, "width": 8, "window": 8},
    "vae_mnist": {"epochs": 1, "latent_size": 2, "importance_samples": 2},
    "gaussian_faces25": {},
    "bayes_mnist": {"sizes": (2, 5), "shrinkages": (0.1, 0.5), "steps": 4},
    "autoencoder_mnist": {"dataset": "faces25", "epochs": 1, "labels": 30},
    "denoising_mnist": {"dataset": "faces25", "epochs": 1, "latent_size": 4},
    "anomaly_mnist": {"epochs": 1, "latent_size": 2},
    "pretraining_mnist": {"epochs": 1, "hidden_sizes": (8, 8)},
    "finetuning_mnist": {"steps": 2, "labels": 80},
    "dcgan_mnist": {
        "steps": 2,
        "generator_features": 4,
        "discriminator_features": 4,
        "batch_size": 8,
    },
    "stylegan_mnist": {"steps": 2, "base_features": 64, "style_size": 8, "batch_size": 8},
    "pix2pix_digit_scenes": {"epochs": 1, "base_features": 2},
    "ddpm_mnist": {"steps": 20, "channels": 8, "batch_size": 8},
    "ddpm_guided_mnist": {"steps": 20, "channels": 8, "batch_size": 8},
    "ddpm_digit_scenes": {
        "steps": 20,
        "channels": 8,
        "batch_size": 8,
        "text_width": 8,
        "text_layers": 1,
        "captioner": "captioning_digit_scenes",
    },
    "score_sde_mnist": {"steps": 20, "channels": 8, "batch_size": 8, "rated": 2},
    "score_sde_mixture": {"points": 100, "width": 8, "epochs": 1, "batch_size": 8},
    "perceptron_digits8x8": {"epochs": 1},
    "neocognitron_mnist": {"rounds": 1, "num_classes": 2},
    "zoo_mnist": {"model": "lenet5_1998", "epochs": 1},
    "residual_mnist": {"epochs": 1},
    "compound_scaling_mnist": {"alpha": 0.3, "beta": 0.5, "epochs": 1},
    "convnet_1d_stocks": {"epochs": 1},
    "convnet_3d_moving_digits": {"epochs": 1, "features": (2, 2)},
    "adding_problem": {"length": 8, "num_examples": 40, "num_blocks": 1},
    "forecasting_stocks": {"epochs": 1, "num_blocks": 1},
    "g2p_cmudict": {
        "hidden_size": 8,
        "embedding_size": 8,
        "filters": 8,
        "batch_size": 16,
        "boundaries": (28,),
    },
    "translation_bible_en_ja": {
        "vocabulary_size": 300,
        "width": 8,
        "mlp_width": 8,
        "num_layers": 1,
    },
}


# Whose runs others begin with.
JUDGED = ("dcgan_mnist", "stylegan_mnist", "ddpm_mnist", "ddpm_guided_mnist", "score_sde_mnist")
NEEDED = {
    **dict.fromkeys(JUDGED, "lenet5_mnist"),
    "ddpm_digit_scenes": "captioning_digit_scenes",
    "bert_finetune": "bert_bible",
    "finetuning_mnist": "pretraining_mnist",
}


def test_every_experiment_is_tested():
    names = [*SHRUNK, *RECIPES, *VERDICTS]
    assert sorted(experiment_files()) == sorted(names)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("experiments")


def shorten(experiment):
    """Two steps, a handful of examples to measure on, and samples in two strides."""
    test, task = experiment.test or experiment.validation, experiment.task
    if hasattr(task, "sampler"):
        task = dataclasses.replace(task, sampler=partial(task.sampler, steps=2))
    if isinstance(test, BucketLoader):
        few = {
            name: [ids[:length] for ids, length in zip(padded[:8], test.lengths[name])]
            for name, padded in test.padded.items()
        }
        arrays = {name: array[:8] for name, array in test.arrays.items()}
        test = BucketLoader(few, 8, boundaries=test.boundaries.tolist(), arrays=arrays)
    elif isinstance(test, TokenWindowLoader):
        test = TokenWindowLoader(test.tokens[: 8 * test.window], test.window, 8)
    elif hasattr(test, "arrays"):
        few = {name: array[:8] for name, array in test.arrays.items()}
        test = type(test)(few, 8)
    for name in ("sentences", "pictures"):
        if hasattr(task, name):
            task = dataclasses.replace(task, **{name: getattr(task, name)[:8]})
    if hasattr(getattr(task, "model", None), "stage_sizes"):
        # Three blocks of their kind compile sooner than nine.
        task = dataclasses.replace(task, model=task.model.clone(stage_sizes=(1, 1, 1)))
    return dataclasses.replace(
        experiment, task=task, num_steps=2, evaluate_every=2, validation=test, test=test
    )


# They show what they draw while they are trained.
DRAWING = [
    *("dcgan_mnist", "stylegan_mnist", "pix2pix_digit_scenes", "vae_mnist", "score_sde_mnist"),
    *("ddpm_mnist", "ddpm_guided_mnist", "ddpm_digit_scenes"),
]


# Whose texts take seconds to be cut into tokens; no other experiment begins with a run of theirs.
WORDY = ("gpt_char", "g2p_cmudict", "translation_bible_en_ja")


def train_two_steps(name, monkeypatch, fewer_texts):
    """Runs an experiment where others look for it; returns the run's folder."""
    module = load_experiment(name)
    if name in WORDY:
        fewer_texts(module)
    monkeypatch.setattr(module, "build", lambda config, build=module.build: shorten(build(config)))
    return train(module, module.Config(**SHRUNK[name]), Options(devices=1)).resolve()


@pytest.mark.slow
@pytest.mark.parametrize("name", SHRUNK)
def test_two_steps(name, folder, monkeypatch, fewer_texts):
    monkeypatch.chdir(folder)
    if name in NEEDED and not Path("runs", NEEDED[name]).exists():
        train_two_steps(NEEDED[name], monkeypatch, fewer_texts)
    run = train_two_steps(name, monkeypatch, fewer_texts)
    (test,) = (line for line in read_metrics(run) if line.pop("split") == "test")
    assert all(np.isfinite(np.nanmean(np.array(value, float))) for value in test.values())
    assert len(list((run / "figures").glob("*.png"))) >= 2
    if name in DRAWING:
        assert list((run / "figures").glob("*_2.png"))  # after step 2, not at the end
    if name in ("lstm_char", "gpt_char"):
        assert (run / "sample.txt").read_text()
    if name == "forecasting_stocks":
        assert "MSFT" in (run / "errors.txt").read_text()
    if name == "ddpm_digit_scenes":
        assert (run / "sentences.txt").read_text().startswith("samples: ")
    if name == "translation_bible_en_ja":
        assert (run / "translations.txt").read_text().startswith("BLEU")


@pytest.mark.parametrize("name", ["dcgan_mnist", "bert_finetune", "finetuning_mnist"])
def test_another_run_than_the_default_is_not_trained_on_the_way(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    module = load_experiment(name)
    needed = next(f.name for f in dataclasses.fields(module.Config) if f.default == NEEDED[name])
    config = module.Config(**{needed: f"{NEEDED[name]}/9"})
    with pytest.raises(UserError, match=f"there is no run '{NEEDED[name]}/9'"):
        module.build(config)


def test_stylegans_discriminator_sees_nothing_beyond_black_and_white():
    gan = load_experiment("stylegan_mnist")
    image = jnp.linspace(-3, 3, 32 * 32).reshape(32, 32, 1)
    seen = gan.clip_and_shift(jax.random.key(0), image)
    assert (float(seen.min()), float(seen.max())) == (-1.0, 1.0)


@pytest.mark.parametrize("name", SHRUNK)
def test_the_docstring_is_a_label(name):
    """Paper, command, seed, hardware, wall-clock and result: all of them, before anything else."""
    label = load_experiment(name).__doc__
    for part in ("https://", f"jdl train {name}", "Seed", "core", "Result"):
        assert part in label, f"{name}'s docstring does not say {part!r}"


@pytest.mark.slow
@pytest.mark.parametrize("name", load_experiment("zoo_mnist").SMALL)
def test_every_network_of_the_zoo_takes_digits(name):
    zoo = load_experiment("zoo_mnist")
    model = zoo.build(zoo.Config(model=name, epochs=1)).task.model
    images = jnp.zeros((2, 28, 28, 1))
    y, _ = jax.eval_shape(lambda: model.init_with_output(jax.random.key(0), images))
    assert y.shape == (2, 10)


def test_windows_of_prices_see_nothing_of_what_they_forecast():
    windows = load_experiment("convnet_1d_stocks").windows
    days = 40
    price = np.exp(np.cumsum(np.random.RandomState(0).randn(2 * days)))
    table = {
        "ticker": np.repeat([0, 1], days),
        "adj_close": price,
        "high": 1.1 * price,
        "low": 0.9 * price,
        "volume": price,
    }
    cut = windows(table, 8)
    # 39 returns; the last five of each company are only forecast.
    assert cut["image"].shape == (2 * (39 - 8 - 5 + 1), 8, 3)
    returns = np.diff(np.log(price[:days]))
    for i in (0, 3, 26):
        np.testing.assert_allclose(cut["image"][i, :, 0], returns[i : i + 8])
        np.testing.assert_allclose(cut["today"][i], returns[i + 7])
        np.testing.assert_allclose(cut["tomorrow"][i], returns[i + 8])
        week = np.sqrt(np.mean(returns[i + 8 : i + 13] ** 2))
        np.testing.assert_allclose(cut["next_week"][i], week)
        before = np.sqrt(np.mean(returns[i + 3 : i + 8] ** 2))
        np.testing.assert_allclose(cut["last_week"][i], before)


@pytest.mark.parametrize("name", ["tcn", "signal_lstm"])
def test_a_shuffled_future_changes_no_forecast_of_the_past(name):
    stocks = load_experiment("forecasting_stocks")
    days, window, cut = 60, 12, 20
    random = np.random.RandomState(0)

    def table(seed):
        draws = np.random.RandomState(seed).randn(2, 2 * days)
        price, volume = np.exp(np.cumsum(draws / 50, axis=1))
        high = price * (1 + draws[1] ** 2)
        columns = {"adj_close": price, "high": high, "low": price, "volume": volume}
        return {"ticker": np.repeat([0, 1], days), **columns}

    shuffled, order = table(2), np.arange(2 * days)
    for ticker in range(2):
        random.shuffle(order[ticker * days :][cut + 1 : days])
    shuffled = {key: column[order] for key, column in shuffled.items() if key != "ticker"}
    shuffled["ticker"] = table(2)["ticker"]

    def forecasts(test):
        splits = {"train": table(0), "validation": table(1), "test": test}
        made = {key: stocks.windows(value, ["A", "B"], window) for key, value in splits.items()}
        scaled = stocks.scaled(made)
        model = jdl.create_model(name, **({"features": (4, 4)} if name == "tcn" else {}))
        variables = jax.jit(model.init)(jax.random.key(0), scaled["test"].inputs)
        return made, scaled, np.asarray(jax.jit(model.apply)(variables, scaled["test"].inputs))

    made, scaled, before = forecasts(table(2))
    _, other, after = forecasts(shuffled)
    np.testing.assert_array_equal(scaled["train"].inputs, other["train"].inputs)
    seen = scaled["train"].inputs
    np.testing.assert_allclose(seen.mean((0, 1)), 0, atol=1e-5)
    np.testing.assert_allclose(seen.std((0, 1)), 1, atol=1e-5)
    # Window i ends with day i + window, which is today; only the day after it is forecast.
    count = days - window - 1
    assert len(before) == 2 * count
    for ticker in range(2):
        first = ticker * count
        price = table(2)["adj_close"][ticker * days :]
        for i in (0, 5, count - 1):
            assert made["test"].price[first + i] == price[i + window]
            change = np.log(price[i + window + 1] / price[i + window])
            np.testing.assert_allclose(made["test"].change[first + i], change, rtol=1e-6)
        past = slice(first, first + cut - window + 1)
        np.testing.assert_array_equal(before[past], after[past])
        # A window that reaches into the future still answers for its days before as before.
        reaching = first + cut - window + 3
        np.testing.assert_allclose(before[reaching, :-3], after[reaching, :-3], atol=1e-6)
        assert (before[reaching, -1] != after[reaching, -1]).all()


def test_the_grid_of_compound_scaling_costs_twice_the_base():
    scaling = load_experiment("compound_scaling_mnist")
    assert len(scaling.grid()) > 5
    for alpha, beta, gamma in scaling.grid():
        assert min(alpha, beta, gamma) >= 1
        assert abs(alpha * beta**2 * gamma**2 - 2) <= 0.2
    assert scaling.sweep[0] == scaling.Config()


def test_every_row_of_the_table_is_a_command_that_works():
    readme = experiment_files()["zoo_mnist"].parent / "README.md"
    rows = [line for line in readme.read_text().splitlines() if line.startswith("| `")]
    commands = [row.split("`")[1].split() for row in rows]
    assert {(jdl, train) for jdl, train, *_ in commands} == {("jdl", "train")}
    configs = [parse_flags(load_experiment(name), flags)[0] for _, _, name, *flags in commands]
    zoo = load_experiment("zoo_mnist")
    assert {c.model for c in zoo.sweep} == {c.model for c in configs if hasattr(c, "model")}
    accuracies = [float(row.split("|")[2].strip(" %")) for row in rows]
    assert accuracies == sorted(accuracies, reverse=True)
    assert accuracies[0] >= 98.8


def test_mosaics_keep_each_mask_on_its_scene():
    mosaics = load_experiment("fcn_digit_scenes").mosaics
    scenes = np.arange(40 * 2 * 3).reshape(40, 2, 3)
    images, masks = mosaics(scenes[..., None]), mosaics(scenes)
    assert images.shape == (2, 16, 30, 1)
    np.testing.assert_array_equal(images[..., 0], masks)
    # The seventh scene of the second image: second row, second column.
    np.testing.assert_array_equal(masks[1, 4:8:2, 6:12:2], scenes[26])
    np.testing.assert_array_equal(masks[1, 5:8:2, 7:12:2], scenes[26])


def test_photographs_are_drawn_from_edges_too():
    pix2pix = load_experiment("pix2pix_digit_scenes")
    experiment = pix2pix.build(pix2pix.Config(dataset="photos", base_features=2))
    batch = next(experiment.test.eval_batches())
    state = jax.eval_shape(experiment.task.init, jax.random.key(0), batch)
    metrics = jax.eval_shape(experiment.task.eval_step, state, batch, jax.random.key(0))
    assert set(metrics) == {"distance"}
    with pytest.raises(UserError, match="edges are found in colour images, these have 1 channel"):
        pix2pix.build(pix2pix.Config(dataset="faces25"))
