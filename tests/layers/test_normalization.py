import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from jdl.layers.normalization import DATA_AXIS, BatchNorm


class Normed(nn.Module):
    @nn.compact
    def __call__(self, x, *, train):
        return BatchNorm(train=train, name="norm")(x)


def test_statistics_are_those_of_the_global_batch_when_mapped():
    model = Normed()
    x = 3 + 2 * jax.random.normal(jax.random.key(1), (16, 4))
    variables = jax.jit(model.init, static_argnames="train")(jax.random.key(0), x, train=False)

    def step(variables, x):
        return model.apply(variables, x, train=True, mutable=["batch_stats"])

    whole, state = jax.jit(step)(variables, x)
    devices = jax.local_device_count()
    assert devices == 8
    shards = x.reshape(devices, -1, 4)
    mapped, states = jax.pmap(step, axis_name=DATA_AXIS, in_axes=(None, 0))(variables, shards)
    np.testing.assert_allclose(mapped.reshape(16, 4), whole, rtol=1e-4, atol=1e-5)
    for one, each in zip(jax.tree.leaves(state), jax.tree.leaves(states), strict=True):
        for device in range(devices):
            np.testing.assert_allclose(each[device], one, rtol=1e-4)


def test_momentum_keeps_nine_tenths():
    x = jnp.full((4, 1), 10.0)
    layer = BatchNorm(train=True)
    variables = layer.init(jax.random.key(0), x)
    _, state = layer.apply(variables, x, mutable=["batch_stats"])
    np.testing.assert_allclose(state["batch_stats"]["mean"], [1.0], rtol=1e-6)


def test_evaluation_uses_the_running_statistics():
    layer = BatchNorm(train=False)
    variables = {
        "params": {"scale": jnp.array([2.0]), "bias": jnp.array([1.0])},
        "batch_stats": {"mean": jnp.array([3.0]), "var": jnp.array([4.0 - 1e-5])},
    }
    y = layer.apply(variables, jnp.array([[5.0], [3.0]]))
    np.testing.assert_allclose(y, [[3.0], [1.0]], rtol=1e-6)
