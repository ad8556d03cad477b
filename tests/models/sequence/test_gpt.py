import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jdl
from jdl.errors import UserError

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
