from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jdl

TINY = {"vocabulary_size": 11, "embedding_size": 5, "hidden_size": 7, "num_layers": 2}


@pytest.mark.parametrize("cell", ["lstm", "gru"])
def test_carry_continues_the_text(cell):
    model = jdl.create_model("char_lstm", **TINY, cell=cell)
    text = jax.random.randint(jax.random.key(1), (3, 10), 0, 11)
    variables = jax.jit(model.init)(jax.random.key(0), text)
    apply = jax.jit(model.apply)
    whole = apply(variables, text)
    extend = jax.jit(partial(model.apply, method="extend"))
    _, last = extend(variables, model.initial_carry(3), text)
    first, carry = extend(variables, model.initial_carry(3), text[:, :4])
    second, continued = extend(variables, carry, text[:, 4:])
    np.testing.assert_allclose(whole, jnp.concatenate([first, second], axis=1), atol=1e-6)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-6), last, continued)
    assert whole.shape == (3, 10, 11)


def test_names_of_torchs_word_language_model():
    model = jdl.create_model("char_lstm", **TINY)
    parameters = jax.eval_shape(model.init, jax.random.key(0), jnp.zeros((1, 2), int))["params"]
    assert set(parameters) == {"encoder", "rnn", "decoder"}
    assert parameters["rnn"]["weight_ih_l1"].shape == (28, 7)


def test_a_gru_has_three_gates():
    model = jdl.create_model("char_lstm", **TINY, cell="gru")
    parameters = jax.eval_shape(model.init, jax.random.key(0), jnp.zeros((1, 2), int))["params"]
    assert parameters["rnn"]["weight_ih_l1"].shape == (21, 7)
