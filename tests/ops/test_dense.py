import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jdl.ops.dense import dot_general, transposed_product
from jdl.ops.lowering import plain_lowerings


@pytest.mark.parametrize("shape", [(256, 300), (2, 130, 256), (2, 3, 50, 257), (300, 500)])
def test_is_laxs_forward_and_backward(shape):
    random = np.random.RandomState(0)
    x = jnp.asarray(random.randn(*shape), jnp.float32)
    w = jnp.asarray(random.randn(shape[-1], 400) / shape[-1] ** 0.5, jnp.float32)
    dimensions = (((x.ndim - 1,), (0,)), ((), ()))

    def loss(x, w):
        y = dot_general(x, w, dimensions, precision=None)
        return jnp.sin(y).sum(), y

    def value_and_gradients():
        return jax.jit(jax.grad(loss, argnums=(0, 1), has_aux=True))(x, w)

    assert "custom_vjp_call" in str(jax.make_jaxpr(loss)(x, w))
    found = value_and_gradients()
    jax.clear_caches()
    with plain_lowerings():
        assert "custom_vjp_call" not in str(jax.make_jaxpr(loss)(x, w))
        expected = value_and_gradients()
    for a, b in zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("sizes", [(300, 128, 400), (300, 400, 128), (5, 3, 2)])
def test_transposed_product_is_the_plain_one(sizes):
    vectors, inputs, outputs = sizes
    random = np.random.RandomState(0)
    x = jnp.asarray(random.randn(vectors, inputs), jnp.float32)
    y = jnp.asarray(random.randn(vectors, outputs), jnp.float32)
    found = jax.jit(transposed_product)(x, y)
    np.testing.assert_allclose(found, np.asarray(x).T @ np.asarray(y), rtol=1e-4, atol=1e-4)
    large = min(inputs, outputs) >= 128
    assert ("optimization_barrier" in str(jax.make_jaxpr(transposed_product)(x, y))) == large
