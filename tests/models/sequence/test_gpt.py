import time
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import jdl
from jdl.errors import UserError
from jdl.ops.search import sample
from jdl.weights import from_names, to_names

TINY = {"vocabulary_size": 13, "max_length": 8, "width": 12, "num_layers": 2, "num_heads": 3}


@pytest.mark.parametrize("name", ["gpt1", "gpt2"])
def test_causality_by_gradient(name):
    model = jdl.create_model(name, **TINY)
    text = jax.random.randint(jax.random.key(1), (1, 8), 0, 13)
    variables = jax.jit(model.init)(jax.random.key(0), text)
    table = "tokens_embed" if name == "gpt1" else "wte"

    def logits(embedded):
        """The network as a function of what stands at each position, given as shifts of it."""
        positions = "positions_embed" if name == "gpt1" else "wpe"
        shifted = variables["params"][positions]["embedding"] + embedded
        parameters = {**variables["params"], positions: {"embedding": shifted}}
        return model.apply({"params": parameters}, text)[0].sum(-1)

    influence = np.abs(jax.jit(jax.jacobian(logits))(jnp.zeros((8, 12)))).sum(-1)  # [output, input]
    assert variables["params"][table]["embedding"].shape == (13, 12)
    assert (influence[np.triu_indices(8, 1)] == 0).all()
    assert (influence[np.tril_indices(8)] > 0).all()


def test_equals_the_equations_written_out():
    model = jdl.create_model("gpt2", **{**TINY, "num_layers": 1})
    text = jax.random.randint(jax.random.key(1), (2, 5), 0, 13)
    logits, variables = jax.jit(model.init_with_output)(jax.random.key(0), text)
    p = jax.tree.map(lambda x: np.asarray(x, np.float64), variables["params"])
    block = p["h.0"]

    def norm(x, layer):
        x = (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + 1e-5)
        return x * layer["scale"] + layer["bias"]

    def dense(x, layer):
        return x @ layer["kernel"] + layer["bias"]

    def gelu(x):
        return 0.5 * x * (1 + np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3)))

    x = p["wte"]["embedding"][np.asarray(text)] + p["wpe"]["embedding"][:5]
    query, key, value = np.split(dense(norm(x, block["ln_1"]), block["attn"]["c_attn"]), 3, -1)
    mixed = np.zeros_like(x)
    for head in range(3):
        part = slice(4 * head, 4 * head + 4)
        for b in range(2):
            for t in range(5):
                scores = key[b, : t + 1, part] @ query[b, t, part] / 2
                weights = np.exp(scores) / np.exp(scores).sum()
                mixed[b, t, part] = weights @ value[b, : t + 1, part]
    x = x + dense(mixed, block["attn"]["c_proj"])
    x = x + dense(gelu(dense(norm(x, block["ln_2"]), block["mlp"]["c_fc"])), block["mlp"]["c_proj"])
    expected = norm(x, p["ln_f"]) @ p["wte"]["embedding"].T
    np.testing.assert_allclose(logits, expected, rtol=1e-4, atol=1e-6)


def test_residual_kernels_start_smaller():
    model = jdl.create_model("gpt2", **{**TINY, "width": 96})
    init = jax.jit(model.init)
    parameters = init(jax.random.key(0), jnp.zeros((1, 2), int))["params"]["h.1"]
    assert float(parameters["mlp"]["c_fc"]["kernel"].std()) == pytest.approx(0.02, rel=0.05)
    assert float(parameters["mlp"]["c_proj"]["kernel"].std()) == pytest.approx(0.01, rel=0.05)


def test_too_long_a_text_is_refused():
    with pytest.raises(UserError, match="8 positions, not 9"):
        jdl.create_model("gpt2", **TINY).init(jax.random.key(0), jnp.zeros((1, 9), int))


