import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.experimental import rnn

from jdl.layers.recurrent import LSTM
from jdl.ops import cudnn
from jdl.ops.lowering import plain_lowerings

BATCH, TIME, FEATURES, HIDDEN = 3, 5, 4, 6
LENGTHS = jnp.array([5, 2, 0], jnp.int32)


def written_out(x, h, c, weights, lengths, inputs, hidden, layers, dropout, bidirectional):
    """JAX's own reference of cuDNN's LSTM, which reads the same vector of weights."""
    unpacked = rnn.unpack_lstm_weights(weights, inputs, hidden, layers, bidirectional)
    return rnn.lstm_ref(x, h, c, *unpacked, lengths, inputs, hidden, layers, dropout, bidirectional)


@pytest.mark.parametrize("bidirectional", [False, True])
def test_weights_are_where_cudnn_looks_for_them(bidirectional, monkeypatch):
    """The layer that calls cuDNN, with cuDNN's reference in its place, is the layer that scans."""
    layer = LSTM(HIDDEN, num_layers=2, bidirectional=bidirectional)
    random = np.random.default_rng(0)
    draw = lambda *shape: jnp.asarray(random.standard_normal(shape), jnp.float32)
    x = draw(BATCH, TIME, FEATURES)
    states = 2 * (1 + bidirectional)
    carry = draw(BATCH, states, HIDDEN), draw(BATCH, states, HIDDEN)
    variables = jax.tree.map(
        lambda leaf: 0.5 * draw(*leaf.shape),
        jax.eval_shape(layer.init, jax.random.key(0), x),
    )
    expected = layer.apply(variables, x, carry, lengths=LENGTHS)
    called = []
    monkeypatch.setattr(cudnn, "is_available", lambda: not called.append(1))
    monkeypatch.setattr(rnn, "lstm", written_out)
    found = layer.apply(variables, x, carry, lengths=LENGTHS)
    assert called
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6), found, expected
    )


@pytest.mark.skipif(jax.default_backend() != "gpu", reason="needs a GPU")
def test_cudnn_is_the_scan():
    layer = LSTM(HIDDEN, num_layers=2, bidirectional=True)
    x = jax.random.normal(jax.random.key(0), (BATCH, TIME, FEATURES))
    variables = layer.init(jax.random.key(1), x)

    def loss(variables):
        outputs, carry = layer.apply(variables, x, lengths=LENGTHS)
        return (outputs**2).sum() + sum((state**2).sum() for state in carry)

    with jax.default_matmul_precision("highest"):
        found = jax.value_and_grad(loss)(variables)
        with plain_lowerings():
            expected = jax.value_and_grad(loss)(variables)
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5), found, expected
    )
