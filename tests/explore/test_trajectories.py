import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jdl.explore.trajectories import (
    batch_paths,
    descend,
    optimizer_paths,
    ravine,
    sampled,
    trajectory_figure,
)

KEY = jax.random.key(0)


def test_gradient_descent_contracts_along_each_axis():
    path = descend(optax.sgd(0.02), ravine, 6, jnp.array([2.0, 1.0]))
    np.testing.assert_allclose(path[:, 0], 2 * 0.98 ** np.arange(7), rtol=1e-5)
    np.testing.assert_allclose(path[1:, 1], 0.0, atol=1e-6)  # 1 − 0.02·50


def test_what_the_lectures_say_of_the_ravine_can_be_seen():
    paths = optimizer_paths()
    ends = {name: float(ravine(path[-1], KEY)) for name, path in paths.items()}
    assert ends["Nesterov"] < ends["momentum"] < 0.1 * ends["gradient descent"]
    # Plain descent goes from wall to wall, and Nesterov corrects momentum's way across.
    turns = {name: int((np.diff(np.sign(path[:30, 1])) != 0).sum()) for name, path in paths.items()}
    assert turns["gradient descent"] > 25
    across = {name: float(jnp.abs(jnp.diff(path[:, 1])).sum()) for name, path in paths.items()}
    assert across["Nesterov"] < 0.5 * across["momentum"]


def test_fewer_examples_make_a_noisier_way():
    paths = batch_paths()
    loss = sampled(100)
    tail = {name: path[40:] for name, path in paths.items()}
    roughness = [float(jnp.abs(jnp.diff(path, axis=0)).mean()) for path in tail.values()]
    assert roughness == sorted(roughness)
    assert loss(paths["full batch"][-1], KEY) == pytest.approx(
        float(min(loss(point, KEY) for point in paths["full batch"])), rel=1e-4
    )


def test_the_figure_shows_every_way_and_its_heights():
    paths = {"one": descend(optax.sgd(0.01), ravine, 5)}
    plane, curves = trajectory_figure(paths).axes
    np.testing.assert_allclose(plane.lines[0].get_xydata(), paths["one"])
    heights = curves.lines[0].get_ydata()
    np.testing.assert_allclose(heights, [ravine(point, KEY) for point in paths["one"]], rtol=1e-5)
