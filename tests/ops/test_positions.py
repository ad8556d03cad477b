import math

import jax.numpy as jnp
import pytest

from jdl.errors import UserError
from jdl.ops.positions import sinusoids


def test_sines_and_cosines_are_interleaved():
    positions = jnp.array([[0, 1, 7], [40, 41, 500]])
    found = sinusoids(positions, 6)
    assert found.shape == (2, 3, 6)
    for row in range(2):
        for column in range(3):
            for i in range(3):
                angle = int(positions[row, column]) / 10_000 ** (2 * i / 6)
                expected = math.sin(angle), math.cos(angle)
                pair = found[row, column, 2 * i : 2 * i + 2].tolist()
                assert pair == pytest.approx(expected, abs=1e-5)


def test_an_odd_width_is_refused():
    with pytest.raises(UserError, match="width of 5 is odd"):
        sinusoids(jnp.arange(3), 5)
