"""Objectives against their equations, and what each task measures and draws."""

import dataclasses
from functools import partial

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jdl import create_model
from jdl.data import BytePairTokenizer, CharacterTokenizer
from jdl.errors import UserError
from jdl.models.vision.neocognitron import reinforce
from jdl.tasks.adversarial import Adversarial, normal_prior
from jdl.tasks.classification import Classification
from jdl.tasks.judge import judge_samples
from jdl.tasks.language_model import LanguageModel
from jdl.tasks.rosenblatt import Rosenblatt
from jdl.tasks.segmentation import Segmentation
from jdl.tasks.self_organization import SelfOrganization
from jdl.tasks.variational import Variational, manifold
from jdl.train.metrics import compute


class Given(nn.Module):
    """Answers with its parameters, whatever it is asked."""

    answer: tuple

    @nn.compact
    def __call__(self, images, *, train: bool = False):
        answer = self.param("answer", lambda _: jnp.array(self.answer, jnp.float32))
        return jnp.broadcast_to(answer, (len(images), *answer.shape))


def batch_of(size, **arrays):
    return {
        "image": jnp.zeros((size, 4, 4, 1)),
        "mask": jnp.ones(size),
        "row": jnp.arange(size, dtype=jnp.int32),
        **arrays,
    }


def test_label_smoothing_follows_its_equation():
    logits = np.array([2.0, 0.0, -1.0])
    task = Classification(Given(tuple(logits)), optax.sgd(0.0), num_classes=3, label_smoothing=0.3)
    batch = batch_of(2, label=jnp.array([0, 2]))
    key = jax.random.key(0)
    _, metrics = jax.jit(task.train_step)(task.init(key, batch), batch, key)
    log_p = logits - np.log(np.exp(logits).sum())
    q = 0.7 * np.eye(3)[[0, 2]] + 0.1
    assert compute(metrics)["loss"] == pytest.approx(-(q * log_p).sum(1).mean(), rel=1e-5)
    # Evaluation does not smooth.
    value = compute(task.eval_step(task.init(key, batch), batch, key))
    assert value["loss"] == pytest.approx(-(log_p[0] + log_p[2]) / 2, rel=1e-5)
    assert value["accuracy"] == 0.5


def test_a_loss_of_ones_own_takes_the_place_of_cross_entropy():
    task = Classification(
        Given((2.0, 0.0, -1.0)),
        optax.sgd(0.0),
        num_classes=3,
        loss=lambda outputs, targets: jnp.abs(outputs - targets).sum(-1),
    )
    batch = batch_of(2, label=jnp.array([0, 2]))
    state = task.init(jax.random.key(0), batch)
    value = compute(task.eval_step(state, batch, jax.random.key(0)))
    assert value["loss"] == pytest.approx((1 + 0 + 1 + 2 + 0 + 2) / 2)


def test_training_begins_with_what_is_pretrained():
    batch, key = batch_of(2, label=jnp.array([0, 2])), jax.random.key(0)
    task = Classification(Given((2.0, 0.0, -1.0)), optax.sgd(0.0), num_classes=3)
    begun = dataclasses.replace(task, pretrained={"answer": jnp.array([0.0, 5.0, 1.0])})
    assert task.init(key, batch).params["answer"].tolist() == [2.0, 0.0, -1.0]
    assert begun.init(key, batch).params["answer"].tolist() == [0.0, 5.0, 1.0]
    for other in ({"answer": jnp.zeros(4)}, {"question": jnp.zeros(3)}):
        with pytest.raises(UserError, match=f"not those of a '{next(iter(other))}' of this model"):
            dataclasses.replace(task, pretrained=other).init(key, batch)


