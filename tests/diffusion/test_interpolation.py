import jax.numpy as jnp
import numpy as np
import pytest

from jdl.diffusion.interpolation import interpolate
from jdl.diffusion.processes import VariancePreserving
from jdl.errors import UserError

from .known import MIXTURE


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
