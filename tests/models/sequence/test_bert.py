import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jdl
from jdl.errors import UserError
from jdl.models.sequence.bert import BERTForPreTraining, BERTForSequenceClassification

TINY = {"vocabulary_size": 13, "max_length": 8, "width": 12, "num_layers": 2, "num_heads": 3}
TEXT = jax.random.randint(jax.random.key(1), (2, 8), 1, 13)


@pytest.fixture(scope="module")
def bert():
    model = jdl.create_model("bert_base", **TINY)
    return model, jax.jit(model.init)(jax.random.key(0), TEXT)


def test_padding_is_not_seen(bert):
    model, variables = bert
    apply = jax.jit(model.apply)
    mask = jnp.arange(8)[None] < jnp.array([[5], [8]])
    states, pooled = apply(variables, TEXT, mask)
    other, same = apply(variables, TEXT.at[0, 5:].set(7), mask)
    np.testing.assert_array_equal(states[0, :5], other[0, :5])
    np.testing.assert_array_equal(pooled, same)
    short, alone = apply(variables, TEXT[:1, :5])
    np.testing.assert_allclose(states[:1, :5], short, atol=1e-6)
    np.testing.assert_allclose(pooled[:1], alone, atol=1e-6)
    seen, _ = apply(variables, TEXT.at[0, 4].set(TEXT[0, 4] % 12 + 1), mask)
    assert (abs(seen - states)[0, :5].max(-1) > 1e-6).all()  # in both directions


def test_types_tell_the_two_parts_apart(bert):
    model, variables = bert
    types = jnp.zeros_like(TEXT).at[:, 4:].set(1)
    plain, _ = model.apply(variables, TEXT)
    typed, _ = model.apply(variables, TEXT, None, types)
    assert abs(plain - typed).max() > 1e-3


def test_words_are_predicted_where_they_are_asked_for():
    model = BERTForPreTraining(**TINY)
    (words, following), variables = jax.jit(model.init_with_output)(jax.random.key(0), TEXT)
    positions = jnp.array([[3, 0], [7, 7]])
    some, same = model.apply(variables, TEXT, positions=positions)
    assert following.shape == (2, 2)
    np.testing.assert_allclose(following, same, atol=1e-6)
    expected = np.take_along_axis(np.asarray(words), np.asarray(positions)[:, :, None], axis=1)
    np.testing.assert_allclose(some, expected, atol=1e-6)


def test_the_classifier_leaves_padding_out():
    model = BERTForSequenceClassification(**TINY, num_classes=3)
    variables = jax.jit(model.init)(jax.random.key(0), TEXT)
    padded = jnp.pad(TEXT[:, :5], ((0, 0), (0, 3)))
    np.testing.assert_allclose(
        model.apply(variables, padded), model.apply(variables, TEXT[:, :5]), atol=1e-6
    )


def test_dropout_is_for_training(bert):
    model, variables = bert
    one, two = (
        model.apply(variables, TEXT, train=True, rngs={"dropout": jax.random.key(i)})[1]
        for i in range(2)
    )
    assert abs(one - two).max() > 1e-3


@pytest.mark.parametrize(
    ("tokens", "types", "sentence"),
    [
        (jnp.zeros((1, 9), int), None, "reads 1 to 8 tokens, not 9"),
        (jnp.zeros((1, 0), int), None, "reads 1 to 8 tokens, not 0"),
        (jnp.array([[1, 13]]), None, "token 13 is out of range: there are 13, from 0 on"),
        (jnp.array([[-1, 12]]), None, "token -1 is out of range"),
        (jnp.array([[1, 2]]), jnp.array([[0, 2]]), "token type 2 is out of range: there are 2"),
    ],
)
def test_what_cannot_be_read_is_refused(bert, tokens, types, sentence):
    model, variables = bert
    with pytest.raises(UserError, match=sentence):
        model.apply(variables, tokens, None, types)


def test_heads_must_divide_the_width():
    with pytest.raises(UserError, match="12 does not divide into 5 heads"):
        jdl.create_model("bert_base", **{**TINY, "num_heads": 5}).init(jax.random.key(0), TEXT)
