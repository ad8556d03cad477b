"""What every network from sequence to sequence must do, and each one's own."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jdl import create_model
from jdl.layers.recurrent import LSTM
from jdl.ops.sequences import reversed_within

SMALL = {"source_vocabulary": 7, "target_vocabulary": 9, "hidden_size": 8}
MODELS = {
    "plain": lambda **o: create_model("seq2seq", embedding_size=6, num_layers=2, **SMALL, **o),
    "attention": lambda **o: create_model(
        "seq2seq",
        embedding_size=6,
        num_layers=2,
        **SMALL,
        attention=True,
        bidirectional=True,
        reverse_source=False,
        **o,
    ),
    "reversed attention": lambda **o: create_model(
        "seq2seq", embedding_size=6, num_layers=1, **SMALL, attention=True, **o
    ),
    "neighbours": lambda **o: create_model(
        "seq2seq", embedding_size=6, num_layers=1, filters=5, **SMALL, attention=True, **o
    ),
    "rnnsearch": lambda **o: create_model(
        "seq2seq_attention", embedding_size=6, maxout_size=5, **SMALL, **o
    ),
    "gnmt": lambda **o: create_model("gnmt", num_layers=3, **SMALL, **o),
}
SOURCE = jnp.array([[3, 1, 4, 1, 5], [2, 6, 5, 0, 0]])
LENGTHS = jnp.array([5, 3])
INPUTS = jnp.array([[0, 2, 7, 1], [0, 8, 2, 8]])


@functools.cache
def build(name, **overrides):
    model = MODELS[name](**overrides)
    variables = jax.jit(model.init)(jax.random.key(0), SOURCE, LENGTHS, INPUTS)
    random = np.random.default_rng(0)
    # Biases that are not zero, and scores that are not alike.
    noise = lambda leaf: leaf + 0.3 * random.standard_normal(leaf.shape).astype(np.float32)
    return model, jax.tree.map(noise, variables)


@functools.cache
def forward(name):
    model, variables = build(name)
    return jax.jit(lambda *inputs: model.apply(variables, *inputs))


@pytest.mark.parametrize("name", MODELS)
def test_step_by_step_is_all_at_once(name):
    model, variables = build(name)
    whole = forward(name)(SOURCE, LENGTHS, INPUTS)

    @jax.jit
    def begin():
        memory = model.apply(variables, SOURCE, LENGTHS, method="encode")
        return memory, model.apply(variables, memory, method="initial_carry")

    memory, carry = begin()
    step = jax.jit(
        lambda carry, tokens: model.apply(variables, memory, carry, tokens, method="step")
    )
    for t in range(INPUTS.shape[1]):
        logits, carry, attention = step(carry, INPUTS[:, t])
        np.testing.assert_allclose(logits, whole[:, t], rtol=1e-4, atol=1e-5)
        if name == "plain":
            assert attention is None
        else:
            np.testing.assert_allclose(attention.sum(-1), 1, rtol=1e-5)
            np.testing.assert_array_equal(attention[1, 3:], 0)
            assert float(attention[0].std()) > 1e-3


@pytest.mark.parametrize("name", MODELS)
def test_what_stands_in_the_padding_does_not_matter(name):
    logits = forward(name)(SOURCE, LENGTHS, INPUTS)
    other = SOURCE.at[1, 3:].set(jnp.array([4, 2]))
    np.testing.assert_array_equal(forward(name)(other, LENGTHS, INPUTS), logits)
    model, variables = build(name)
    alone = jax.jit(model.apply)(variables, SOURCE[1:, :3], LENGTHS[1:], INPUTS[1:])
    np.testing.assert_allclose(alone[0], logits[1], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", MODELS)
def test_a_token_changes_what_comes_after_it_only(name):
    before = forward(name)(SOURCE, LENGTHS, INPUTS)
    after = forward(name)(SOURCE, LENGTHS, INPUTS.at[:, 2].set(3))
    np.testing.assert_array_equal(before[:, :2], after[:, :2])
    assert (jnp.abs(before[:, 2:] - after[:, 2:]).max((1, 2)) > 1e-4).all()


@pytest.mark.parametrize("name", MODELS)
def test_every_symbol_of_the_source_matters(name):
    logits = forward(name)(SOURCE, LENGTHS, INPUTS)
    for place in range(5):
        other = SOURCE.at[0, place].set(6)
        assert jnp.abs(forward(name)(other, LENGTHS, INPUTS) - logits)[0].max() > 1e-4


@pytest.mark.parametrize("name", MODELS)
def test_dropout_acts_in_training_only(name):
    model, variables = build(name, dropout=0.5)
    apply = jax.jit(
        lambda key: model.apply(
            variables, SOURCE, LENGTHS, INPUTS, train=True, rngs={"dropout": key}
        )
    )
    one, two = map(apply, jax.random.split(jax.random.key(0)))
    assert jnp.abs(one - two).max() > 1e-3
    # Without the flag there is no key to draw from.
    np.testing.assert_allclose(
        jax.jit(model.apply)(variables, SOURCE, LENGTHS, INPUTS),
        forward(name)(SOURCE, LENGTHS, INPUTS),
        rtol=1e-5,
        atol=1e-6,
    )


def test_the_source_is_read_backwards():
    """A reader of reversed sources is a reader of sources that are given reversed."""
    backwards, forwards = (MODELS["plain"](reverse_source=r) for r in (True, False))
    _, variables = build("plain")
    np.testing.assert_allclose(
        backwards.apply(variables, SOURCE, LENGTHS, INPUTS),
        forwards.apply(variables, reversed_within(SOURCE, LENGTHS), LENGTHS, INPUTS),
        rtol=1e-5,
        atol=1e-6,
    )


def test_the_encoder_reads_a_symbol_with_two_neighbours_on_either_side():
    model, variables = build("neighbours")
    params = variables["params"]
    kernel, bias = params["neighbours"]["kernel"], params["neighbours"]["bias"]
    assert (kernel.shape, bias.shape) == ((5, 6, 5), (5,))
    # The second source, backwards, between zeros.
    symbols = params["source_embedding"]["embedding"][jnp.array([5, 6, 2])]
    padded = np.pad(symbols, ((2, 2), (0, 0)))
    windows = np.stack([padded[i : i + 5].ravel() for i in range(3)])
    x = jax.nn.gelu(windows @ kernel.reshape(30, 5) + bias[None])
    wanted = LSTM(8).apply({"params": params["encoder"]}, x[None])[0][0]
    _, found = model.apply(variables, SOURCE, LENGTHS, method="encode", mutable="intermediates")
    (outputs,) = found["intermediates"]["memory"]
    np.testing.assert_allclose(outputs[1, :3], wanted, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("source", "written"), [(5, 4), (4, 2)])
def test_attention_follows_the_papers_equation(source, written):
    """Which multiplies the memory after it is averaged, and the model before."""
    model, variables = build("attention")
    params = variables["params"]
    lengths = jnp.minimum(LENGTHS, source)
    words = SOURCE[:, :source], lengths, INPUTS[:, :written]
    logits, found = model.apply(variables, *words, mutable="intermediates")
    found = found["intermediates"]
    (memory,), (hidden,) = found["memory"], found["decoder"]["hidden"]
    (weights,) = found["decoder"]["attention"]
    scores = hidden @ (memory @ params["keys"]["kernel"]).swapaxes(1, 2) / np.sqrt(8)
    there = jnp.arange(source)[None, None] < lengths[:, None, None]
    scores = jnp.where(there, scores, -jnp.inf)
    np.testing.assert_allclose(weights, jax.nn.softmax(scores), rtol=1e-4, atol=1e-5)
    matrix = [params["values"]["kernel"], params["decoder"]["combine"]["kernel"]]
    g = jnp.tanh(jnp.concatenate([weights @ memory, hidden], axis=-1) @ jnp.concatenate(matrix))
    output = params["decoder"]["output"]
    expected = g @ output["kernel"] + output["bias"][None, None]
    np.testing.assert_allclose(logits, expected, rtol=1e-4, atol=1e-5)


def test_attention_points_at_the_source_as_it_is_written():
    """Where the source is read backwards too: position i is symbol i."""
    model, variables = build("reversed attention")
    memory = model.apply(variables, SOURCE, LENGTHS, method="encode")
    _, found = model.apply(variables, SOURCE, LENGTHS, method="encode", mutable="intermediates")
    (outputs,) = found["intermediates"]["memory"]
    outputs = reversed_within(outputs, LENGTHS)
    for name in ("keys", "values"):
        layer = lambda m, x, name=name: getattr(m, name)(x)
        expected = model.apply(variables, outputs, method=layer)
        np.testing.assert_allclose(memory[name], expected, rtol=1e-6)


def test_the_second_decoder_begins_where_the_encoder_comes_last_to_the_end():
    model, variables = build("attention")
    both = model.clone(backward=True)
    params = variables["params"]
    variables = {"params": params | {"backward_decoder": params["decoder"]}}
    inputs, backward_inputs = INPUTS, INPUTS[:, ::-1]
    forward_logits, backward_logits = both.apply(
        variables, SOURCE, LENGTHS, inputs, backward_inputs
    )
    np.testing.assert_array_equal(forward_logits, model.apply(variables, SOURCE, LENGTHS, inputs))
    # Its own inputs decide, and each of them only what comes after it.
    _, changed = both.apply(variables, SOURCE, LENGTHS, inputs.at[:, 1].set(5), backward_inputs)
    np.testing.assert_array_equal(changed, backward_logits)
    _, changed = both.apply(variables, SOURCE, LENGTHS, inputs, backward_inputs.at[:, 2].set(3))
    np.testing.assert_array_equal(changed[:, :2], backward_logits[:, :2])
    # (2) with v of the direction that ends at the last symbol.
    memory = both.apply(variables, SOURCE, LENGTHS, method="encode")
    _, state = LSTM(8, 2, bidirectional=True).apply(
        {"params": params["encoder"]},
        params["source_embedding"]["embedding"][SOURCE],
        lengths=LENGTHS,
    )
    for part, at_start, at_end in zip(
        state, memory["state"], memory["backward_state"], strict=True
    ):
        np.testing.assert_allclose(at_start, part[:, [1, 3]], rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(at_end, part[:, [0, 2]], rtol=1e-5, atol=1e-6)


def count(name):
    model = create_model(name)
    example = [jnp.zeros((1, 4), int), jnp.ones(1, int), jnp.zeros((1, 4), int)]
    params = jax.eval_shape(model.init, jax.random.key(0), *example)["params"]
    return {k: sum(leaf.size for leaf in jax.tree.leaves(v)) for k, v in params.items()}


def test_seq2seq_has_the_papers_64_million_recurrent_weights():
    parts = count("seq2seq")
    weights = 4 * 8 * 1000 * 1000
    assert parts["encoder"] == weights + 4 * 2 * 4000
    assert parts["source_embedding"] == 160_000_000
    # The decoder's embedding, LSTMs and output.
    assert parts["decoder"] == 80_000_000 + parts["encoder"] + 80_080_000


def test_rnnsearch_is_the_sum_of_the_papers_matrices():
    m, n, maxout, vocabulary = 620, 1000, 500, 30_000
    encoder = 2 * (3 * n * m + 3 * n * n + 3 * n)
    start = n * n + n
    alignment = n * n + n * 2 * n + n
    decoder = 3 * n * m + 3 * n * n + 3 * n * 2 * n + 3 * n
    output = 2 * maxout * (n + m + 2 * n) + 2 * maxout + vocabulary * maxout + vocabulary
    total = 2 * vocabulary * m + encoder + start + alignment + decoder + output
    assert sum(count("seq2seq_attention").values()) == total


def test_gnmt_is_the_sum_of_its_layers():
    n, vocabulary = 1024, 32_000

    def lstm(inputs):
        return 4 * n * (inputs + n) + 4 * n

    encoder = 2 * lstm(n) + lstm(2 * n) + 6 * lstm(n)
    attention = n * n + n * n + n
    decoder = 8 * lstm(2 * n)
    total = 2 * vocabulary * n + encoder + attention + decoder + vocabulary * n + vocabulary
    assert sum(count("gnmt").values()) == total


def test_gnmt_adds_inputs_to_outputs_from_the_third_layer_on():
    """With silent third layers, what comes out is what the second layers gave."""
    model, variables = build("gnmt")
    params = dict(variables["params"])
    silent = lambda leaf: jnp.zeros_like(leaf)
    for name in ("encoder_2", "decoder_1"):
        params[name] = jax.tree.map(silent, params[name])
    two = create_model("gnmt", num_layers=2, **SMALL)
    inputs = SOURCE, LENGTHS, INPUTS
    logits, above = model.apply({"params": params}, *inputs, mutable="intermediates")
    expected, below = two.apply({"params": params}, *inputs, mutable="intermediates")
    memories = (each["intermediates"]["memory"][0] for each in (above, below))
    np.testing.assert_allclose(*memories, rtol=1e-5)
    np.testing.assert_allclose(logits, expected, rtol=1e-4, atol=1e-5)


def test_rnnsearch_follows_its_equations():
    """Step by step in NumPy, from what the encoder returned."""
    model, variables = build("rnnsearch")
    logits = forward("rnnsearch")(SOURCE, LENGTHS, INPUTS)
    memory = model.apply(variables, SOURCE, LENGTHS, method="encode")
    h, u_h, mask, last = (np.asarray(memory[k]) for k in ("outputs", "keys", "mask", "state"))
    p = jax.tree.map(np.asarray, variables["params"])
    step = p["decoder"]
    sigmoid = lambda a: 1 / (1 + np.exp(-a))
    dense = lambda name, x: x @ p[name]["kernel"] + p[name]["bias"]
    of = lambda name, x: x @ step[name]["kernel"]

    s = np.tanh(dense("bridge", last))  # (6)
    for t in range(INPUTS.shape[1]):
        e = p["target_embedding"]["embedding"][np.asarray(INPUTS[:, t])]
        scores = np.tanh(of("query", s)[:, None] + u_h) @ step["align"]  # (1)
        a = np.where(mask, np.exp(scores), 0)
        a /= a.sum(-1, keepdims=True)
        c = (a[..., None] * h).sum(1)
        pairs = dense("pairs", np.concatenate([s, e, c], -1))
        np.testing.assert_allclose(
            logits[:, t],
            dense("output", np.maximum(pairs[:, ::2], pairs[:, 1::2])),  # (7), (8)
            rtol=1e-4,
            atol=1e-5,
        )
        x_r, x_z, x_n = np.split(dense("inputs", e) + of("context", c), 3, -1)
        r, z = sigmoid(x_r + of("reset", s)), sigmoid(x_z + of("update", s))  # (2)
        n = np.tanh(x_n + of("candidate", r * s))  # (3)
        s = (1 - z) * n + z * s  # (4)
