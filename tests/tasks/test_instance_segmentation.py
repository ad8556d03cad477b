import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jdl.errors import UserError
from jdl.ops.objects import contacts
from jdl.tasks.instance_segmentation import InstanceSegmentation
from jdl.train.metrics import compute

KEY = jax.random.key(0)
TRUTH = np.zeros((2, 6, 12), np.uint8)
TRUTH[0, 1:4, 1:5], TRUTH[0, 1:4, 5:9], TRUTH[1, 2:5, 2:6] = 1, 2, 1  # Two that touch, and one.
APART = (TRUTH > 0) & ~np.asarray(jax.vmap(contacts)(TRUTH.astype(np.int32)))


class Answer(nn.Module):
    """Takes for objects what is bright."""

    @nn.compact
    def __call__(self, images, *, train: bool = False):
        bright = self.param("scale", nn.initializers.ones, ()) * images.mean(-1)
        return jnp.stack([-bright, bright], -1)


def make():
    return InstanceSegmentation(Answer(), optax.sgd(0.0), ("ground", "object"), most=3)


def batch_of(shown, mask=(1, 1), **arrays):
    return {
        "image": jnp.asarray(255 * shown[..., None].astype(np.uint8)),
        "instances": jnp.asarray(TRUTH),
        "mask_label": jnp.asarray(APART.astype(np.uint8)),
        "mask": jnp.array(mask, jnp.float32),
        "row": jnp.arange(2, dtype=jnp.int32),
        **arrays,
    }


def test_objects_that_hang_together_are_one_and_so_not_found():
    task = make()
    state = task.init(KEY, batch_of(TRUTH))
    apart = compute(task.eval_step(state, batch_of(APART), KEY))
    assert (apart["f1"], apart["touching_found"], apart["pixel_accuracy"]) == (1.0, 1.0, 1.0)
    joined = compute(task.eval_step(state, batch_of(TRUTH > 0), KEY))
    # Of three objects one is found, and two are proposed.
    assert joined["f1"] == pytest.approx(2 / 5)
    assert joined["touching_found"] == 0.0
    second = compute(task.eval_step(state, batch_of(TRUTH > 0, mask=(0, 1)), KEY))
    assert second["f1"] == 1.0
    assert np.isnan(second["touching_found"])


def test_masks_of_another_size_are_refused():
    batch = batch_of(TRUTH, mask_label=jnp.zeros((2, 6, 11), int), weight=jnp.ones((2, 6, 11)))
    task = make()
    with pytest.raises(UserError, match="6×12 pixels are answered for 6×12, but .* have 6×11"):
        task.train_step(task.init(KEY, batch), batch, KEY)


def test_training_weighs_pixels():
    task = make()
    shown = np.zeros_like(TRUTH)  # Everything is wrong where there is an object.
    weight = jnp.where(jnp.asarray(APART), 5.0, 1.0)
    batch = batch_of(shown, weight=weight)
    state = task.init(KEY, batch)
    _, metrics = jax.jit(task.train_step)(state, batch, KEY)
    share = float(APART.mean())
    wrong, right = np.log(1 + np.exp(2)), np.log(1 + np.exp(-2))
    expected = (5 * share * wrong + (1 - share) * right) / (5 * share + 1 - share)
    assert compute(metrics)["loss"] == pytest.approx(expected, rel=1e-4)
    # Evaluation does not.
    expected = share * wrong + (1 - share) * right
    assert compute(task.eval_step(state, batch_of(shown), KEY))["loss"] == pytest.approx(
        expected, rel=1e-4
    )


def test_the_figure_begins_with_objects_that_touch():
    task = make()
    state = task.init(KEY, batch_of(TRUTH > 0))
    grid = task.figures(state, batch_of(TRUTH > 0), KEY)["objects"].axes[0].images
    assert len(grid) == 6
    colours = lambda image: len(np.unique(np.asarray(image.get_array()).reshape(-1, 3), axis=0))
    # The first truth has two objects, what hangs together there is one.
    assert [colours(grid[i]) for i in (2, 4)] == [3, 2]
