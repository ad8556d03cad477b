import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jdl.errors import UserError
from jdl.layers.recurrent import GRU, LSTM, RNN
from tests.layers.golden_recurrent import (
    CASES,
    LENGTHS,
    build,
    carry_of,
    draw,
    flat,
    inputs,
    stored,
)


def run(kind, case):
    """Outputs, last states and the gradient by the inputs and all weights, of our stack."""
    layer = build(kind, case)
    x, lengths = inputs(), jnp.array(LENGTHS)
    shapes = jax.eval_shape(layer.init, jax.random.key(0), x)["params"]
    params = {name: draw(name, leaf.shape) for name, leaf in shapes.items()}
    carry = carry_of(kind, layer.num_layers * layer.directions)

    def loss(params, x):
        results = layer.apply({"params": params}, x, carry, lengths=lengths)
        leaves = jax.tree.leaves(results)
        return sum((leaf * draw(str(leaf.shape), leaf.shape)).sum() for leaf in leaves), leaves

    (_, leaves), gradients = jax.jit(jax.value_and_grad(loss, (0, 1), has_aux=True))(params, x)
    return params, leaves, gradients


@pytest.mark.parametrize("case", range(len(CASES)))
@pytest.mark.parametrize("kind", ["RNN", "LSTM", "GRU"])
def test_equals_what_torch_gave(kind, case):
    _, leaves, gradients = run(kind, case)
    for found, expected in zip(flat(leaves, gradients), stored(kind, case), strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("case", range(len(CASES)))
@pytest.mark.parametrize("kind", ["RNN", "LSTM", "GRU"])
def test_equals_torch(kind, case):
    pytest.importorskip("torch")
    from tests.layers.golden_recurrent import run_torch

    params, leaves, gradients = run(kind, case)
    their_leaves, their_gradients = run_torch(kind, case, params)
    for found, expected in zip(leaves, their_leaves, strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)
    assert set(gradients[0]) == set(their_gradients[0])
    for name, expected in their_gradients[0].items():
        np.testing.assert_allclose(gradients[0][name], expected, rtol=1e-5, atol=1e-5, err_msg=name)
    np.testing.assert_allclose(gradients[1], their_gradients[1], rtol=1e-5, atol=1e-5)


def count(layer, features):
    shapes = jax.eval_shape(layer.init, jax.random.key(0), jnp.zeros((1, 2, features)))
    return sum(leaf.size for leaf in jax.tree.leaves(shapes))


def test_parameters_of_the_lectures_exercise():
    """Input 128, hidden 256."""
    assert count(RNN(256, second_bias=False), 128) == 98_560
    assert count(LSTM(256, second_bias=False), 128) == 394_240
    assert count(GRU(256, second_bias=False), 128) == 295_936
    assert count(GRU(256, second_bias=False, reset="before"), 128) == 3 * 256 * (128 + 256 + 1)
    assert count(RNN(256), 128) == 98_560 + 256
    assert count(LSTM(256), 128) == 394_240 + 4 * 256
    assert count(GRU(256), 128) == 295_936 + 2 * 256
    assert count(LSTM(256, second_bias=False, peepholes=True), 128) == 394_240 + 3 * 256
    assert count(LSTM(256, num_layers=2, bidirectional=True), 128) == 2 * (
        4 * 256 * (128 + 256 + 2) + 4 * 256 * (512 + 256 + 2)
    )


LAYERS = {
    "rnn": RNN(4, 2, bidirectional=True),
    "lstm": LSTM(4, 2, bidirectional=True, residual=True),
    "peepholes": LSTM(4, 2, bidirectional=True, peepholes=True),
    "gru": GRU(4, 2, bidirectional=True),
    "gru before": GRU(4, 2, bidirectional=True, reset="before", second_bias=False),
}


@pytest.mark.parametrize("name", LAYERS)
def test_padding_changes_nothing_and_gives_nothing(name):
    layer = LAYERS[name]
    random = np.random.default_rng(0)
    x = random.standard_normal((1, 6, 3)).astype(np.float32)
    variables = jax.jit(layer.init)(jax.random.key(0), x)
    variables = jax.tree.map(lambda a: a + 0.1 * random.standard_normal(a.shape), variables)
    apply = jax.jit(lambda x, lengths: layer.apply(variables, x, lengths=lengths))
    alone = jax.jit(lambda x: layer.apply(variables, x))(x[:, :4])
    padded, other = x.copy(), x.copy()
    other[:, 4:] = 1e3
    results = [apply(x, jnp.array([4])) for x in (padded, other)]
    for outputs, carry in results:
        np.testing.assert_allclose(outputs[:, :4], alone[0], rtol=1e-5, atol=1e-6)
        np.testing.assert_array_equal(outputs[:, 4:], 0)
        jax.tree.map(
            lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6), carry, alone[1]
        )


def test_residual_connections_add_from_the_second_layer_on():
    x = jnp.asarray(np.random.default_rng(0).standard_normal((1, 3, 4)), jnp.float32)
    plain, residual = (LSTM(4, num_layers=2, residual=r) for r in (False, True))
    variables = jax.jit(plain.init)(jax.random.key(0), x)
    first = {"params": {k: v for k, v in variables["params"].items() if k.endswith("l0")}}
    below, _ = LSTM(4).apply(first, x)
    np.testing.assert_allclose(
        residual.apply(variables, x)[0], plain.apply(variables, x)[0] + below, rtol=1e-5
    )


def test_a_sequence_in_two_pieces_is_one_sequence():
    layer = GRU(4, num_layers=2)
    x = jnp.asarray(np.random.default_rng(0).standard_normal((2, 5, 3)), jnp.float32)
    variables = jax.jit(layer.init)(jax.random.key(0), x)
    whole, last = layer.apply(variables, x)
    first, carry = layer.apply(variables, x[:, :2])
    second, carry = layer.apply(variables, x[:, 2:], carry)
    np.testing.assert_allclose(jnp.concatenate([first, second], 1), whole, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(carry, last, rtol=1e-5, atol=1e-6)


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


def test_half_precision_computes_in_half_and_keeps_float32_states():
    for layer in (RNN(4, dtype="bfloat16"), LSTM(4, dtype="bfloat16"), GRU(4, dtype="bfloat16")):
        variables = jax.jit(layer.init)(jax.random.key(0), jnp.ones((1, 2, 3)))
        outputs, carry = jax.jit(layer.apply)(variables, jnp.ones((1, 2, 3)))
        assert outputs.dtype == jnp.bfloat16
        assert {leaf.dtype for leaf in jax.tree.leaves(carry)} == {jnp.dtype("float32")}


@pytest.mark.parametrize(
    ("lengths", "message"),
    [
        ([3], "a batch of 2 sequences needs as many lengths, not 1"),
        ([3, 6], "lengths must lie in 0..5"),
    ],
)
def test_lengths_beyond_the_batch_are_refused(lengths, message):
    layer, x = RNN(4), jnp.ones((2, 5, 3))
    variables = layer.init(jax.random.key(0), x)
    with pytest.raises(UserError, match=message):
        layer.apply(variables, x, lengths=jnp.array(lengths))
