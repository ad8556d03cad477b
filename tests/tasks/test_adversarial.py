"""The games of two networks against their equations."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jdl import create_model
from jdl.errors import UserError
from jdl.tasks.adversarial import Adversarial, normal_prior
from jdl.tasks.image_translation import ImageTranslation
from jdl.train.metrics import compute

ROWS = {"mask": jnp.ones(4), "row": jnp.arange(4, dtype=jnp.int32)}
IMAGES = jax.random.uniform(jax.random.key(9), (4, 8, 8, 1))


def judge(images):
    return jax.nn.softmax(20 * jnp.stack([images.mean((1, 2, 3)), 1 - images.mean((1, 2, 3))], -1))


class Level(nn.Module):
    """Draws one grey, its parameter, whatever the code; a class of 1 turns it into white."""

    @nn.compact
    def __call__(self, latents, labels=None, *, train: bool = False):
        level = self.param("level", nn.initializers.constant(0.25), ())
        grey = jnp.full((len(latents), 8, 8, 1), 1.0) * level
        return grey if labels is None else jnp.where(labels[:, None, None, None] == 1, 1.0, grey)


class Linear(nn.Module):
    """Gives 3 times the mean of an image, and 2 more for a class of 1."""

    @nn.compact
    def __call__(self, images, labels=None, *, train: bool = False):
        slope = self.param("slope", nn.initializers.constant(3.0), ())
        logits = slope * images.mean((1, 2, 3))
        return logits if labels is None else logits + 2 * labels


def game(**options):
    sgd = optax.sgd(0.5)
    return Adversarial(Level(), Linear(), sgd, sgd, normal_prior(3), judge, **options)


def test_the_penalty_is_half_the_squared_slope():
    """Of logits that are 3 times the mean of 64 pixels, it is γ/2 · 9/64."""
    batch = {"image": IMAGES, **ROWS}
    losses = {}
    for penalty in (0.0, 10.0):
        task = game(penalty=penalty)
        state = task.init(jax.random.key(0), batch)
        _, metrics = jax.jit(task.train_step)(state, batch, jax.random.key(1))
        losses[penalty] = compute(metrics)["discriminator_loss"]
    assert losses[10.0] - losses[0.0] == pytest.approx(5 * 9 / 64, rel=1e-3)


@pytest.mark.parametrize("kind", ["non-saturating", "minimax"])
def test_the_generator_steps_along_its_own_loss(kind):
    batch = {"image": IMAGES, **ROWS}
    task = game(loss=kind)
    before = task.init(jax.random.key(0), batch)
    after, _ = jax.jit(task.train_step)(before, batch, jax.random.key(1))
    # Against the discriminator as it was updated just before.
    slope = float(after.discriminator.params["slope"])
    d = 1 / (1 + np.exp(-slope * 0.25))
    gradient = -slope * (d if kind == "minimax" else 1 - d)
    moved = float(after.generator.params["level"]) - 0.25
    assert moved == pytest.approx(-0.5 * gradient, rel=1e-4)


def test_classes_reach_both_networks_and_the_measure_of_obedience():
    labels = jnp.array([1, 0, 1, 0])
    batch = {"image": IMAGES, "label": labels, **ROWS}
    task = game(num_classes=2)
    state = task.init(jax.random.key(0), batch)
    _, metrics = jax.jit(task.train_step)(state, batch, jax.random.key(1))
    real = 3 * (2 * IMAGES - 1).mean((1, 2, 3)) + 2 * labels
    fake = 3 * jnp.where(labels == 1, 1.0, 0.25) + 2 * labels
    expected = (jax.nn.softplus(-real) + jax.nn.softplus(fake)).mean()
    assert compute(metrics)["discriminator_loss"] == pytest.approx(float(expected), rel=1e-5)
    # The judge says 0 of bright images and 1 of dark ones: here all are bright.
    measured = compute(jax.jit(task.eval_step)(state, batch, jax.random.key(2)))
    assert measured["obeyed"] == pytest.approx(0.5)
    samples = task.sample(state, jax.random.key(3), 4)
    np.testing.assert_allclose(samples[:, 0, 0, 0], [0.625, 1, 0.625, 1])


def test_images_beyond_black_and_white_are_cut():
    """Level draws −3 and 3 as they are; an image goes from 0 to 1."""
    task = game()
    state = task.init(jax.random.key(0), {"image": IMAGES, **ROWS})
    for level, shown in ((-3.0, 0.0), (0.5, 0.75), (3.0, 1.0)):
        images = task.decode(state.replace(average={"level": jnp.float32(level)}), jnp.ones((2, 3)))
        np.testing.assert_allclose(images, shown)


def test_a_code_of_another_size_is_refused():
    task = game()
    state = task.init(jax.random.key(0), {"image": IMAGES, **ROWS})
    with pytest.raises(UserError, match="codes of 3 numbers, not 5"):
        task.decode(state, jnp.zeros((2, 5)))


class Brighter(nn.Module):
    """Adds its parameter to an image."""

    @nn.compact
    def __call__(self, images, *, train: bool = False):
        return images + self.param("more", nn.initializers.constant(0.5), ())


class Patches(nn.Module):
    """Gives two logits of a pair: the mean of the source, and that of what was drawn."""

    @nn.compact
    def __call__(self, images, *, train: bool = False):
        return self.param("slope", nn.initializers.ones, ()) * images.mean((1, 2))


def test_image_translation_follows_its_equations():
    source = IMAGES / 2
    batch = {"source": source, "image": IMAGES, **ROWS}
    sgd = optax.sgd(0.0)
    task = ImageTranslation(Brighter(), Patches(), sgd, sgd, distance_weight=7.0)
    state = task.init(jax.random.key(0), batch)
    _, metrics = jax.jit(task.train_step)(state, batch, jax.random.key(1))
    s, y = 2 * source - 1, 2 * IMAGES - 1
    drawn = s + 0.5
    means = lambda *images: jnp.stack([image.mean((1, 2, 3)) for image in images], axis=-1)
    real, fake = means(s, y), means(s, drawn)
    expected = (jax.nn.softplus(-real) + jax.nn.softplus(fake)).mean() / 2
    found = compute(metrics)
    assert found["discriminator_loss"] == pytest.approx(float(expected), rel=1e-5)
    distance = jnp.abs(y - drawn).mean()
    expected = jax.nn.softplus(-fake).mean() + 7 * distance
    assert found["generator_loss"] == pytest.approx(float(expected), rel=1e-5)
    measured = compute(jax.jit(task.eval_step)(state, batch, jax.random.key(2)))
    assert measured["distance"] == pytest.approx(float(distance) / 2, rel=1e-5)


def test_translation_is_by_one_image_at_a_time_with_dropout():
    task = ImageTranslation(
        create_model("pix2pix_generator", num_downs=5, base_features=4),
        create_model("patchgan", base_features=2),
        optax.adam(1e-3),
        optax.adam(1e-3),
    )
    sources = jax.random.uniform(jax.random.key(0), (2, 32, 32, 3))
    rows = {"mask": jnp.ones(2), "row": jnp.arange(2, dtype=jnp.int32)}
    batch = {"source": sources, "image": sources, **rows}
    state = jax.jit(task.init)(jax.random.key(1), batch)
    together = task.translate(state, sources, jax.random.key(2))
    # What one image becomes does not depend on the others of the batch.
    other = task.translate(state, sources.at[1].set(0.0), jax.random.key(2))
    np.testing.assert_array_equal(together[0], other[0])
    state, metrics = jax.jit(task.train_step)(state, batch, jax.random.key(3))
    assert np.isfinite(list(compute(metrics).values())).all()
    assert set(task.figures(state, batch, jax.random.key(4))) == {"translations"}
    assert set(task.progress(state, batch, jax.random.key(4))) == {"translations"}
