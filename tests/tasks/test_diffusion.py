"""Diffusion with networks whose answers are known."""

import dataclasses
from functools import partial

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jdl.data.vocabulary import Vocabulary
from jdl.diffusion.processes import Discrete, VariancePreserving
from jdl.diffusion.samplers import ddim
from jdl.errors import UserError
from jdl.tasks.conditioning import ByClass, BySentence
from jdl.tasks.diffusion import Diffusion
from jdl.tasks.score_sde import ScoreSDE
from jdl.train.metrics import compute


def batch_of(size, **arrays):
    return {
        "image": jnp.zeros((size, 4, 4, 1)),
        "mask": jnp.ones(size),
        "row": jnp.arange(size, dtype=jnp.int32),
        **arrays,
    }


class Constant(nn.Module):
    """Guesses the same clean image in any noise."""

    @nn.compact
    def __call__(self, images, timesteps, *, train: bool = False):
        value = self.param("value", nn.initializers.constant(0.2), ())
        return jnp.full_like(images, 1.0) * value


def diffusion(**options):
    return Diffusion(
        model=Constant(),
        optimizer=optax.sgd(0.0),
        process=Discrete(np.linspace(0.99, 0.01, 10, dtype=np.float32)),
        image_shape=(4, 4, 1),
        judge=lambda images: jax.nn.one_hot(jnp.zeros(len(images), jnp.int32), 2),
        prediction="image",
        sampler=partial(ddim, steps=5, eta=1.0),
        **options,
    )


def test_guidance_leads_away_from_the_early_average():
    task = diffusion(guidance=2.0, early_step=1)
    state = task.init(jax.random.key(0), batch_of(2))
    state = state.replace(average={"value": jnp.float32(0.3)}, early={"value": jnp.float32(0.2)})
    # ŷ = 0.3 + 2 (0.3 − 0.2), and what is drawn is (ŷ + 1)/2.
    np.testing.assert_allclose(task.sample(state, jax.random.key(1), 3), 0.75, rtol=1e-5)
    plain = diffusion()
    np.testing.assert_allclose(
        plain.sample(state.replace(early={}), jax.random.key(1), 3), 0.65, rtol=1e-5
    )


def test_the_early_average_stays_as_it_was():
    task = dataclasses.replace(diffusion(guidance=1.0, early_step=2), optimizer=optax.sgd(0.5))
    batch = batch_of(4, image=jnp.ones((4, 4, 4, 1)))
    state, averages = task.init(jax.random.key(0), batch), []
    for step in range(4):
        state, _ = jax.jit(task.train_step)(state, batch, jax.random.key(step))
        averages.append(float(state.average["value"]))
    assert len(set(averages)) == 4
    assert float(state.early["value"]) == averages[1]
    assert diffusion().init(jax.random.key(0), batch).early == {}


class PerClass(nn.Module):
    """Guesses an image of one grey for each class, and one for none."""

    @nn.compact
    def __call__(self, images, timesteps, labels, *, train: bool = False):
        greys = self.param("greys", lambda _: jnp.array([-0.5, 0.1, 0.0]))
        return jnp.broadcast_to(greys[labels][:, None, None, None], images.shape)


def by_class(**options):
    return dataclasses.replace(
        diffusion(conditioning=ByClass(("dark", "light")), **options), model=PerClass()
    )


def test_a_class_is_drawn_and_guided_away_from_none():
    key, batch = jax.random.key(0), batch_of(2, label=jnp.array([0, 1]))
    task = by_class()
    state = task.init(key, batch)
    both = task.sample(state, key, 4)[:, 0, 0, 0]
    np.testing.assert_allclose(both, [0.25, 0.55, 0.25, 0.55], rtol=1e-5)
    light = task.sample(state, key, 2, condition="light")
    np.testing.assert_allclose(light, 0.55, rtol=1e-5)
    # x̂ = 0.1 + 3 (0.1 − 0), and what is drawn is (x̂ + 1)/2.
    led = by_class(guidance=3.0).sample(state, key, 2, condition="light")
    np.testing.assert_allclose(led, 0.7, rtol=1e-5)


