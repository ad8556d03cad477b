from functools import cache, partial

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax.traverse_util import flatten_dict

import jdl
from jdl.errors import UserError

TINY = {
    "vocabulary_size": 13,
    "width": 12,
    "num_layers": 2,
    "num_heads": 3,
    "mlp_width": 20,
    "max_length": 6,
}


@cache
def tiny(**overrides):
    """A small network, its variables, three sources of unequal length, and targets."""
    model = jdl.create_model("transformer_base", **{**TINY, **overrides})
    source = jax.random.randint(jax.random.key(1), (3, 5), 0, 13)
    length = jnp.array([5, 3, 1])
    inputs = jax.random.randint(jax.random.key(2), (3, 6), 0, 13)
    variables = jax.jit(model.init)(jax.random.key(0), source, length, inputs)
    return model, variables, source, length, inputs


@pytest.mark.parametrize("options", [{}, {"source_vocabulary_size": 13}])
def test_step_by_step_is_all_at_once(options):
    model, variables, source, length, inputs = tiny(**options)
    whole, seen = jax.jit(model.apply, static_argnames="mutable")(
        variables, source, length, inputs, mutable="intermediates"
    )
    last = seen["intermediates"]["decoder.layers.1"]["multihead_attn"]["weights"][0]
    step = jax.jit(lambda *arguments: model.apply(variables, *arguments, method="step"))
    memory = jax.jit(lambda: model.apply(variables, source, length, method="encode"))()
    carry = model.apply(variables, memory, method="initial_carry")
    shapes = jax.tree.map(jnp.shape, carry)
    assert all(len(leaf) == 3 for leaf in jax.tree.leaves((memory, carry)))
    for t in range(6):
        logits, carry, attention = step(memory, carry, inputs[:, t])
        np.testing.assert_allclose(logits, whole[:, t], atol=1e-5)
        np.testing.assert_allclose(attention, last.mean(1)[:, t], atol=1e-6)
        assert shapes == jax.tree.map(jnp.shape, carry)


def test_hypotheses_may_change_places_between_steps():
    """As a beam search does with every leaf of the carry."""
    model, variables, source, length, inputs = tiny()
    source, length = jnp.repeat(source[:1], 3, 0), jnp.repeat(length[:1], 3)
    order = jnp.array([2, 0, 0])

    @jax.jit
    def two_steps():
        memory = model.apply(variables, source, length, method="encode")
        carry = model.apply(variables, memory, method="initial_carry")
        _, carry, _ = model.apply(variables, memory, carry, inputs[:, 0], method="step")
        carry = jax.tree.map(lambda leaf: leaf[order], carry)
        return model.apply(variables, memory, carry, inputs[:, 1], method="step")[0]

    texts = jnp.stack([inputs[order, 0], inputs[:, 1]], axis=1)
    whole = jax.jit(model.apply)(variables, source, length, texts)
    np.testing.assert_allclose(two_steps(), whole[:, 1], atol=1e-5)


def influence(name, model, variables, source, length, inputs):
    """By how much each output changes with what is embedded at each place, by the gradient."""

    def answer(shift):
        def shifted(method, arguments, options, context):
            y = method(*arguments, **options)
            here = context.module.name == name and context.method_name == "__call__"
            return y + shift if here else y

        with nn.intercept_methods(shifted):
            return model.apply(variables, source, length, inputs)[..., 0]

    places = source if name == "source_embedding" else inputs
    jacobian = jax.jit(jax.jacobian(answer))(jnp.zeros((*places.shape, 12)))
    return np.abs(np.einsum("bobie->boie", jacobian)).sum(-1)  # [batch, output, input]


def test_causality_by_gradient():
    change = influence("embedding", *tiny(source_vocabulary_size=13))
    assert (change[:, *np.triu_indices(6, 1)] == 0).all()
    assert (change[:, *np.tril_indices(6)] > 0).all()


def test_every_target_position_sees_the_whole_source_and_no_padding():
    change = influence("source_embedding", *tiny(source_vocabulary_size=13))
    for row, length in enumerate([5, 3, 1]):
        assert (change[row, :, :length] > 0).all()
        assert (change[row, :, length:] == 0).all()