def test_rosenblatts_mistakes_come_to_an_end():
    """Two classes that a plane separates, in batches whose size makes no difference."""
    random = np.random.RandomState(0)
    images = random.uniform(0, 1, (24, 2, 2, 1)).astype(np.float32)
    labels = (images[:, 0, 0, 0] > images[:, 1, 1, 0]).astype(np.int32)
    task, key = Rosenblatt(num_classes=2), jax.random.key(0)
    together = batch_of(24, image=jnp.asarray(images), label=jnp.asarray(labels))
    state = whole = task.init(key, together)
    for _ in range(200):
        state, metrics = jax.jit(task.train_step)(state, together, key)
    assert compute(metrics)["loss"] == 0.0
    assert compute(task.eval_step(state, together, key)) == {"loss": 0.0, "accuracy": 1.0}

    whole, _ = task.train_step(whole, together, key)
    pieces = task.init(key, together)
    for half in (slice(12), slice(12, 24)):
        piece = batch_of(12, image=together["image"][half], label=together["label"][half])
        pieces, _ = task.train_step(pieces, piece, key)
    assert jax.tree.all(jax.tree.map(lambda a, b: bool((a == b).all()), whole, pieces))


def test_a_neocognitron_knows_what_it_saw_wherever_it_comes():
    level = jnp.zeros((20, 20, 1)).at[6, 3:14].set(1.0)
    shown = jnp.stack([level, level.swapaxes(0, 1)])
    batch = batch_of(2, image=shown, label=jnp.array([0, 1]))
    model, key = create_model("neocognitron", planes=(6, 6)), jax.random.key(0)
    task = SelfOrganization(model, reinforce, num_classes=2, steps_per_stage=3, rate=1.0)
    state = task.init(key, batch)
    for stage in range(2):
        for _ in range(3):
            before = state.network.params
            state, _ = jax.jit(task.train_step)(state, batch, key)
            still = f"a{2 - stage}"  # the stage whose turn it is not
            np.testing.assert_array_equal(state.network.params[still], before[still])
    moved = batch_of(2, image=jnp.roll(shown, (5, 4), (1, 2)), label=batch["label"])
    assert compute(task.eval_step(state, moved, key))["accuracy"] == 1.0


def test_intersection_over_union_by_hand():
    answer = np.zeros((4, 4, 3), np.float32)
    answer[:2, :, 1] = 1  # Predicts class 1 above, class 0 below, class 2 nowhere.
    task = Segmentation(Given(answer_tuple(answer)), optax.sgd(0.0), ("a", "b", "c"))
    truth = np.zeros((2, 4, 4), np.int32)
    truth[:, :, :2] = 1  # It is class 1 on the left.
    batch = batch_of(2, mask_label=jnp.array(truth)) | {"mask": jnp.array([1.0, 0.0])}
    key = jax.random.key(0)
    values = compute(task.eval_step(task.init(key, batch), batch, key))
    # Of 16 pixels, 4 are 1 in both, 12 in either; the same for 0; the padded image does not count.
    assert values["iou"][:2] == pytest.approx([4 / 12, 4 / 12])
    assert np.isnan(values["iou"][2])
    assert values["pixel_accuracy"] == 0.5


def test_what_is_wrong_far_from_boundaries_does_not_count_on_them():
    truth = np.zeros((2, 3, 12), np.int32)
    truth[:, :, :6] = 1
    for column, expected in ((0, 1.0), (9, 1.0), (4, 0.5), (7, 0.5)):
        answer = np.stack([1 - truth[0], truth[0]], -1).astype(np.float32)
        answer[:, column] = answer[:, column, ::-1]
        task = Segmentation(Given(answer_tuple(answer)), optax.sgd(0.0), ("a", "b"))
        batch, key = batch_of(2, mask_label=jnp.array(truth)), jax.random.key(0)
        values = compute(task.eval_step(task.init(key, batch), batch, key))
        # Of the two columns on each side, one is right.
        assert min(values["boundary_iou"]) == pytest.approx(expected)
        assert min(values["iou"]) < 1


