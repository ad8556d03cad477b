import numpy as np
import pytest
from jax.tree_util import Partial

from jdl.errors import UserError
from jdl.explore.neighbours import embed, nearest_neighbours, neighbours_figure


def test_neighbours_are_those_of_all_distances():
    random = np.random.RandomState(0)
    x, y = random.randn(7, 5), random.randn(30, 5)
    where, distances = nearest_neighbours(x, y, 4)
    every = np.linalg.norm(x[:, None] - y[None], axis=-1)
    np.testing.assert_array_equal(where, np.argsort(every, axis=1)[:, :4])
    np.testing.assert_allclose(distances, np.sort(every, axis=1)[:, :4])
    with pytest.raises(UserError, match="31 neighbours cannot be found among 30"):
        nearest_neighbours(x, y, 31)


def test_features_are_a_row_for_each_image():
    images = np.random.RandomState(0).rand(7, 4, 4, 2).astype(np.float32)
    done: list[int] = []
    rows = embed(Partial(lambda x: 2 * x), images, batch=3, advance=lambda: done.append(1))
    assert len(done) == 7
    np.testing.assert_allclose(rows, 2 * images.reshape(7, -1))


def test_a_row_of_the_figure_for_each_query():
    images = np.random.RandomState(0).rand(6, 4, 4, 1)
    figure = neighbours_figure(images[:2], {"pixels": [images[:3]] * 2, "f6": [images[3:]] * 2})
    assert len(figure.axes) == 2 * (1 + 3 + 3)
    assert [a.get_title("left") for a in figure.axes if a.get_title("left")] == ["pixels", "f6"]
