import os

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jdl.ops.activations import tanh
from jdl.ops.lowering import plain_lowerings


def test_tanh_is_exact_to_four_units_in_the_last_place():
    near = np.logspace(-20, 1.5, 200_000)
    x = np.concatenate([-near[::-1], [0], near]).astype(np.float32)
    expected = np.tanh(x.astype(np.float64))
    np.testing.assert_allclose(tanh(jnp.asarray(x)), expected, rtol=4 * 2**-23, atol=0)
    slopes = jax.vmap(jax.grad(tanh))(jnp.asarray(x))
    np.testing.assert_allclose(slopes, 1 - expected**2, rtol=0, atol=1e-6)


def test_tanh_hands_on_what_is_no_number():
    with jax.debug_nans(False):
        assert jnp.isnan(tanh(jnp.float32(jnp.nan)))


@pytest.mark.parametrize("dtype", [jnp.float16, jnp.bfloat16])
def test_tanh_of_other_precisions_is_jaxs(dtype):
    x = jnp.linspace(-9, 9, 99).astype(dtype)
    assert tanh(x).dtype == dtype
    assert (tanh(x) == jnp.tanh(x)).all()


@pytest.mark.skipif(os.cpu_count() == 1, reason="one core has nothing to share")
def test_threads_share_tanh_of_a_few_thousand_numbers():
    def text() -> str:
        return jax.jit(lambda x: tanh(x)).lower(jnp.ones((32, 256))).compile().as_text()

    assert 'outer_dimension_partitions":["' in text()
    with plain_lowerings():
        assert 'outer_dimension_partitions":["' not in text()
