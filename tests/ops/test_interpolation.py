import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jdl.errors import UserError
from jdl.ops.interpolation import linear_path, spherical_path


@pytest.fixture
def ends():
    keys = jax.random.split(jax.random.key(0))
    return tuple(jax.random.normal(key, (3, 40)) for key in keys)


@pytest.mark.parametrize("path", [linear_path, spherical_path])
def test_paths_begin_and_end_where_they_should(path, ends):
    codes = path(*ends, 5)
    assert codes.shape == (3, 5, 40)
    np.testing.assert_allclose(codes[:, 0], ends[0], atol=1e-5)
    np.testing.assert_allclose(codes[:, -1], ends[1], atol=1e-5)
    np.testing.assert_allclose(path(ends[0][1], ends[1][1], 5), codes[1], atol=1e-5)


def test_a_spherical_path_turns_evenly_and_keeps_its_length(ends):
    start, end = (x / jnp.linalg.norm(x, axis=-1, keepdims=True) for x in ends)
    codes = spherical_path(start, end, 9)
    np.testing.assert_allclose(jnp.linalg.norm(codes, axis=-1), 1, atol=1e-5)
    angles = jnp.arccos((codes[:, 1:] * codes[:, :-1]).sum(-1))
    np.testing.assert_allclose(angles, jnp.broadcast_to(angles[:, :1], angles.shape), rtol=1e-3)
    # A straight path is shorter in the middle.
    assert (jnp.linalg.norm(linear_path(start, end, 9)[:, 4], axis=-1) < 0.9).all()


def test_ends_on_one_line_are_joined_straight():
    start = jnp.array([[1.0, 2.0], [1.0, 2.0]])
    end = jnp.array([[2.0, 4.0], [-1.0, -2.0]])
    np.testing.assert_allclose(spherical_path(start, end, 4), linear_path(start, end, 4))
    gradient = jax.grad(lambda a: spherical_path(a, end, 4).sum())(start)
    assert np.isfinite(gradient).all()


def test_ends_of_other_shapes_and_too_few_steps_are_refused():
    with pytest.raises(UserError, match=r"not \(4,\) and \(5,\)"):
        linear_path(jnp.zeros(4), jnp.zeros(5), 3)
    with pytest.raises(UserError, match="at least two steps, its ends, not 1"):
        spherical_path(jnp.zeros(4), jnp.ones(4), 1)