def test_a_captioner_reads_samples_of_the_sentences():
    pytest.importorskip("sacrebleu")

    class PerWord(nn.Module):
        @nn.compact
        def __call__(self, images, timesteps, tokens, *, train: bool = False):
            greys = self.param("greys", lambda _: jnp.array([0.0, -0.5, 0.1]))
            return jnp.broadcast_to(greys[tokens[:, 0]][:, None, None, None], images.shape)

    words = BySentence(Vocabulary(["dark", "light"]), 1, ("dark", "light", "dark"))
    read = lambda images: ["dark" if grey < 0.4 else "bright" for grey in images.mean((1, 2, 3))]
    task = dataclasses.replace(
        diffusion(conditioning=words), model=PerWord(), captioner=read, prediction="image"
    )
    batch = batch_of(2, tokens=jnp.array([[1], [2]]))
    state = task.init(jax.random.key(0), batch)
    text = task.texts(state, jax.random.key(0))["sentences"]
    assert text.startswith("samples: 66.7% exactly right, BLEU = ")
    assert "asked: light\nread:  bright\n" in text
    assert dataclasses.replace(task, captioner=None).texts(state, jax.random.key(0)) == {}


def test_guidance_may_be_an_array_of_the_compiled_program():
    """As the figure has it, which draws the same noise with several."""
    task = by_class(guidance=3.0)
    state = task.init(jax.random.key(0), batch_of(2, label=jnp.arange(2)))
    noise, t = jax.random.normal(jax.random.key(1), (2, 4, 4, 1)), jnp.array([3, 3])
    guess = jax.jit(lambda w: task.denoiser(state, jnp.arange(2), guidance=w)(noise, t))
    for weight in (0.0, 1.0, 5.0):
        expected = by_class(guidance=weight).denoiser(state, jnp.arange(2))(noise, t)
        np.testing.assert_allclose(guess(jnp.float32(weight)), expected, rtol=1e-6)
    assert not np.allclose(guess(jnp.float32(0)), guess(jnp.float32(5)))


def test_conditions_are_left_out_as_often_as_asked():
    count = 4000
    batch = batch_of(count, label=jnp.zeros(count, jnp.int32))
    told = by_class(drop=0.2)._told(batch, jax.random.key(0))[0]
    assert set(np.unique(told)) == {0, 2}
    assert float((told == 2).mean()) == pytest.approx(0.2, abs=0.03)
    assert (by_class(drop=0.2)._told(batch)[0] == 0).all()
    words = BySentence(Vocabulary(["a", "b"]), 2, ("a", "b a"))
    tokens = jnp.broadcast_to(jnp.array([[2, 1]]), (count, 2))
    told = diffusion(conditioning=words, drop=0.2)._told(
        batch_of(count, tokens=tokens), jax.random.key(0)
    )[0]
    empty = (told == 0).all(1)
    assert ((told == 0).any(1) == empty).all()
    assert float(empty.mean()) == pytest.approx(0.2, abs=0.03)


def test_what_the_condition_is_worth_is_measured():
    batch = batch_of(2, label=jnp.array([0, 1]), image=jnp.array([0.25, 0.55])[:, None, None, None]
                     * jnp.ones((2, 4, 4, 1)))  # fmt: skip
    task = by_class()
    values = compute(task.eval_step(task.init(jax.random.key(0), batch), batch, jax.random.key(1)))
    assert values["loss"] == pytest.approx(0, abs=1e-10)
    assert values["loss_untold"] == pytest.approx((0.25 + 0.01) / 2, rel=1e-4)


