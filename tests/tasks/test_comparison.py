"""Trainings side by side are those alone; and what numbers say, in words."""

import dataclasses
import json

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jdl import create_model
from jdl.data import InMemoryLoader, SideBySideLoader
from jdl.data.curriculum import CurriculumLoader
from jdl.errors import UserError
from jdl.ops.significance import holm, paired_difference
from jdl.tasks.classification import Classification
from jdl.tasks.comparison import DIVERGED, Comparison
from jdl.tasks.verdicts import numbers, verdict
from jdl.train.loop import fit
from jdl.train.metrics import Mean, compute
from tests.train.tiny import Config, build

SEEDS = 2


def classifier(rate=0.1, dropout=0.0):
    model = create_model("mlp", hidden_sizes=(8,), num_classes=4, dropout=dropout)
    return Classification(model, optax.sgd(rate), num_classes=4)


def loaders(count=SEEDS, size=4):
    draw = np.random.default_rng(0)
    arrays = [
        {
            "image": draw.uniform(0, 1, (12, 4, 4, 1)).astype(np.float32),
            "label": draw.integers(0, 4, 12).astype(np.int32),
        }
        for _ in range(count)
    ]
    return [InMemoryLoader(one, size, seed=seed) for seed, one in enumerate(arrays)]


def on_device(batch):
    return jax.tree.map(jnp.asarray, batch)


def test_each_seed_learns_what_it_would_learn_alone():
    alone, loader = loaders(), SideBySideLoader(loaders())
    one, key = classifier(dropout=0.5), jax.random.key(3)
    task = Comparison({"one": one, "still": classifier(0.0)}, SEEDS)
    step, own_step = jax.jit(task.train_step), jax.jit(one.train_step)
    start = state = jax.jit(task.init)(key, on_device(loader.batch(0)))
    for n in range(3):
        state, told = step(state, on_device(loader.batch(n)), key)
    losses = compute(told)["one/loss"]
    test = on_device(next(alone[0].eval_batches()))
    measured = compute(jax.jit(task.test_step)(state, test, key))
    for seed in range(SEEDS):
        own_key = jax.random.fold_in(key, seed)
        own = jax.tree.map(lambda x, seed=seed: x[seed], start["one"])
        fresh = jax.jit(one.init)(own_key, on_device(alone[seed].batch(0)))
        jax.tree.map(np.testing.assert_array_equal, own, fresh)
        for n in range(3):
            own, metrics = own_step(own, on_device(alone[seed].batch(n)), own_key)
        learned = jax.tree.map(lambda x, seed=seed: x[seed], state["one"])
        jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-6), learned, own)
        assert losses[seed] == pytest.approx(compute(metrics)["loss"], rel=1e-5)
        accuracy = compute(jax.jit(one.eval_step)(own, test, own_key))["accuracy"]
        assert measured["one/accuracy"][seed] == pytest.approx(accuracy)
    assert len(set(losses)) == SEEDS  # They have other weights and other examples.
    jax.tree.map(np.testing.assert_array_equal, state["still"].params, start["still"].params)


def test_tasks_may_have_batches_of_their_own():
    task = Comparison({"a": classifier(), "b": classifier()}, seeds=1)
    mine, others = loaders(2)
    key = jax.random.key(0)
    separate = on_device(SideBySideLoader({"a": [mine], "b": [others]}).batch(0))
    state, step = jax.jit(task.init)(key, separate), jax.jit(task.train_step)
    moved, _ = step(state, separate, key)
    for name, loader in (("a", mine), ("b", others)):
        expected, _ = step(state, on_device(SideBySideLoader([loader]).batch(0)), key)
        jax.tree.map(np.testing.assert_array_equal, moved[name].params, expected[name].params)
    different = jax.tree.map(
        lambda a, b: bool((a != b).any()), moved["a"].params, moved["b"].params
    )
    assert all(jax.tree.leaves(different))


class Told(Classification):
    """A classifier that says what it is told to say."""

    def train_step(self, state, batch, key):
        return state, {"loss": Mean(jnp.float32(jnp.inf), jnp.float32(1))}

    def test_step(self, state, batch, key):
        layers = jnp.array([1.0, 2.0]) * jax.random.uniform(key)
        return self.eval_step(state, batch, key) | {"norm": Mean(layers, jnp.ones(2))}


def test_a_divergence_is_bounded_and_a_profile_is_a_mean_over_seeds():
    told = Told(
        **{f.name: getattr(classifier(), f.name) for f in dataclasses.fields(Classification)}
    )
    task = Comparison({"told": told, "plain": classifier()}, SEEDS, profile="norm")
    batch, key = on_device(SideBySideLoader(loaders()).batch(0)), jax.random.key(0)
    state = jax.jit(task.init)(key, batch)
    _, metrics = jax.jit(task.train_step)(state, batch, key)
    assert compute(metrics)["told/loss"] == [DIVERGED] * SEEDS
    assert max(compute(metrics)["plain/loss"]) < 10
    values = compute(jax.jit(task.test_step)(state, batch, key))
    draws = [jax.random.uniform(jax.random.fold_in(key, seed)) for seed in range(SEEDS)]
    assert values["told/norm"] == pytest.approx([np.mean(draws), 2 * np.mean(draws)], rel=1e-5)
    assert set(values) == {"told/norm", "told/accuracy", "plain/accuracy"}


