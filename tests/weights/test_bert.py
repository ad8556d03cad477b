"""BERT gives the numbers of transformers: states, pooled state, words, next sentence.

The weights are drawn by name (`reference.py`), so that stored answers protect those without torch;
where transformers is there, it is asked itself.
"""

import importlib.util
import json
from functools import cache, partial
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jdl
from jdl.errors import UserError
from jdl.models.references import declare_operators
from jdl.models.sequence.bert import BERTForPreTraining
from jdl.weights import from_names, load_weights, save_weights, to_names

from . import reference

SMALL = {"vocabulary_size": 97, "max_length": 40, "width": 48, "num_layers": 3, "num_heads": 4}
LENGTHS = (17, 40)
GOLDEN_FILE = Path(__file__).parent / "bert_golden.json"
HAVE = all(importlib.util.find_spec(m) for m in ("torch", "transformers"))
needs_transformers = pytest.mark.skipif(not HAVE, reason="needs torch and transformers")


def empty(model):
    """Variables of a model, of zero bytes each."""
    key = jax.eval_shape(lambda: jax.random.key(0))
    tokens = jax.ShapeDtypeStruct((1, 8), jnp.int32)
    shapes = jax.eval_shape(model.init, key, tokens)
    return jax.tree.map(lambda leaf: np.broadcast_to(np.float32(0), leaf.shape), shapes)


def shapes(model):
    return {name: array.shape for name, array in to_names(empty(model)).items()}


@cache
def state():
    return reference.random_state(shapes(BERTForPreTraining(**SMALL)))


