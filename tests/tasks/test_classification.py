"""What recipes ask of classification: heads, mixtures, averages, views, normalised images."""

import dataclasses
from functools import partial

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jdl.data.mixing import mixup
from jdl.layers.normalization import BatchNorm
from jdl.ops.images import standardize, ten_crop
from jdl.ops.random import per_example_keys
from jdl.tasks.classification import Classification
from jdl.train.metrics import compute
from jdl.train.state import AveragedState, TrainState

KEY = jax.random.key(0)
LABELS = jnp.array([0, 2, 1, 2])


class Heads(nn.Module):
    """Linear logits of the mean colour; in training, with two auxiliary heads."""

    heads: int = 0

    @nn.compact
    def __call__(self, images, *, train: bool = False):
        features = images.mean((1, 2))
        logits = nn.Dense(3, name="main")(features)
        if not (self.heads and (train or self.is_initializing())):
            return logits
        heads = [nn.Dense(3, name=f"head{i}")(features) for i in range(self.heads)]
        return (logits, *heads) if train else logits


def batch_of(images, labels=LABELS):
    return {
        "image": images,
        "label": labels,
        "mask": jnp.ones(len(labels)),
        "row": jnp.arange(len(labels), dtype=jnp.int32),
    }


BATCH = batch_of(jax.random.uniform(jax.random.key(1), (4, 8, 8, 2)))


def cross_entropy(logits, targets):
    logits = np.asarray(logits, np.float64)
    log_p = logits - np.log(np.exp(logits).sum(-1, keepdims=True))
    return -(np.asarray(targets) * log_p).sum(-1).mean()


def logits_of(state, name, images):
    layer = state.params[name]
    return (
        np.asarray(images).mean((1, 2)) @ np.asarray(layer["kernel"])
        + np.asarray(layer["bias"])[None]
    )


def test_auxiliary_heads_add_their_weighted_losses():
    task = Classification(Heads(2), optax.sgd(0.1), num_classes=3, auxiliary_weight=0.3)
    state = task.init(KEY, BATCH)
    after, metrics = jax.jit(task.train_step)(state, BATCH, KEY)
    main, first, second = (
        cross_entropy(logits_of(state, name, BATCH["image"]), np.eye(3)[LABELS])
        for name in ("main", "head0", "head1")
    )
    assert compute(metrics)["loss"] == pytest.approx(main + 0.3 * (first + second), rel=1e-5)
    # Evaluation sees the main head alone.
    assert compute(task.eval_step(state, BATCH, KEY))["loss"] == pytest.approx(main, rel=1e-5)
    # Their gradients are weighted alike.
    moved = {name: after.params[name]["bias"] - state.params[name]["bias"] for name in state.params}
    p = jax.nn.softmax(logits_of(state, "head0", BATCH["image"]))
    expected = -0.1 * 0.3 * (p - np.eye(3)[LABELS]).mean(0)
    np.testing.assert_allclose(moved["head0"], expected, rtol=1e-4, atol=1e-7)


def test_training_and_evaluation_see_the_same_normalised_images():
    normalize = partial(standardize, mean=(0.5, 0.2), deviation=(0.1, 0.4))
    plain = Classification(Heads(), optax.sgd(0.1), num_classes=3)
    task = dataclasses.replace(plain, normalize=normalize)
    state = task.init(KEY, BATCH)
    normalized = BATCH | {"image": normalize(BATCH["image"])}
    ours, theirs = (
        (t.train_step(state, b, KEY), t.eval_step(state, b, KEY), t.test_step(state, b, KEY))
        for t, b in ((task, BATCH), (plain, normalized))
    )
    for one, two in zip(jax.tree.leaves(ours), jax.tree.leaves(theirs), strict=True):
        np.testing.assert_allclose(one, two, rtol=1e-5)
    probabilities = task.probabilities(state, BATCH["image"])
    np.testing.assert_allclose(
        probabilities, plain.probabilities(state, normalized["image"]), rtol=1e-5
    )


def test_mixed_images_are_learned_with_mixed_labels():
    task = Classification(Heads(), optax.sgd(0.0), num_classes=3, label_smoothing=0.3, mix=mixup)
    state = task.init(KEY, BATCH)
    _, metrics = jax.jit(task.train_step)(state, BATCH, KEY)
    keys = per_example_keys(jax.random.split(KEY, 3)[2], BATCH["row"])
    share = np.asarray(jax.vmap(lambda key: jax.random.beta(key, 0.8, 0.8))(keys))[:, None]
    smooth = 0.7 * np.eye(3)[LABELS] + 0.1
    images = np.asarray(BATCH["image"])
    pixels = share.reshape(-1, *[1] * (images.ndim - 1))
    images = pixels * images + (1 - pixels) * images[::-1]
    expected = cross_entropy(
        logits_of(state, "main", images), share * smooth + (1 - share) * smooth[::-1]
    )
    assert compute(metrics)["loss"] == pytest.approx(expected, rel=1e-4)