def test_masks_of_another_size_are_refused():
    task = Segmentation(Given(answer_tuple(np.zeros((4, 4, 2)))), optax.sgd(0.0), ("a", "b"))
    batch, key = batch_of(2, mask_label=jnp.zeros((2, 4, 3), jnp.int32)), jax.random.key(0)
    for step in (task.train_step, task.eval_step):
        with pytest.raises(UserError, match="4×4 pixels are answered for 4×4, but .* have 4×3"):
            step(task.init(key, batch), batch, key)


def answer_tuple(array):
    return tuple(map(answer_tuple, array)) if array.ndim else float(array)


def test_the_divergence_equals_its_monte_carlo_estimate():
    task = Variational(create_model("vae", latent_size=3), optax.sgd(0.0), latent_size=3)
    images = np.random.default_rng(0).integers(0, 256, (1, 28, 28, 1)).astype(np.uint8)
    batch = batch_of(1) | {"image": jnp.array(images)}
    key = jax.random.key(0)
    state = jax.jit(task.init)(key, batch)
    # Away from zero, where the divergence says something.
    state = state.replace(params=jax.tree.map(lambda p: 1.5 * p + 0.005, state.params))
    ours = compute(task.eval_step(state, batch, key))["divergence"]
    from jdl.tasks.variational import binarize

    mu, log_variance = task.model.apply(
        state.variables, binarize(jnp.array(images) / 255.0), method="encode"
    )
    z = mu + jnp.exp(log_variance / 2) * jax.random.normal(key, (200_000, 3))
    log_q = -0.5 * ((z - mu) ** 2 / jnp.exp(log_variance) + log_variance).sum(-1)
    log_p = -0.5 * (z**2).sum(-1)
    assert ours > 0.1
    assert ours == pytest.approx(float((log_q - log_p).mean()), rel=0.03)


def test_the_manifold_spans_the_directions_of_most_variance():
    codes = np.zeros((100, 3), np.float32)
    codes[:, 2] = np.linspace(-10, 10, 100)
    codes[:, 0] = np.tile([-1, 1], 50)
    grid = manifold(codes, 5).reshape(5, 5, 3)
    assert np.ptp(grid[:, 0, 2]) > 5 * np.ptp(grid[0, :, 0]) > 1
    assert np.abs(grid[..., 1]).max() < 1e-5


def test_the_judge_counts_only_real_rows():
    probabilities = jnp.array([[0.95, 0.05], [0.2, 0.8], [0.01, 0.99]])
    images = jnp.zeros((3, 4, 4, 1))
    metrics = judge_samples(lambda _: probabilities, images, images, jnp.array([1.0, 1, 0]))
    values = compute(metrics)
    assert values["confident"] == 0.5
    assert values["class_share"] == [0.5, 0.5]


def test_the_judge_sees_classes_that_collapsed():
    real = jax.random.uniform(jax.random.key(0), (40, 4, 4, 1)).at[:20, 0, 0].add(3)

    def judge(images):
        first = images[:, 0, 0, 0] > 2
        return jnp.stack([first, ~first], -1).astype(jnp.float32)

    def variety(samples, mask=jnp.ones(40)):
        return compute(judge_samples(judge, samples, real, mask))["variety"]

    assert variety(real[::-1]) == pytest.approx(1)
    collapsed = jnp.repeat(real[jnp.array([0, 20])], 20, axis=0)
    assert variety(collapsed) == pytest.approx(0, abs=1e-6)
    # Rows of padding count for neither.
    wild = jnp.concatenate([real[:30], 100 * real[30:]])
    assert variety(wild, (jnp.arange(40) < 30).astype(jnp.float32)) == pytest.approx(1)


def make_language_model():
    tokenizer = CharacterTokenizer("\nab")
    model = create_model("char_lstm", vocabulary_size=3, embedding_size=4, hidden_size=16)
    return LanguageModel(model, optax.adam(0.03), tokenizer, sample_length=40, temperature=0.3)


