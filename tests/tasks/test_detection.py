import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from sklearn.metrics import average_precision_score, precision_recall_curve

from jdl.tasks.detection import Detection, precision_recall
from jdl.train.metrics import compute

KEY = jax.random.key(0)
RANDOM = np.random.RandomState(0)
IMAGES = RANDOM.randint(0, 256, (4, 8, 8, 1)).astype(np.uint8)
TRUTH = ((IMAGES[..., 0] > 180) ^ (RANDOM.rand(4, 8, 8) < 0.1)).astype(np.int32)


class Bright(nn.Module):
    """Takes bright pixels for what is sought."""

    @nn.compact
    def __call__(self, images, *, train: bool = False):
        scale = self.param("scale", nn.initializers.ones, ())
        return jnp.concatenate([-scale * images, 0.3 * scale * images], -1)


def make(**options):
    return Detection(Bright(), optax.sgd(0.0), ("background", "bright"), **options)


def batch_of(mask=(1, 1, 1, 1)):
    return {
        "image": jnp.asarray(IMAGES),
        "mask_label": jnp.asarray(TRUTH),
        "mask": jnp.array(mask, jnp.float32),
        "row": jnp.arange(4, dtype=jnp.int32),
    }


def test_the_average_precision_is_of_all_pixels_of_real_rows():
    task = make()
    state = task.init(KEY, batch_of())
    for count in (4, 2):
        mask = [1] * count + [0] * (4 - count)
        found = compute(task.eval_step(state, batch_of(mask), KEY))
        expected = average_precision_score(
            TRUTH[:count].ravel(), IMAGES[:count].astype(float).ravel()
        )
        assert found["average_precision"] == pytest.approx(expected, rel=1e-4)
        assert {"loss", "iou", "pixel_accuracy"} <= set(found)


def test_the_curve_is_scikit_learns():
    scores = RANDOM.permutation(50).astype(np.float32)  # None of them ties.
    positive = RANDOM.rand(50) < 0.3
    precision, recall = precision_recall(scores, positive)
    theirs = precision_recall_curve(positive, scores)
    np.testing.assert_allclose(precision[::-1], theirs[0][:-1], rtol=1e-6)
    np.testing.assert_allclose(recall[::-1], theirs[1][:-1], rtol=1e-6)


def test_the_figure_compares_with_other_scores():
    task = make(classical={"dark": lambda image: -image[..., 0].astype(float)})
    state = task.init(KEY, batch_of())
    figures = task.figures(state, batch_of(), KEY)
    assert {"precision_recall", "scores", "segmentation"} <= set(figures)
    labels = [line.get_label() for line in figures["precision_recall"].axes[0].lines]
    areas = dict(label.split(": ") for label in labels if ": " in label)
    assert float(areas["network"]) > TRUTH.mean() > float(areas["dark"])
