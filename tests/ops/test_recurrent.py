import jax
import jax.numpy as jnp
import numpy as np

from jdl.ops.recurrent import _run, lstm


def example(time=7, batch=3, hidden=5):
    random = np.random.RandomState(0)

    def draw(*shape):
        return jnp.asarray(random.randn(*shape), jnp.float32)

    return (
        draw(time, batch, 4 * hidden),
        draw(4 * hidden, hidden),
        draw(batch, hidden),
        draw(batch, hidden),
    )


def test_equals_the_equations_step_by_step():
    inputs, weight, hidden, cell = (np.asarray(a, np.float64) for a in example())

    def sigmoid(a):
        return 1 / (1 + np.exp(-a))

    expected = []
    for x in inputs:
        i, f, g, o = np.split(x + hidden @ weight.T, 4, axis=-1)
        cell = sigmoid(f) * cell + sigmoid(i) * np.tanh(g)
        hidden = sigmoid(o) * np.tanh(cell)
        expected.append(hidden)
    outputs, last = jax.jit(lstm)(*example())
    np.testing.assert_allclose(outputs, np.stack(expected), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(last, cell, rtol=1e-5, atol=1e-6)


def test_gradient_equals_autodiff_of_the_plain_scan():
    def plain(*arguments):
        outputs, (_, cell), _, _ = _run(*arguments)
        return outputs, cell

    def gradient(function):
        def loss(*arguments):
            outputs, cell = function(*arguments)
            weights = jnp.cos(jnp.arange(outputs.size, dtype=jnp.float32)).reshape(outputs.shape)
            return (outputs * weights).sum() + (cell**2).sum()

        return jax.jit(jax.grad(loss, argnums=(0, 1, 2, 3)))(*example())

    for found, expected in zip(gradient(lstm), gradient(plain), strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)


def test_half_precision_keeps_its_types():
    inputs, weight, hidden, cell = example()
    half = (a.astype(jnp.bfloat16) for a in (inputs, weight, hidden))
    outputs, last = jax.jit(lstm)(*half, cell)
    assert (outputs.dtype, last.dtype) == (jnp.bfloat16, jnp.float32)
    exact, _ = jax.jit(lstm)(*example())
    np.testing.assert_allclose(outputs.astype(jnp.float32), exact, atol=0.1)
    gradients = jax.jit(
        jax.grad(lambda w: lstm(inputs.astype(w.dtype), w, hidden.astype(w.dtype), cell)[0].sum())
    )(weight.astype(jnp.bfloat16))
    assert gradients.dtype == jnp.bfloat16