def test_a_language_model_learns_to_alternate_and_samples_it():
    task = make_language_model()
    text = task.tokenizer.encode("ab" * 17)[:33]
    batch = {
        "tokens": jnp.tile(text, (4, 1)),
        "token_mask": jnp.ones((4, 32)),
        "mask": jnp.ones(4),
        "row": jnp.arange(4, dtype=jnp.int32),
    }
    key = jax.random.key(0)
    state = task.init(key, batch)
    step = jax.jit(task.train_step)
    for _ in range(150):
        state, _ = step(state, batch, key)
    values = compute(task.eval_step(state, batch, key))
    assert values["loss"] < 0.1
    assert values["bits_per_character"] == pytest.approx(values["loss"] / np.log(2), rel=1e-4)
    assert values["perplexity"] == pytest.approx(np.exp(values["loss"]), rel=1e-4)
    assert "abababab" in task.sample(state, key, 1)[0]


def make_gpt(tokenizer, **options):
    sizes = {"max_length": 8, "width": 16, "num_layers": 1, "num_heads": 2, "dropout": 0.0}
    model = create_model("gpt2", vocabulary_size=tokenizer.vocabulary_size, **sizes)
    return LanguageModel(model, optax.adam(0.01), tokenizer, sample_length=40, **options)


def text_batch(tokens):
    return {
        "tokens": jnp.asarray(tokens),
        "token_mask": jnp.ones((len(tokens), len(tokens[0]) - 1)),
        "mask": jnp.ones(len(tokens)),
        "row": jnp.arange(len(tokens), dtype=jnp.int32),
    }


def test_a_language_models_micro_batches_are_one_batch():
    task = dataclasses.replace(make_gpt(CharacterTokenizer("\nab")), optimizer=optax.sgd(1.0))
    halves = dataclasses.replace(task, microbatches=2)
    batch = text_batch(np.random.default_rng(0).integers(0, 3, (4, 9)))
    batch["token_mask"] = batch["token_mask"].at[1, 3:].set(0)  # the halves count unlike numbers
    key = jax.random.key(0)
    state = task.init(key, batch)
    (one, whole), (two, cut) = (jax.jit(t.train_step)(state, batch, key) for t in (task, halves))
    jax.tree.map(partial(np.testing.assert_allclose, rtol=1e-5, atol=1e-6), one.params, two.params)
    np.testing.assert_allclose(cut["loss"], whole["loss"], rtol=1e-6)
    odd = jax.tree.map(lambda x: x[:3], batch)
    with pytest.raises(UserError, match="3 rows of a batch cannot be cut into 2"):
        halves.train_step(state, odd, key)


@pytest.mark.slow
def test_a_gpt_writes_on_when_its_positions_are_full():
    task = make_gpt(CharacterTokenizer("\nab"), temperature=0.3)
    text = task.tokenizer.encode("\n" + "ab" * 20)
    windows = [text[i : i + 9] for i in range(0, 24)]
    batch, key = text_batch(np.stack(windows)), jax.random.key(0)
    state = task.init(key, batch)
    step = jax.jit(task.train_step)
    for _ in range(100):
        state, _ = step(state, batch, key)
    drawn = task.sample(state, key, 2)
    assert [len(text) for text in drawn] == [40, 40]  # five times its positions
    assert all("ab" * 10 in text for text in drawn)


def test_bits_per_character_do_not_depend_on_the_tokens():
    """An untrained model knows nothing: log2 V bits for a token, however many characters it has."""
    tokenizer = BytePairTokenizer("abc " * 50, 259)
    task = make_gpt(tokenizer)
    tokens = tokenizer.encode("abc " * 9)[None, :9]
    batch, key = text_batch(tokens), jax.random.key(0)
    state = task.init(key, batch)
    state = state.replace(params=jax.tree.map(jnp.zeros_like, state.params))
    values = compute(task.eval_step(state, batch, key))
    characters = len(tokenizer.decode(tokens[0, 1:]))
    assert characters > 8
    assert values["perplexity"] == pytest.approx(tokenizer.vocabulary_size, rel=1e-4)
    expected = 8 * np.log2(tokenizer.vocabulary_size) / characters
    assert values["bits_per_character"] == pytest.approx(expected, rel=1e-5)


