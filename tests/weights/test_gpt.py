"""GPT gives transformers' numbers: stored ones, and its own where it is installed."""

import importlib.util
import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jdl
from jdl.errors import UserError
from jdl.weights import from_names, to_names

from . import gpt_reference
from .gpt_reference import MASK, NAMES, SMALL, TOKENS

GOLDEN = json.loads(gpt_reference.FILE.read_text())
needs_transformers = pytest.mark.skipif(
    importlib.util.find_spec("transformers") is None, reason="needs transformers"
)


def made(name, **options):
    model = jdl.create_model(name, **SMALL, **options)
    return model, gpt_reference.random_state(model)


def close(found, expected):
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5 * np.abs(expected).max())


@pytest.mark.parametrize("scan", [False, True])
@pytest.mark.parametrize("name", NAMES)
def test_logits_are_the_stored_ones(name, scan):
    model, state = made(name, scan=scan)
    variables = from_names(model, state)
    logits = jax.jit(model.apply)(variables, jnp.asarray(TOKENS), jnp.asarray(MASK))
    close(logits[:, -1], np.array(GOLDEN[name]))
    # The padding was not looked at: whatever it is, the text says the same.
    other = jnp.asarray(np.where(MASK, TOKENS, 30 - TOKENS))
    again = jax.jit(model.apply)(variables, other, jnp.asarray(MASK))
    np.testing.assert_array_equal(logits[MASK], again[MASK])


@needs_transformers
@pytest.mark.parametrize("length", [8, 13])
@pytest.mark.parametrize("name", NAMES)
def test_hidden_states_and_logits_are_transformers(name, length):
    tokens, mask = TOKENS[:, :length], MASK[:, :length]
    model, state = made(name)
    network = gpt_reference.build(name, model, state)
    logits, hidden = gpt_reference.answer(network, tokens, mask)
    apply = jax.jit(lambda v, *args: model.apply(v, *args, mutable=["intermediates"]))
    found, sown = apply(from_names(model, state), jnp.asarray(tokens), jnp.asarray(mask))
    seen = sown["intermediates"]
    close(found[mask], logits[mask])
    close(seen["embedded"][0], hidden[0])
    # GPT-2's last one is normed already.
    for i in range(3 if name == "gpt1" else 2):
        close(seen[f"h.{i}"]["output"][0][mask], hidden[i + 1][mask])


@needs_transformers
@pytest.mark.parametrize("name", NAMES)
def test_files_go_both_ways(name, tmp_path):
    import torch

    model, state = made(name)
    network = gpt_reference.build(name, model, state)
    # Theirs, with the prefix and the tied head, and a buffer that old files have.
    theirs = network.state_dict() | {"transformer.h.0.attn.bias": torch.ones(1, 1, 16, 16)}
    torch.save({k: v.clone() for k, v in theirs.items()}, tmp_path / "theirs.pth")
    for scan in (False, True):
        model = model.clone(scan=scan)
        variables = jdl.load_weights(model, tmp_path / "theirs.pth")
        jdl.save_weights(model, variables, tmp_path / "ours.pth")
        ours = torch.load(tmp_path / "ours.pth", weights_only=True)
        assert {k: v.shape for k, v in ours.items()} == {k: v.shape for k, v in state.items()}
        assert all((ours[key].numpy() == array).all() for key, array in state.items())
    network.transformer.load_state_dict(ours)


@needs_transformers
@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_the_real_sizes_give_the_same(name):
    model = jdl.create_model(name)
    state = gpt_reference.random_state(model)
    tokens = np.random.default_rng(1).integers(0, model.vocabulary_size, (1, 65))
    network = gpt_reference.build(name, model, state)
    logits, _ = gpt_reference.answer(network, tokens, np.ones((1, 65), bool))
    close(jax.jit(model.apply)(from_names(model, state), jnp.asarray(tokens)), logits)


def test_names_of_scanned_layers_are_those_of_each():
    model, state = made("gpt2", scan=True)
    variables = from_names(model, state)
    assert variables["params"]["h.*"]["attn"]["c_attn"]["kernel"].shape == (3, 24, 72)
    names = to_names(variables)
    assert names.keys() == state.keys()
    assert all((names[key] == array).all() for key, array in state.items())


def test_a_missing_layer_is_named():
    model, state = made("gpt2", scan=True)
    short = {k: v for k, v in state.items() if not k.startswith("h.1.")}
    with pytest.raises(UserError, match=r"12 missing \(first h\.1\."):
        from_names(model, short)