def test_heads_must_divide_the_width():
    with pytest.raises(UserError, match="12 does not divide into 5 heads"):
        jdl.create_model("gpt2", **{**TINY, "num_heads": 5}).init(
            jax.random.key(0), jnp.zeros((1, 2), int)
        )


def made(name="gpt2", **options):
    model = jdl.create_model(name, **TINY, **options)
    text = jax.random.randint(jax.random.key(1), (3, 8), 0, 13)
    variables = jax.jit(model.init)(jax.random.key(0), text)
    # Larger weights than at the beginning, so that attention is not all alike.
    weights = ("kernel", "embedding")
    variables = jax.tree_util.tree_map_with_path(
        lambda path, x: 10 * x if path[-1].key in weights else x, variables
    )
    return model, variables, text


@pytest.mark.parametrize("scan", [False, True])
@pytest.mark.parametrize("name", ["gpt1", "gpt2"])
def test_cached_is_uncached(name, scan):
    model, variables, text = made(name, scan=scan)
    whole = jax.jit(model.apply)(variables, text)
    extend = jax.jit(partial(model.apply, method="extend"))
    carry = model.initial_carry(3)
    assert {leaf.shape[0] for leaf in jax.tree.leaves(carry)} == {3}
    pieces = []
    for start, stop in ((0, 1), (1, 4), (4, 5), (5, 8)):
        logits, carry = extend(variables, carry, text[:, start:stop])
        pieces.append(logits)
    np.testing.assert_allclose(jnp.concatenate(pieces, axis=1), whole, rtol=1e-5, atol=1e-5)
    assert carry[0].tolist() == [8, 8, 8]


def test_a_loop_writes_into_its_caches_and_copies_none():
    """Where XLA cannot tell that a cache has been read before it is written, it copies it."""
    sizes = {"vocabulary_size": 8, "width": 8, "num_heads": 2, "num_layers": 2, "max_length": 4096}
    model = jdl.create_model("gpt2", **sizes)
    carry = model.initial_carry(1)
    variables = jax.eval_shape(model.init, jax.random.key(0), jnp.zeros((1, 4), int))

    def write(variables, carry):
        def advance(state):
            carry, token = state
            logits, carry = model.apply(variables, carry, token, method="extend")
            return carry, logits.argmax(-1).astype(token.dtype)

        more = lambda state: (state[0][0] < 9).all()
        return jax.lax.while_loop(more, advance, (carry, jnp.zeros((1, 1), jnp.int32)))

    compiled = jax.jit(write, donate_argnums=1).lower(variables, carry).compile()
    caches = sum(leaf.nbytes for leaf in jax.tree.leaves(carry))
    assert compiled.memory_analysis().temp_size_in_bytes < caches / 4


def test_a_cache_needs_no_more_room_than_is_used():
    model, variables, text = made()
    whole = jax.jit(model.apply)(variables, text[:, :5])
    logits, _ = model.apply(variables, model.initial_carry(3, 5), text[:, :5], method="extend")
    np.testing.assert_allclose(logits, whole, rtol=1e-5, atol=1e-5)
    with pytest.raises(UserError, match="5 positions, not 6"):
        model.apply(variables, model.initial_carry(3, 5), text[:, :6], method="extend")
    with pytest.raises(UserError, match="8 positions, not 9"):
        model.initial_carry(3, 9)


def test_search_draws_what_the_logits_say():
    """With little temperature, the likeliest token of the whole text so far, at each step."""
    model, variables, text = made()

    def step(carry, tokens):
        logits, carry = model.apply(variables, carry, tokens[:, None], method="extend")
        return logits[:, 0], carry

    draw = partial(sample, step, length=7, temperature=1e-4)
    drawn = jax.jit(draw)(model.initial_carry(3), text[:, 0], jax.random.key(2))
    whole = jnp.concatenate([text[:, :1], drawn], axis=1)
    logits = jax.jit(model.apply)(variables, whole)
    np.testing.assert_array_equal(logits[:, :-1].argmax(-1), drawn)