def test_padding_changes_nothing():
    """In double precision: with longer rows the same terms are summed in another order."""
    model, variables, source, length, inputs = tiny()
    with jax.enable_x64():
        variables = jax.tree.map(lambda leaf: leaf.astype(jnp.float64), variables)
        apply = jax.jit(model.apply)
        expected = apply(variables, source, length, inputs)
        assert expected.dtype == jnp.float64
        longer = jnp.concatenate([source, jnp.full((3, 4), 7)], axis=1)
        found = apply(variables, longer, length, inputs)
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-12)
        padded = jnp.concatenate([inputs, jnp.full((3, 3), 7)], axis=1)
        found = apply(variables, source, length, padded)[:, :6]
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-12)
        alone = apply(variables, source[2:, :1], length[2:], inputs[2:])
        np.testing.assert_allclose(alone, expected[2:], rtol=0, atol=1e-12)


def test_one_matrix_is_tied_three_ways():
    _, shared, *_ = tiny()
    _, apart, *_ = tiny(source_vocabulary_size=17)
    assert {name for name in shared["params"] if "embedding" in name} == {"embedding"}
    assert apart["params"]["source_embedding"]["embedding"].shape == (17, 12)
    assert apart["params"]["embedding"]["embedding"].shape == (13, 12)
    assert set(apart["params"]) == set(shared["params"]) | {"source_embedding"}


def dropped(model, *arguments, **options):
    """What leaves each dropout: the network's two, and those of the layers, by path."""
    keep = partial(model.apply, **options, capture_intermediates=True, mutable="intermediates")
    _, seen = jax.jit(keep)(*arguments)
    outputs = flatten_dict(seen["intermediates"])
    return {path[:-2]: found for path, found in outputs.items() if "drop" in str(path).lower()}


def test_embeddings_are_scaled_and_begin_at_unit_variance():
    model = jdl.create_model("transformer_base", vocabulary_size=3000, width=64, num_layers=0)
    source, length = jnp.arange(3000)[None], jnp.array([3000])
    variables = jax.jit(model.init)(jax.random.key(0), source, length, source[:, :1])
    table = variables["params"]["embedding"]["embedding"]
    x, _ = dropped(model, variables, source, length, source[:, :1])[()]
    np.testing.assert_allclose(x[0, 0], 8 * table[0] + jnp.arange(64) % 2, atol=1e-6)
    assert float((8 * table).std()) == pytest.approx(1.0, rel=0.02)


def test_dropout_falls_on_embeddings_and_sums_in_training_only():
    model, variables, *arguments = tiny(dropout=0.5)
    rngs = {"dropout": jax.random.key(3)}
    for train, low, high in ((False, 0.0, 0.0), (True, 0.35, 0.65)):
        found = dropped(model, variables, *arguments, rngs=rngs, train=train)
        assert {path: len(places) for path, places in found.items()} == {
            (): 2,
            ("encoder.layers.0",): 2,
            ("encoder.layers.1",): 2,
            ("decoder.layers.0",): 3,
            ("decoder.layers.1",): 3,
        }
        zeros = [float((x == 0).mean()) for places in found.values() for x in places]
        assert low <= min(zeros) <= max(zeros) <= high


def test_half_precision_is_for_products_only():
    model, variables, source, length, inputs = tiny(dtype=jnp.bfloat16)
    assert all(leaf.dtype == jnp.float32 for leaf in jax.tree.leaves(variables))
    logits = jax.jit(model.apply)(variables, source, length, inputs)
    assert logits.dtype == jnp.bfloat16
    exact = jax.jit(tiny()[0].apply)(variables, source, length, inputs)
    np.testing.assert_allclose(logits.astype(jnp.float32), exact, atol=0.1)


@pytest.mark.parametrize(
    ("options", "message"),
    [({"num_heads": 5}, "12 does not divide into 5"), ({"width": 9}, "width of 9 is odd")],
)
def test_sizes_that_do_not_fit_are_refused(options, message):
    with pytest.raises(UserError, match=message):
        tiny(**options)
