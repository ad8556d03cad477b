import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

import jdl
from jdl.explore.interpreter import count_rectifiers, evaluate, interpret, with_rectifier


def setting(name="lenet5_relu", size=32, **options):
    model = jdl.create_model(name, **options)
    channels = 1 if name.startswith("lenet") else 3
    images = jax.random.uniform(jax.random.key(1), (2, size, size, channels))
    return model, jax.jit(model.init)(jax.random.key(0), images), images


def test_a_computation_is_evaluated_as_it_is():
    model, variables, images = setting()
    computation = jax.make_jaxpr(model.apply)(variables, images)
    leaves = jax.tree.leaves((variables, images))
    (logits,) = interpret(computation, leaves, evaluate)
    np.testing.assert_allclose(logits, model.apply(variables, images), rtol=1e-5, atol=1e-6)


def test_gradients_of_their_own_are_kept():
    """Of equal values, jdl's max-pooling gives the first the gradient; plain maxima share it."""
    model, variables, images = setting()
    images = jnp.round(images, 1)
    loss = lambda network: lambda x: jnp.square(network(x)).sum()
    plain = lambda x: model.apply(variables, x)
    same = with_rectifier(plain, jax.nn.relu)
    np.testing.assert_allclose(
        jax.grad(loss(same))(images), jax.grad(loss(plain))(images), rtol=1e-4, atol=1e-5
    )


def test_every_rectifier_is_found():
    model, variables, images = setting()
    assert count_rectifiers(model.apply, variables, images) == 4
    assert count_rectifiers(*_tanh()) == 0


def _tanh():
    model, variables, images = setting("lenet5")
    return model.apply, variables, images


def test_the_other_rectifier_takes_their_place():
    x = jnp.array([-1.0, 2.0, 9.0])
    for function, expected in (
        (lambda x: nn.relu(x) + 1, x**2 + 1),
        (lambda x: nn.relu6(x), jnp.minimum(x**2, 6)),
        (lambda x: jnp.maximum(jax.jit(nn.relu)(x), 0), x**4),
        (lambda x: jnp.maximum(0, x), jnp.maximum(x, 0)),
        (lambda x: {"a": nn.relu(x), "b": x}["b"], x),
        (lambda x: jnp.maximum(x, 1.0), jnp.maximum(x, 1.0)),
    ):
        np.testing.assert_allclose(with_rectifier(function, jnp.square)(x), expected)
