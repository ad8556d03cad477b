import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jdl.diffusion.interpolation import interpolate, spherical
from jdl.diffusion.processes import VariancePreserving
from jdl.errors import UserError

from .known import MIXTURE


def test_an_arc_keeps_the_length_of_noise():
    x, y = jax.random.normal(jax.random.key(0), (2, 1000))
    for share in (0.0, 0.3, 0.5, 1.0):
        length = float(jnp.linalg.norm(spherical(x, y, share))) / 1000**0.5
        assert length == pytest.approx(1, abs=0.05)
    assert float(jnp.linalg.norm((x + y) / 2)) / 1000**0.5 < 0.8
    np.testing.assert_allclose(spherical(x, y, 0.0), x, atol=1e-5)
    np.testing.assert_allclose(spherical(x, y, 1.0), y, atol=1e-5)
    np.testing.assert_allclose(spherical(x, 3 * x, 0.5), 2 * x, rtol=1e-5)


def test_the_way_begins_and_ends_at_the_images_and_stays_among_them():
    process = VariancePreserving()
    first, second = jnp.array([1.0, 0.8]), jnp.array([-1.2, 0.2])  # two modes
    way = interpolate(MIXTURE.denoiser(process), process, first, second, count=9, steps=300)
    np.testing.assert_allclose(way[0], first, atol=0.1)
    np.testing.assert_allclose(way[-1], second, atol=0.1)
    # The straight line crosses where there is nothing; a decoded point is where the data is.
    straight = MIXTURE.log_density((first + second)[None] / 2)
    assert float(MIXTURE.log_density(way).min()) > float(straight[0]) + 1


def test_images_of_two_shapes_are_refused():
    process = VariancePreserving()
    with pytest.raises(UserError, match="the second image has to have the shape 2, not 3"):
        interpolate(MIXTURE.denoiser(process), process, jnp.zeros(2), jnp.zeros(3))
    with pytest.raises(UserError, match="at least 2, not 1"):
        interpolate(MIXTURE.denoiser(process), process, jnp.zeros(2), jnp.zeros(2), count=1)
