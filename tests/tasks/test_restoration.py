"""Restoration: what it predicts, what it measures, and what it is compared with."""

import dataclasses
from functools import partial

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jdl.data.degradations import blur, motion_kernel, shrink
from jdl.data.noise import gaussian_noise
from jdl.ops.bicubic import resize_bicubic
from jdl.ops.image_quality import psnr, ssim
from jdl.tasks.classical_restoration import richardson_lucy, total_variation
from jdl.tasks.restoration import Restoration
from jdl.train.metrics import compute

KEY = jax.random.key(0)
RANDOM = np.random.RandomState(0)
PICTURES = np.kron(RANDOM.randint(0, 256, (3, 4, 4, 3)), np.ones((1, 4, 4, 1))).astype(np.uint8)


class Add(nn.Module):
    """Adds a learned number to what it is shown; a half-size copy beside it if asked."""

    pyramid: bool = False

    @nn.compact
    def __call__(self, images, *, train: bool = False):
        answer = images + self.param("number", nn.initializers.constant(0.25), ())
        if not self.pyramid:
            return answer
        return answer, resize_bicubic(answer, images.shape[1] // 2, images.shape[2] // 2)


def make(model=None, **options):
    fields = {"degrade": lambda key, image: 0.5 * image, "pictures": PICTURES} | options
    return Restoration(model or Add(), optax.sgd(0.02), **fields)


def batch_of(images=PICTURES, **arrays):
    count = len(images)
    mask, row = jnp.ones(count), jnp.arange(count, dtype=jnp.int32)
    return {"image": jnp.asarray(images), "mask": mask, "row": row, **arrays}


def test_directly_or_as_what_is_missing():
    clean = jnp.asarray(PICTURES / np.float32(255))
    for prediction, expected in (("direct", 0.5 * clean + 0.25), ("residual", clean + 0.25)):
        task = make(prediction=prediction)
        state = task.init(KEY, batch_of())
        np.testing.assert_allclose(task.restore(state, 0.5 * clean), expected, atol=1e-6)
        found = compute(task.eval_step(state, batch_of(), KEY))
        assert found["loss"] == pytest.approx(float(jnp.abs(expected - clean).mean()), rel=1e-4)
        cut = jnp.clip(expected, 0, 1)
        assert found["psnr"] == pytest.approx(float(psnr(cut, clean).mean()), rel=1e-5)
        assert found["ssim"] == pytest.approx(float(ssim(cut, clean).mean()), rel=1e-4)


def test_every_scale_of_a_pyramid_counts():
    task = make(Add(pyramid=True), prediction="direct")
    state = task.init(KEY, batch_of())
    clean = jnp.asarray(PICTURES / np.float32(255))
    half = resize_bicubic(clean, 8, 8)
    expected = [jnp.abs(0.25 - 0.5 * x).mean() for x in (clean, half)]
    loss = compute(task.eval_step(state, batch_of(), KEY))["loss"]
    assert loss == pytest.approx(float(sum(expected)) / 2, rel=1e-4)


@pytest.mark.parametrize("enlarged", [True, False])
def test_small_images_come_back_at_their_size(enlarged):
    class Grow(nn.Module):
        @nn.compact
        def __call__(self, images, *, train: bool = False):
            factor = 1 if enlarged else 2
            self.sow("intermediates", "seen", images)
            number = self.param("number", nn.initializers.zeros, ())
            return number + jnp.zeros_like(images).repeat(factor, 1).repeat(factor, 2)

    task = make(Grow(), degrade=partial(shrink, scale=2), scale=2, enlarged=enlarged)
    state = task.init(KEY, batch_of())
    clean = jnp.asarray(PICTURES / np.float32(255))
    # What it adds is nothing: the bicubic image is left.
    found = task.compare(state, PICTURES, KEY)
    assert list(found) == ["clean", "bicubic", "network"]
    expected = resize_bicubic(resize_bicubic(clean, 8, 8), 16, 16)
    np.testing.assert_allclose(found["bicubic"], expected, atol=1e-6)
    np.testing.assert_allclose(found["network"], expected, atol=1e-6)


def test_the_border_and_padded_rows_do_not_count():
    task = make(prediction="direct", border=2)
    inner = PICTURES.copy()
    inner[:, :2] = inner[:, -2:] = inner[:, :, :2] = inner[:, :, -2:] = 0
    state = task.init(KEY, batch_of())

    def measured(images, mask=(1.0, 1.0, 1.0)):
        return compute(task.eval_step(state, batch_of(images, mask=jnp.array(mask)), KEY))

    assert measured(PICTURES)["psnr"] == pytest.approx(measured(inner)["psnr"], rel=1e-6)
    whole, part = measured(PICTURES[:2], (1.0, 1.0)), measured(PICTURES, (1.0, 1.0, 0.0))
    assert part == pytest.approx(whole, rel=1e-5)


def test_training_degrades_anew_and_learns():
    noise = partial(gaussian_noise, deviation=0.1)
    task = make(prediction="direct", degrade=noise)
    state, step = task.init(KEY, batch_of()), jax.jit(task.train_step)
    first, losses = state.params["number"], []
    for number in range(60):
        state, metrics = step(state, batch_of(), jax.random.fold_in(KEY, number))
        losses.append(compute(metrics)["loss"])
    assert abs(float(state.params["number"])) < abs(float(first)) / 2
    assert len(set(losses)) == 60


def test_all_ways_are_compared_on_the_same_degraded_pictures():
    """Each method is given the key, which tells what was done to the picture."""

    def degrade(key, image):
        return image * jax.random.uniform(key)

    task = make(
        degrade=degrade,
        classical={"undone": lambda key, image: image / float(jax.random.uniform(key))},
    )
    state = task.init(KEY, batch_of())
    found = task.compare(state, PICTURES, KEY)
    np.testing.assert_allclose(found["undone"], PICTURES / 255, atol=1e-5)
    lines = [
        line.rsplit(maxsplit=3) for line in task.texts(state, KEY)["image_quality"].split("\n")
    ]
    table = {line[0]: (float(line[1]), float(line[3])) for line in lines[1:]}
    assert list(table) == ["degraded", "undone", "network"]
    assert table["undone"] == (58.9, 1.0)
    expected = psnr(found["degraded"], found["clean"]).mean()
    assert table["degraded"][0] == pytest.approx(float(expected), abs=0.006)
    figures = task.figures(state, batch_of(), KEY)
    assert len(figures["restoration"].axes) == 4 * len(PICTURES)


def test_the_network_goes_on_from_what_is_undone():
    """Training, evaluation and comparison have it see what the key brings back."""

    def degrade(key, image):
        return image * jax.random.uniform(key)

    def undo(key, image):
        return image / jax.random.uniform(key)

    seen = []
    task = make(
        prediction="direct",
        degrade=degrade,
        undo=undo,
        classical={"as it is": lambda key, image: seen.append(image) or image},
    )
    state = task.init(KEY, batch_of())
    # The network adds 0.25 to the clean image.
    assert compute(task.eval_step(state, batch_of(), KEY))["loss"] == pytest.approx(0.25, rel=1e-4)
    _, metrics = task.train_step(state, batch_of(), KEY)
    assert compute(metrics)["loss"] == pytest.approx(0.25, rel=1e-4)
    found = task.compare(state, PICTURES, KEY)
    np.testing.assert_allclose(found["network"], PICTURES / 255 + 0.25, atol=1e-5)
    # The others are given what is left.
    np.testing.assert_array_equal(seen, found["degraded"])


def stripes_and_discs():
    rows, columns = np.mgrid[:48, :48]
    disc = (rows - 24) ** 2 + (columns - 24) ** 2 < 120
    image = np.where(disc, 0.8, 0.2 + 0.2 * (columns // 8 % 2))
    return image[..., None].astype(np.float32)


def test_a_known_blur_is_undone():
    clean = stripes_and_discs()
    kernel = motion_kernel(KEY, size=9, shortest=6.0, longest=7.0)
    blurred = np.asarray(blur(jnp.asarray(clean), kernel))
    kernel = np.asarray(kernel)
    ratio = lambda image: float(psnr(jnp.asarray(image[None]), jnp.asarray(clean[None]))[0])
    restored = richardson_lucy(blurred, kernel, 30)
    assert restored.shape == clean.shape
    assert restored.dtype == np.float32
    assert ratio(restored) > ratio(blurred) + 2
    turned = np.ascontiguousarray(kernel.T)
    assert ratio(richardson_lucy(blurred, turned, 30)) < ratio(blurred)


def test_total_variation_takes_noise_away_and_leaves_edges():
    clean = stripes_and_discs()
    noisy = clean + 0.1 * RANDOM.randn(*clean.shape).astype(np.float32)
    error = lambda image: np.square(image - clean).mean()
    assert error(total_variation(noisy, 0.1)) < error(noisy) / 4


def test_a_task_can_be_shortened():
    """What is compared at the end of a run is a field, of which tests take less."""
    few = dataclasses.replace(make(), pictures=PICTURES[:1])
    state = few.init(KEY, batch_of())
    assert len(few.compare(state, few.pictures, KEY)["network"]) == 1
