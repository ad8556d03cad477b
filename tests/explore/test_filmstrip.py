import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jdl.data import InMemoryLoader
from jdl.errors import UserError
from jdl.explore.filmstrip import filmstrip, watch_first_filters
from jdl.tasks.classification import Classification

KEY = jax.random.key(0)
RANDOM = np.random.RandomState(0)
LOADER = InMemoryLoader(
    {"image": RANDOM.rand(12, 4, 4, 1).astype(np.float32), "label": np.arange(12) % 2}, 4
)


class Net(nn.Module):
    maps: int

    @nn.compact
    def __call__(self, images, *, train: bool = False):
        x = nn.Conv(self.maps, (3, 3))(images) if self.maps else images[:, :1, :1]
        return nn.Dense(2)(x.mean((1, 2)))


def test_filters_are_those_of_the_steps_that_were_asked_for():
    task = Classification(Net(3), optax.sgd(0.5), 2)
    seen = watch_first_filters(task, LOADER, [0, 2, 5], KEY)
    assert list(seen) == [0, 2, 5]
    advance = jax.jit(task.train_step)
    draws, start = jax.random.split(KEY)
    batches = [jax.tree.map(jnp.asarray, LOADER.batch(step)) for step in range(6)]
    state = task.init(start, batches[0])
    for step, batch in enumerate(batches):
        if step in seen:
            kernel = np.asarray(state.params["Conv_0"]["kernel"])
            np.testing.assert_allclose(seen[step], np.moveaxis(kernel, -1, 0), atol=1e-6)
        state, _ = advance(state, batch, jax.random.fold_in(draws, step))
    assert np.abs(seen[5] - seen[0]).max() > 1e-3


def test_a_network_without_filters_is_refused():
    task = Classification(Net(0), optax.sgd(0.5), 2)
    with pytest.raises(UserError, match="begins with no filters"):
        watch_first_filters(task, LOADER, [1], KEY)


def test_a_row_has_one_scale():
    before, after = np.full((3, 2, 2, 1), 0.5), np.ones((3, 2, 2, 1))
    after[1] = 0.25
    shown = np.asarray(filmstrip({0: before, 10: after}, most=2).axes[0].images[0].get_array())
    assert shown.shape == (5, 5, 3)  # two rows, two columns, and lines between them
    white = np.ptp(shown, axis=-1) < 0.05
    assert white[2].all()
    assert white[:, 2].all()
    half, whole, large, small = shown[0, 0], shown[0, 3], shown[3, 0], shown[3, 3]
    # The strongest red of a row is the same in every row, wherever it is.
    np.testing.assert_allclose(whole, large)
    np.testing.assert_allclose(half, small)
    assert np.ptp(half) > 0.1