def example(length):
    """Three texts of two parts, of which the second and the third are padded."""
    random = np.random.default_rng(length)
    place = np.arange(length)[None]
    return {
        "tokens": random.integers(0, SMALL["vocabulary_size"], (3, length), np.int32),
        "mask": place < np.array([[length], [length - 4], [length // 2]]),
        "token_types": (place >= np.array([[5], [length // 3], [length]])).astype(np.int32),
    }


def library():
    """transformers, which imports torchvision where it is."""
    declare_operators()
    import transformers

    return transformers


def config(**sizes):
    sizes = {**SMALL, **sizes}
    return library().BertConfig(
        vocab_size=sizes["vocabulary_size"],
        max_position_embeddings=sizes["max_length"],
        hidden_size=sizes["width"],
        intermediate_size=4 * sizes["width"],
        num_hidden_layers=sizes["num_layers"],
        num_attention_heads=sizes["num_heads"],
    )


def theirs(weights, tokens, mask, token_types):
    """What transformers makes of texts."""
    import torch

    model = library().BertForPreTraining(config()).eval()
    tensors = {name: torch.from_numpy(array) for name, array in weights.items()}
    missing, unexpected = model.load_state_dict(tensors, strict=False)
    assert not unexpected
    assert {name for name in missing if not name.endswith("position_ids")} <= {
        "cls.predictions.decoder.weight",
        "cls.predictions.decoder.bias",
    }
    model.tie_weights()
    inputs = {
        "input_ids": torch.from_numpy(tokens).long(),
        "attention_mask": torch.from_numpy(mask).long(),
        "token_type_ids": torch.from_numpy(token_types).long(),
    }
    with torch.no_grad():
        heads = model(**inputs, output_hidden_states=True)
        pooled = model.bert(**inputs).pooler_output
    return {
        **{f"states {i}": x.numpy() for i, x in enumerate(heads.hidden_states)},
        "pooled": pooled.numpy(),
        "words": heads.prediction_logits.numpy(),
        "next": heads.seq_relationship_logits.numpy(),
    }


def ours(weights, tokens, mask, token_types):
    """What the networks here make of them."""
    bert = jdl.create_model("bert_base", **SMALL)
    heads = jdl.create_model("bert_base_pretraining", **SMALL)
    inputs = tuple(map(jnp.asarray, (tokens, mask, token_types)))
    # The heads, and their copy of the embeddings, are not BERT's: they are left out.
    variables = from_names(bert, weights)
    apply = jax.jit(partial(bert.apply, mutable="intermediates"))
    (states, pooled), sown = apply(variables, *inputs)
    words, following = jax.jit(heads.apply)(from_names(heads, weights), *inputs)
    sown = sown["intermediates"]
    found = {"states 0": sown["embedded"][0]}
    found |= {f"states {i + 1}": sown[f"encoder.layer.{i}"]["output"][0] for i in range(3)}
    np.testing.assert_array_equal(states, found["states 3"])
    return {**found, "pooled": pooled, "words": words, "next": following}


@pytest.mark.parametrize("length", LENGTHS)
def test_answers_are_those_of_transformers(length):
    found = ours(state(), **example(length))
    stored = json.loads(GOLDEN_FILE.read_text())[str(length)]
    assert set(stored) == set(found)
    for name, answer in found.items():
        kept = stored[name]
        tolerance = 1e-4 * kept["apart"]
        ends = np.stack([np.ravel(answer)[:12], np.ravel(answer)[-12:]])[:, : answer.size]
        np.testing.assert_allclose(
            ends[:, : len(kept["first"])], [kept["first"], kept["last"]], rtol=0, atol=tolerance
        )
    if HAVE:
        for name, answer in theirs(state(), **example(length)).items():
            tolerance = 1e-4 * stored[name]["apart"]
            np.testing.assert_allclose(found[name], answer, rtol=0, atol=tolerance, err_msg=name)


@needs_transformers
@pytest.mark.parametrize(
    ("name", "theirs"),
    [
        ("bert_base", "BertModel"),
        ("bert_large", "BertModel"),
        ("minilm_l6", "BertModel"),
        ("bert_base_pretraining", "BertForPreTraining"),
        ("bert_base_classifier", "BertForSequenceClassification"),
    ],
)
def test_names_and_shapes_are_those_of_transformers(name, theirs):
    import torch

    model = jdl.create_model(name)
    sizes = {field: getattr(model, field) for field in SMALL}
    with torch.device("meta"):
        network = getattr(library(), theirs)(config(**sizes))
    expected = reference.shapes_of(network)
    copies = {k for k in expected if k.startswith("cls.predictions.decoder.")}
    assert len(copies) == (2 if name == "bert_base_pretraining" else 0)
    assert shapes(model) == {k: shape for k, shape in expected.items() if k not in copies}


@needs_transformers
def test_transformers_loads_our_file(tmp_path):
    import torch

    model = BERTForPreTraining(**SMALL)
    variables = from_names(model, state())
    save_weights(model, variables, tmp_path / "ours.pth")
    network = library().BertForPreTraining(config())
    network.load_state_dict(torch.load(tmp_path / "ours.pth", weights_only=True))
    again = load_weights(model, tmp_path / "ours.pth")
    assert jax.tree.all(jax.tree.map(lambda a, b: bool((a == b).all()), variables, again))


def test_first_files_called_the_parts_of_a_norm_as_tensorflow_did():
    model = BERTForPreTraining(**SMALL)
    renamed = {
        name.replace("Norm.weight", "Norm.gamma").replace("Norm.bias", "Norm.beta"): array
        for name, array in state().items()
    }
    assert set(renamed) != set(state())
    for network in (model, jdl.create_model("bert_base", **SMALL)):
        found, expected = from_names(network, renamed), from_names(network, state())
        assert jax.tree.all(jax.tree.map(lambda a, b: bool((a == b).all()), found, expected))


def test_a_file_of_another_vocabulary_is_refused():
    model = jdl.create_model("bert_base", **{**SMALL, "vocabulary_size": 98})
    with pytest.raises(UserError, match=r"1 misshapen \(first embeddings.word_embeddings.weight"):
        from_names(model, state())