def test_bad_requests_are_refused():
    with pytest.raises(UserError, match="guidance of 2 needs a model with conditions, or early"):
        diffusion(guidance=2.0)
    key, batch = jax.random.key(0), batch_of(2, label=jnp.array([0, 1]))
    task = diffusion()
    state = task.init(key, batch)
    with pytest.raises(UserError, match="takes no condition, and so not '7'"):
        task.sample(state, key, 2, condition="7")
    with pytest.raises(UserError, match="to have the shape 2×4×4×1, not 2×8×8×1"):
        task.sample(state, key, 2, latents=jnp.zeros((2, 8, 8, 1)))
    with pytest.raises(UserError, match="a sampler of 11 steps cannot follow a schedule of 10"):
        dataclasses.replace(task, sampler=partial(ddim, steps=11)).sample(state, key, 2)
    with pytest.raises(UserError, match="unknown class 'lihgt'; the closest names are light"):
        by_class().sample(by_class().init(key, batch), key, 2, condition="lihgt")
    words = BySentence(Vocabulary(["a", "b"]), 2, ("a",))
    with pytest.raises(UserError, match="'c' is not among the 2 symbols"):
        words.ask("a c", 1)
    with pytest.raises(UserError, match="may have 2 words, not 3"):
        words.ask("a b a", 1)


def test_latents_decide_what_a_deterministic_sampler_draws():
    class Half(nn.Module):
        @nn.compact
        def __call__(self, images, timesteps, *, train: bool = False):
            return self.param("half", nn.initializers.constant(0.5), ()) * images

    task = dataclasses.replace(diffusion(), model=Half(), sampler=partial(ddim, steps=5))
    state = task.init(jax.random.key(0), batch_of(2))
    latents = jax.random.normal(jax.random.key(5), (3, 4, 4, 1))
    images = [task.sample(state, jax.random.key(i), 3, latents=latents) for i in range(2)]
    np.testing.assert_array_equal(*images)
    other = task.sample(state, jax.random.key(0), 3, latents=-latents)
    np.testing.assert_allclose(other, 1 - images[0], atol=1e-5)


class Normal(nn.Module):
    """Denoises images whose pixels are normal, of variance v, exactly."""

    @nn.compact
    def __call__(self, images, timesteps, *, train: bool = False):
        v = self.param("variance", nn.initializers.constant(0.09), ())
        signal, noise = VariancePreserving().scales(timesteps / 999)
        gain = signal * v / (signal**2 * v + noise**2)
        return gain[:, None, None, None] * images


def test_bits_per_dimension_of_a_normal_are_its_entropy():
    task = ScoreSDE(
        model=Normal(),
        optimizer=optax.sgd(0.0),
        process=VariancePreserving(),
        image_shape=(8, 8, 1),
        prediction="image",
        rated=60,
    )
    pixels = np.random.default_rng(0).normal(0, 0.3, (64, 8, 8, 1))
    images = np.clip(np.floor((pixels + 1) * 128), 0, 255).astype(np.uint8)
    batch = batch_of(64, image=jnp.asarray(images))
    state = task.init(jax.random.key(0), batch)
    values = compute(jax.jit(task.test_step)(state, batch, jax.random.key(1)))
    entropy = 0.5 * np.log2(2 * np.pi * np.e * 0.09) + 7
    assert values["bits_per_dimension"] == pytest.approx(entropy, abs=0.05)
    with pytest.raises(UserError, match="a process in continuous time, not Discrete"):
        dataclasses.replace(task, process=diffusion().process)


def test_training_sees_every_value_of_an_interval():
    task = dataclasses.replace(
        ScoreSDE(Normal(), optax.sgd(0.0), VariancePreserving(), (4, 4, 1)), prediction="image"
    )
    keys = jax.random.split(jax.random.key(0), 100)
    x = task.scaled(jnp.full((100, 4, 4, 1), 255.0) / 255, keys)
    assert 1 - 2 / 256 <= float(x.min()) < float(x.max()) < 1
    assert float(x.std()) == pytest.approx(2 / 256 / 12**0.5, rel=0.1)