def test_a_run_ends_with_a_verdict_of_its_own_numbers(tmp_path):
    experiment = build(Config(steps=4, evaluate_every=2))
    plain = dataclasses.replace(experiment.task, augment=None)
    still = dataclasses.replace(plain, optimizer=optax.sgd(0.0))
    task = Comparison({"still": still, "learning": plain}, seeds=2)
    experiment = dataclasses.replace(experiment, task=task, monitor=None)
    fit(experiment, tmp_path)
    assert not (tmp_path / "figures/curves.png").exists()
    assert (tmp_path / "figures/verdict.png").stat().st_size > 10_000
    lines = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    (test,) = (line for line in lines if line["split"] == "test")
    measured = {name: np.array(test[f"{name}/accuracy"]) for name in ("still", "learning")}
    said = (tmp_path / "verdict.txt").read_text().strip()
    assert said == verdict(measured, {"learning": "still"})
    assert (tmp_path / "numbers.txt").read_text().strip() == numbers(measured)
    texts, figures = task.conclude(lines)
    assert texts["verdict"] == said
    curves, bars = figures["verdict"].axes
    assert [label.get_text() for label in bars.get_yticklabels()] == ["still", "learning"]
    assert len(curves.lines) == 2


BASE = np.array([0.80, 0.82, 0.81, 0.79, 0.80])
SHIFTS = np.array([0.01, -0.01, 0.0, 0.005, -0.005])


def test_the_sentence_says_better_worse_and_neither():
    measured = {
        "nothing": BASE,
        "help": BASE + 0.1 + 0.1 * SHIFTS,
        "harm": BASE - 0.1 + 0.1 * SHIFTS,
        "noise": BASE + SHIFTS,
        "more noise": BASE - SHIFTS,
    }
    against = dict.fromkeys(["help", "harm", "noise", "more noise"], "nothing")
    assert verdict(measured, against) == (
        "Against nothing (80.4 ± 1.1 % accuracy, 5 seeds), help (+10.0 ± 0.0) is better, noise "
        "(+0.0 ± 0.4) and more noise (+0.0 ± 0.4) make no clear difference and harm (−10.0 ± 0.0) "
        "is worse."
    )


def test_the_sentence_of_a_loss_turns_round():
    measured = {"a": np.array([1.0, 1.1, 1.2]), "b": np.array([0.5, 0.61, 0.7])}
    said = verdict(measured, {"b": "a"}, "digit_loss", larger_is_better=False)
    assert said == "Against a (1.1 ± 0.1 digit loss, 3 seeds), b (−0.497 ± 0.003) is better."
    assert "b (−0.497 ± 0.003) is worse" in verdict(measured, {"b": "a"}, "loss")


def test_the_sentence_has_a_clause_for_each_baseline():
    measured = {"a": BASE, "b": BASE, "c": BASE + SHIFTS, "d": BASE - 0.2 + 0.1 * SHIFTS}
    said = verdict(measured, {"b": "a", "d": "c"})
    assert said.count("against") == 1
    assert said.startswith("Against a (80.4 ± 1.1 % accuracy, 5 seeds), b (+0.0 ± 0.0) makes no")
    assert said.endswith("; against c (80.4 ± 0.8 %), d (−20.0 ± 0.3) is worse.")


def test_one_seed_tells_nothing():
    said = verdict({"a": np.array([0.1]), "b": np.array([0.9])}, {"b": "a"})
    assert "b (+80.0) makes no clear difference" in said


def test_students_t_test_is_scipys():
    from scipy.stats import ttest_rel

    draw = np.random.default_rng(1)
    ours, theirs = draw.normal(0.1, 1, 6), draw.normal(0, 1, 6)
    found = paired_difference(ours, theirs)
    assert found.p_value == pytest.approx(ttest_rel(ours, theirs).pvalue, rel=1e-9)
    assert found.mean == pytest.approx((ours - theirs).mean())
    same = paired_difference(ours, ours)
    assert (same.mean, same.p_value) == (0, 1)
    assert paired_difference(ours + 1, ours).p_value < 1e-9


def test_holm_compares_each_with_as_many_as_are_left():
    # 0.01 ≤ 0.05/4, 0.016 ≤ 0.05/3, but 0.03 > 0.05/2: that one and the last are chance.
    assert holm([0.03, 0.01, 0.04, 0.016]) == [False, True, False, True]
    assert holm([0.013, 0.2, 0.3, 0.4]) == [False] * 4


def test_batches_side_by_side_are_those_of_each_loader_also_by_rows():
    alone, loader = loaders(), SideBySideLoader(loaders())
    whole = next(loader.train_batches(start_step=5))
    for seed, one in enumerate(alone):
        own = one.batch(5)
        for name, array in own.items():
            np.testing.assert_array_equal(whole[name][seed::SEEDS], array)
    part = loader.batch(5, slice(3, 9))
    np.testing.assert_array_equal(part["image"], whole["image"][3:9])
    with pytest.raises(UserError, match="same size"):
        SideBySideLoader([*loaders(1, 4), *loaders(1, 3)])
    with pytest.raises(UserError, match="same examples"):
        next(loader.eval_batches())


def test_a_curriculum_goes_beside_others():
    (plain,) = loaders(1)
    easy = CurriculumLoader(
        plain.arrays, 4, scores=np.arange(12.0)[::-1].copy(), pacing=lambda step: 0.0
    )
    batch = SideBySideLoader({"any": [plain], "easy": [easy]}).batch(0)
    last = {image.tobytes() for image in plain.arrays["image"][-4:]}
    assert {image.tobytes() for image in batch["easy/image"]} == last
    assert {image.tobytes() for image in batch["any/image"]} != last
