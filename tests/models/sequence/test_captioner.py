import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jdl
from jdl.errors import UserError

SMALL = {
    "vocabulary_size": 7,
    "embedding_size": 6,
    "hidden_size": 5,
    "features": (8, 8, 8, 8),
}
PICTURES = jax.random.uniform(jax.random.key(1), (2, 64, 64, 3))
REGIONS = jnp.array([64, 64])
INPUTS = jnp.array([[0, 3, 1, 6], [0, 2, 2, 5]])


@pytest.fixture(scope="module", params=["captioner", "captioner_attention"])
def built(request):
    model = jdl.create_model(request.param, **SMALL)
    init = jax.jit(model.init_with_output)
    logits, variables = init(jax.random.key(0), PICTURES, REGIONS, INPUTS)
    return model, variables, logits


def test_one_word_after_the_other_gives_the_same_as_all_at_once(built):
    model, variables, logits = built
    memory = model.apply(variables, PICTURES, REGIONS, method="encode")
    carry = model.apply(variables, memory, method="initial_carry")
    step = jax.jit(lambda carry, word: model.apply(variables, memory, carry, word, method="step"))
    for time in range(4):
        found, carry, attention = step(carry, INPUTS[:, time])
        np.testing.assert_allclose(found, logits[:, time], atol=1e-5)
        if attention is not None:
            assert attention.shape == (2, 64)
            np.testing.assert_allclose(attention.sum(-1), 1, atol=1e-5)


def test_words_depend_on_the_picture_and_on_words_before_only(built):
    model, variables, logits = built
    apply = jax.jit(model.apply)
    others = apply(variables, PICTURES.at[0].set(PICTURES[1]), REGIONS, INPUTS)
    assert (abs(others - logits)[0].max(-1) > 1e-5).all()
    np.testing.assert_array_equal(others[1], logits[1])
    changed = apply(variables, PICTURES, REGIONS, INPUTS.at[:, 2].set(4))
    np.testing.assert_allclose(changed[:, :2], logits[:, :2], atol=1e-6)
    assert (abs(changed - logits)[:, 2:].max(-1) > 1e-5).all()


def test_pictures_of_another_size_are_refused(built):
    model, variables, _ = built
    with pytest.raises(UserError, match="take images of 64x64x3, not 32x64x3"):
        model.apply(variables, PICTURES[:, ::2], REGIONS, INPUTS)


def test_attention_equals_the_equations_written_out():
    model = jdl.create_model("captioner_attention", **SMALL)
    inputs = (PICTURES, REGIONS, INPUTS)
    shapes = jax.eval_shape(model.init, jax.random.key(0), *inputs)["params"]
    random = np.random.RandomState(0)
    # Also what is zero at first is drawn, so that it matters.
    params = jax.tree.map(lambda x: 0.3 * random.randn(*x.shape).astype(np.float32), shapes)
    apply = jax.jit(lambda p: model.apply({"params": p}, *inputs, mutable="intermediates"))
    logits, sown = apply(params)
    grid = np.asarray(sown["intermediates"]["encoder"]["grid"][0], np.float64)
    grid = grid.reshape(2, 64, 8) + params["place"][None]
    p = jax.tree.map(lambda x: np.asarray(x, np.float64), params)

    def dense(layer, x):
        return x @ layer["kernel"] + layer.get("bias", 0)

    def sigmoid(x):
        return 1 / (1 + np.exp(-x))

    mean, d = grid.mean(1), p["decoder"]
    h, c = (np.tanh(dense(p[name], mean)) for name in ("first_hidden", "first_cell"))
    for time in range(4):
        e = p["words"]["embedding"][np.asarray(INPUTS[:, time])]
        scores = np.tanh(dense(d["query"], h)[:, None] + dense(p["keys"], grid)) @ d["align"]
        a = np.exp(scores) / np.exp(scores).sum(-1, keepdims=True)
        z = sigmoid(dense(d["gate"], h)) * (a[..., None] * grid).sum(1)
        gates = dense(p["inputs"], e) + dense(d["context"], z) + dense(d["recurrent"], h)
        i, f, o, n = np.split(gates, 4, axis=-1)
        c = sigmoid(f) * c + sigmoid(i) * np.tanh(n)
        h = sigmoid(o) * np.tanh(c)
        word = e + dense(p["hidden_to_word"], h) + dense(p["context_to_word"], z)
        expected = dense(p["output"], word)
        np.testing.assert_allclose(logits[:, time], expected, atol=1e-4)
