import jax
import jax.numpy as jnp
import numpy as np

from jdl.ops.random import per_example_keys


def test_a_row_draws_the_same_wherever_it_is_held():
    draw = jax.vmap(lambda key: jax.random.normal(key, (3,)))
    whole = draw(per_example_keys(jax.random.key(1), jnp.arange(6)))
    part = draw(per_example_keys(jax.random.key(1), jnp.array([4, 1])))
    np.testing.assert_array_equal(part, whole[np.array([4, 1])])
    assert len(np.unique(np.asarray(whole))) == 18
