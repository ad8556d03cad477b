import jax
import jax.numpy as jnp
import numpy as np

from jdl.explore.through_time import gradient_norms, lstm_gates
from jdl.layers.recurrent import LSTM, RNN


def test_a_linear_network_of_known_gain_gives_a_geometric_series():
    layer = RNN(3, activation=lambda a: a)
    rotation = np.linalg.qr(np.random.default_rng(0).standard_normal((3, 3)))[0]
    params = {
        "weight_ih_l0": jnp.eye(3),
        "weight_hh_l0": jnp.asarray(0.8 * rotation, jnp.float32),
        "bias_ih_l0": jnp.zeros(3),
        "bias_hh_l0": jnp.zeros(3),
    }
    outputs_of = lambda x: layer.apply({"params": params}, x)[0]
    norms = gradient_norms(outputs_of, jnp.ones((4, 10, 3)), jax.random.key(0))
    np.testing.assert_allclose(norms, 0.8 ** np.arange(10)[::-1], rtol=1e-4)


def test_gates_make_the_states_that_the_layer_returns():
    x = jax.random.normal(jax.random.key(0), (2, 5, 3))
    layer = LSTM(4)
    variables = layer.init(jax.random.key(1), x)
    outputs, (hidden, cell) = layer.apply(variables, x)
    gates = lstm_gates(variables["params"], x)
    np.testing.assert_allclose(
        gates["output"] * np.tanh(gates["cell"]), outputs, rtol=1e-4, atol=1e-6
    )
    np.testing.assert_allclose(gates["cell"][:, -1], cell[:, 0], rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(gates["hidden"][:, -1], hidden[:, 0], rtol=1e-5)
