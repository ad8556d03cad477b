import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jdl.data import InMemoryLoader
from jdl.errors import UserError
from jdl.explore.ensemble import measure_ensemble
from jdl.tasks.classification import Classification

IMAGES = np.random.RandomState(0).uniform(size=(7, 2, 2, 1)).astype(np.float32)
LABELS = np.array([0, 1, 2, 0, 1, 2, 0], np.int32)


class Linear(nn.Module):
    @nn.compact
    def __call__(self, images, *, train: bool = False):
        return nn.Dense(3)(images.reshape(len(images), -1))


def member(seed, num_classes=3, **options):
    task = Classification(Linear(), optax.sgd(0.1), num_classes, **options)
    return task, task.init(jax.random.key(seed), {"image": jnp.asarray(IMAGES)})


def test_it_is_the_mean_of_the_probabilities_without_padded_rows():
    members = {"a": member(0), "b": member(1)}
    found = measure_ensemble(members, InMemoryLoader({"image": IMAGES, "label": LABELS}, 4))
    each = [
        np.asarray(task.probabilities(state, jnp.asarray(IMAGES)))
        for task, state in members.values()
    ]
    for name, p in zip(("a", "b", "ensemble"), (*each, (each[0] + each[1]) / 2), strict=True):
        true = p[np.arange(7), LABELS]
        assert found[name]["loss"] == pytest.approx(-np.log(true).mean(), rel=1e-5)
        assert found[name]["accuracy"] == pytest.approx((p.argmax(-1) == LABELS).mean())
    # By convexity, never worse than its members on the average.
    assert found["ensemble"]["loss"] < (found["a"]["loss"] + found["b"]["loss"]) / 2


def test_classes_of_other_names_are_refused():
    loader = InMemoryLoader({"image": IMAGES, "label": LABELS}, 4)
    members = {"a": member(0, class_names=("x", "y", "z")), "b": member(1)}
    with pytest.raises(UserError, match="the classes of a and b have other names"):
        measure_ensemble(members, loader)
