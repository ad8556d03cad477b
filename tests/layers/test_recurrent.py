import jax
import jax.numpy as jnp
import numpy as np

from jdl.layers.recurrent import LSTM


def test_stack_equals_torchs_equations():
    layer = LSTM(hidden_size=4, num_layers=2)
    random = np.random.RandomState(0)
    x = random.randn(2, 6, 3).astype(np.float32)
    carry = tuple(random.randn(2, 2, 4).astype(np.float32) for _ in range(2))
    shapes = jax.eval_shape(layer.init, jax.random.key(0), x)
    variables = jax.tree.map(lambda s: random.randn(*s.shape).astype(np.float32), shapes)
    outputs, (hidden, cell) = jax.jit(layer.apply)(variables, x, carry)

    def sigmoid(a):
        return 1 / (1 + np.exp(-a))

    p = variables["params"]
    below = np.asarray(x, np.float64)
    for k in range(2):
        h, c = carry[0][:, k], carry[1][:, k]
        above = []
        for t in range(6):
            gates = below[:, t] @ p[f"weight_ih_l{k}"].T + p[f"bias_ih_l{k}"]
            gates = gates + h @ p[f"weight_hh_l{k}"].T + p[f"bias_hh_l{k}"]
            i, f, g, o = np.split(gates, 4, axis=-1)
            c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
            h = sigmoid(o) * np.tanh(c)
            above.append(h)
        np.testing.assert_allclose(hidden[:, k], h, rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(cell[:, k], c, rtol=1e-4, atol=1e-5)
        below = np.stack(above, axis=1)
    np.testing.assert_allclose(outputs, below, rtol=1e-4, atol=1e-5)


def test_counts_of_torch():
    shapes = jax.eval_shape(LSTM(hidden_size=256).init, jax.random.key(0), jnp.zeros((1, 2, 128)))[
        "params"
    ]
    assert sum(p.size for p in shapes.values()) == 4 * 256 * (128 + 256) + 2 * 4 * 256
    assert list(sorted(shapes)) == ["bias_hh_l0", "bias_ih_l0", "weight_hh_l0", "weight_ih_l0"]


def test_dropout_stands_between_the_layers_only():
    x = jnp.ones((1, 3, 2))
    one, two = LSTM(4, num_layers=1, dropout=0.5), LSTM(4, num_layers=2, dropout=0.5)

    def draws(layer):
        variables = jax.jit(layer.init)(jax.random.key(0), x)
        apply = jax.jit(lambda key: layer.apply(variables, x, train=True, rngs={"dropout": key})[0])
        return apply(jax.random.key(1)), apply(jax.random.key(2))

    first, second = draws(two)
    assert not jnp.allclose(first, second)
    first, second = draws(one)
    np.testing.assert_array_equal(first, second)


def test_forget_gate_starts_open():
    p = jax.jit(LSTM(4).init)(jax.random.key(0), jnp.ones((1, 2, 3)))["params"]
    total = p["bias_ih_l0"] + p["bias_hh_l0"]
    np.testing.assert_array_equal(total, [0] * 4 + [1] * 4 + [0] * 8)