def test_the_average_follows_its_equation_and_is_what_is_measured():
    plain = Classification(Heads(), optax.sgd(0.5), num_classes=3)
    task = dataclasses.replace(plain, ema=0.25)
    state, other = task.init(KEY, BATCH), plain.init(KEY, BATCH)
    assert isinstance(state, AveragedState)
    assert not isinstance(other, AveragedState)
    step, plain_step = jax.jit(task.train_step, donate_argnums=0), jax.jit(plain.train_step)
    average = np.asarray(state.params["main"]["kernel"])
    for n in range(6):
        state, _ = step(state, BATCH, KEY)
        other, _ = plain_step(other, BATCH, KEY)
        decay = min(0.25, (1 + n) / (10 + n))
        average = decay * average + (1 - decay) * np.asarray(state.params["main"]["kernel"])
    # The average changes nothing about training.
    np.testing.assert_array_equal(state.params["main"]["kernel"], other.params["main"]["kernel"])
    found = state.average["params"]["main"]["kernel"]
    np.testing.assert_allclose(found, average, rtol=1e-5)
    assert np.abs(found - state.params["main"]["kernel"]).max() > 1e-4
    measured = TrainState.create(state.average, optax.sgd(0.5))
    for method in ("eval_step", "test_step"):
        ours = getattr(task, method)(state, BATCH, KEY)["loss"].total
        assert ours == getattr(plain, method)(measured, BATCH, KEY)["loss"].total
    np.testing.assert_array_equal(
        task.probabilities(state, BATCH["image"]), plain.probabilities(measured, BATCH["image"])
    )


def test_statistics_of_norms_are_averaged_with_the_parameters():
    class Normalized(nn.Module):
        @nn.compact
        def __call__(self, images, *, train: bool = False):
            return nn.Dense(3)(BatchNorm(train, name="bn")(images.mean((1, 2))))

    task = Classification(Normalized(), optax.sgd(0.1), num_classes=3, ema=0.999)
    state = task.init(KEY, BATCH)
    state, _ = jax.jit(task.train_step)(state, BATCH, KEY)
    now = np.asarray(state.model_state["batch_stats"]["bn"]["mean"])
    np.testing.assert_allclose(state.average["batch_stats"]["bn"]["mean"], 0.9 * now, rtol=1e-5)
    assert np.abs(now).max() > 0


def test_the_test_averages_probabilities_over_views():
    class FirstPixel(nn.Module):
        """Logits are three numbers of the upper left pixel."""

        @nn.compact
        def __call__(self, images, *, train: bool = False):
            scale = self.param("scale", nn.initializers.constant(3.0), (3,))
            return images[:, 0, 0] * scale[None]

    images = jax.random.uniform(KEY, (4, 6, 6, 3))
    task = Classification(
        FirstPixel(), optax.sgd(0.1), num_classes=3, views=partial(ten_crop, size=4)
    )
    batch = batch_of(images)
    state = task.init(KEY, batch | {"image": images[:, :4, :4]})
    p = np.asarray(jax.nn.softmax(3 * ten_crop(images, 4)[:, :, 0, 0])).mean(0)
    np.testing.assert_allclose(task.probabilities(state, images), p, rtol=1e-5)
    values = compute(task.test_step(state, batch, KEY))
    assert values["loss"] == pytest.approx(-np.log(p[np.arange(4), LABELS]).mean(), rel=1e-5)
    assert values["accuracy"] == (p.argmax(-1) == np.asarray(LABELS)).mean()
    # Validation, along the way, sees the image itself.
    single = compute(task.eval_step(state, batch, KEY))
    assert single["loss"] == pytest.approx(
        cross_entropy(3 * images[:, 0, 0], np.eye(3)[LABELS]), rel=1e-5
    )


def test_five_guesses_are_measured_where_there_are_a_thousand_classes():
    class Ranked(nn.Module):
        """Class k is always the k-th guess."""

        @nn.compact
        def __call__(self, images, *, train: bool = False):
            slope = self.param("slope", nn.initializers.constant(-1.0), ())
            return jnp.broadcast_to(slope * jnp.arange(1000.0), (len(images), 1000))

    task = Classification(Ranked(), optax.sgd(0.1), num_classes=1000)
    batch = batch_of(BATCH["image"][..., :1], jnp.array([0, 4, 5, 999]))
    state = task.init(KEY, batch)
    for metrics in (task.eval_step(state, batch, KEY), task.train_step(state, batch, KEY)[1]):
        values = compute(metrics)
        assert values["accuracy"] == 0.25
        assert values["top_5_accuracy"] == 0.5
    few = compute(task.eval_step(state, batch | {"mask": jnp.array([0.0, 1, 1, 0])}, KEY))
    assert few["top_5_accuracy"] == 0.5
    # A matrix of a million confusions shows nothing.
    assert "confusion" not in task.figures(state, batch, KEY)


def test_the_optimizer_is_told_the_loss():
    told = []

    def update(updates, state, params=None, *, value, **_):
        told.append(float(value))
        return updates, state

    optimizer = optax.GradientTransformationExtraArgs(lambda _: optax.EmptyState(), update)
    task = Classification(Heads(), optimizer, 3)
    batch = {
        "image": jnp.ones((4, 2, 2, 3)),
        "label": LABELS,
        "mask": jnp.array([1.0, 1.0, 0.0, 1.0]),
        "row": jnp.arange(4),
    }
    _, metrics = task.train_step(task.init(KEY, batch), batch, KEY)
    assert told == [pytest.approx(compute(metrics)["loss"])]