def test_bad_language_models_are_refused():
    model = create_model("char_lstm", vocabulary_size=4)
    with pytest.raises(UserError, match="the tokenizer has 3 tokens, but the model 4"):
        LanguageModel(model, optax.sgd(0.1), CharacterTokenizer("\nab"))
    for option, value in (("temperature", 0.0), ("top_k", 0), ("top_p", 1.5)):
        with pytest.raises(UserError, match=f"{option}.* must"):
            dataclasses.replace(make_language_model(), **{option: value})


def test_padded_tokens_do_not_count():
    task = make_language_model()
    tokens = jnp.array(task.tokenizer.encode("abbab"))[None]
    full = {"tokens": tokens, "mask": jnp.ones(1), "row": jnp.zeros(1, jnp.int32)}
    state = task.init(jax.random.key(0), full)
    half = full | {"token_mask": jnp.array([[1.0, 1.0, 0.0, 0.0]])}
    short = full | {"tokens": tokens[:, :3], "token_mask": jnp.ones((1, 2))}
    key = jax.random.key(0)
    assert compute(task.eval_step(state, half, key))["loss"] == pytest.approx(
        compute(task.eval_step(state, short, key))["loss"], rel=1e-5
    )


def test_images_of_a_size_that_the_network_does_not_take_are_refused():
    task = Classification(create_model("lenet5"), optax.sgd(0.1), num_classes=10)
    batch = batch_of(2, label=jnp.array([0, 1])) | {"image": jnp.ones((2, 8, 8, 1))}
    with pytest.raises(UserError, match="28x28, 32x32 or 64x64 pixels, not 8x8"):
        task.init(jax.random.key(0), batch)


def test_bfloat16_computes_but_does_not_store():
    model = create_model("lenet5", dtype="bfloat16")
    task = Classification(model, optax.sgd(0.1), num_classes=10)
    batch = batch_of(2, label=jnp.array([0, 1])) | {"image": jnp.ones((2, 28, 28, 1))}
    key = jax.random.key(0)
    state = jax.jit(task.init)(key, batch)
    after, metrics = jax.jit(task.train_step)(state, batch, key)
    assert {leaf.dtype for leaf in jax.tree.leaves(after.params)} == {jnp.dtype("float32")}
    assert metrics["loss"].total.dtype == jnp.float32
    assert model.apply(state.variables, batch["image"]).dtype == jnp.bfloat16


class Echo(nn.Module):
    """Generates images of one grey, which the code says."""

    @nn.compact
    def __call__(self, latents, *, train: bool = False):
        scale = self.param("scale", nn.initializers.ones, ())
        return jnp.tanh(scale * latents[:, :1, None, None] * jnp.ones((1, 4, 4, 1)))


class LikesBright(nn.Module):
    """Takes bright images for real."""

    @nn.compact
    def __call__(self, images, *, train: bool = False):
        return self.param("scale", nn.initializers.ones, ()) * images.mean((1, 2, 3))


@pytest.mark.parametrize("candidates", [1, 4])
def test_a_sample_is_what_the_discriminator_likes_best_of_its_candidates(candidates):
    task = Adversarial(
        Echo(),
        LikesBright(),
        optax.sgd(0.0),
        optax.sgd(0.0),
        prior=normal_prior(3),
        judge=lambda images: jax.nn.one_hot(jnp.zeros(len(images), jnp.int32), 2),
        candidates=candidates,
    )
    batch = batch_of(2) | {"image": jnp.zeros((2, 4, 4, 1))}
    state = task.init(jax.random.key(0), batch)
    key = jax.random.key(1)
    keys = jax.vmap(lambda key: jax.random.split(key, candidates))(jax.random.split(key, 50))
    greys = jax.vmap(jax.vmap(task.prior))(keys)[..., 0].max(1)
    expected = (jnp.tanh(greys) + 1) / 2
    np.testing.assert_allclose(task.sample(state, key, 50)[:, 0, 0, 0], expected, rtol=1e-5)