def loss_and_gradient(model, variables, text):
    """In training, without dropout."""

    def loss(variables):
        logits = model.apply(variables, text[:, :-1], train=True)
        return optax.softmax_cross_entropy_with_integer_labels(logits, text[:, 1:]).mean()

    return jax.jit(jax.value_and_grad(loss))(variables)


@pytest.mark.parametrize("name", ["gpt1", "gpt2"])
def test_scanned_and_rematerialised_layers_compute_the_same(name):
    model, variables, text = made(name, dropout=0.0)
    loss, gradient = loss_and_gradient(model, variables, text)
    expected = to_names(gradient)
    for options in ({"scan": True}, {"remat": True}, {"scan": True, "remat": True}):
        other = model.clone(**options)
        found, gradient = loss_and_gradient(other, from_names(other, to_names(variables)), text)
        assert float(found) == pytest.approx(float(loss), rel=1e-6)
        for key, array in to_names(gradient).items():
            np.testing.assert_allclose(array, expected[key], rtol=1e-4, atol=1e-5, err_msg=key)


def test_rematerialised_layers_drop_the_same_twice():
    model, variables, text = made(dropout=0.5)

    def gradient(model):
        def loss(variables):
            rngs = {"dropout": jax.random.key(3)}
            return jnp.square(model.apply(variables, text, train=True, rngs=rngs)).mean()

        return jax.jit(jax.grad(loss))(variables)

    found, expected = gradient(model.clone(remat=True)), gradient(model)
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5), found, expected
    )
    assert optax.global_norm(expected) > 1e-2


def test_scanned_layers_start_and_drop_differently():
    model, variables, text = made(scan=True, dropout=0.5)
    kernel = variables["params"]["h.*"]["mlp"]["c_fc"]["kernel"]
    assert not np.allclose(kernel[0], kernel[1])
    same = jax.tree.map(lambda x: jnp.stack([x[0], x[0]]), variables["params"]["h.*"])
    sown = model.apply(
        {"params": {**variables["params"], "h.*": same}},
        text,
        train=True,
        rngs={"dropout": jax.random.key(3)},
        mutable=["intermediates"],
    )[1]["intermediates"]["h.*"]
    assert sown["attn"]["weights"][0].shape == (2, 3, 3, 8, 8)  # layer, batch, head, query, key


def training_step(model):
    """What it takes to train: a step of AdamW, and its arguments as shapes."""
    optimizer = optax.adamw(1e-4)
    text = jax.ShapeDtypeStruct((1, 1024), jnp.int32)

    def init(key, text):
        params = model.init(key, text)["params"]
        return params, optimizer.init(params)

    def step(params, state, text, key):
        def loss(params):
            rngs = {"dropout": key}
            logits = model.apply({"params": params}, text, train=True, rngs=rngs)
            return optax.softmax_cross_entropy_with_integer_labels(
                logits[:, :-1], text[:, 1:]
            ).mean()

        updates, state = optimizer.update(jax.grad(loss)(params), state, params)
        return optax.apply_updates(params, updates), state

    key = jax.eval_shape(lambda: jax.random.key(0))
    return step, (*jax.eval_shape(init, key, text), text, key)


def test_gpt2_xl_lowers_in_seconds_and_once_per_layer():
    start = time.perf_counter()
    step, arguments = training_step(jdl.create_model("gpt2_xl", scan=True, remat=True))
    params, _ = jax.eval_shape(step, *arguments)
    assert sum(leaf.size for leaf in jax.tree.leaves(params)) == 1_557_611_200
    text = jax.jit(step, donate_argnums=(0, 1)).lower(*arguments).as_text()
    assert time.perf_counter() - start < 30
    step, arguments = training_step(
        jdl.create_model("gpt2_xl", num_layers=3, scan=True, remat=True)
    )
    shallow = jax.jit(step, donate_argnums=(0, 1)).lower(*arguments).as_text()
    assert len(text.splitlines()) == len(shallow.splitlines())
