"""The Transformer gives the numbers of `torch.nn.Transformer`, whose two last norms it has not.

python -m tests.weights.test_transformer   stores torch's answers for those without torch.
"""

import importlib.util
import json
import math
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jdl
from jdl.weights import from_names, to_names

from . import reference

FILE = Path(__file__).parent / "golden_transformer.json"
HAVE_TORCH = importlib.util.find_spec("torch") is not None
SIZES = {"vocabulary_size": 23, "width": 24, "num_layers": 2, "num_heads": 4, "mlp_width": 40}
MODEL = jdl.create_model("transformer_base", **SIZES)
RANDOM = np.random.default_rng(0)
SOURCE, INPUTS = RANDOM.integers(0, 23, (4, 9)), RANDOM.integers(0, 23, (4, 6))
LENGTHS = np.array([9, 5, 2, 1])


def state():
    """Weights by torch's names, which anyone can draw again."""
    arguments = map(jnp.asarray, (SOURCE, LENGTHS, INPUTS))
    variables = jax.eval_shape(MODEL.init, jax.random.key(0), *arguments)
    empty = jax.tree.map(lambda leaf: np.broadcast_to(np.float32(0), leaf.shape), variables)
    return reference.random_state({name: a.shape for name, a in to_names(empty).items()})


def cut(source, time):
    """The first symbols of all sequences."""
    return SOURCE[:, :source], np.minimum(LENGTHS, source), INPUTS[:, :time]


def torch_answer(source=9, time=6):
    """torch's layers one after the other: its stacks would norm once more at their ends."""
    import torch

    sizes = {"d_model": 24, "nhead": 4, "dim_feedforward": 40}
    stacks = {"num_encoder_layers": 2, "num_decoder_layers": 2}
    network = torch.nn.Transformer(**sizes, **stacks, batch_first=True).eval()
    weights = {name: torch.from_numpy(array) for name, array in state().items()}
    table = weights.pop("embedding.weight")
    missing, unexpected = network.load_state_dict(weights, strict=False)
    norms = {
        f"{stack}.norm.{leaf}" for stack in ("encoder", "decoder") for leaf in ("weight", "bias")
    }
    assert set(missing) == norms
    assert not unexpected

    def embed(tokens):
        x = math.sqrt(24) * table[torch.from_numpy(tokens)]
        for position in range(tokens.shape[1]):
            for i in range(12):
                angle = position / 10_000 ** (2 * i / 24)
                x[:, position, 2 * i] += math.sin(angle)
                x[:, position, 2 * i + 1] += math.cos(angle)
        return x

    sources, lengths, inputs = cut(source, time)
    padding = torch.from_numpy(np.arange(source) >= lengths[:, None])
    causal = network.generate_square_subsequent_mask(time)
    with torch.no_grad():
        memory, x = embed(sources), embed(inputs)
        for layer in network.encoder.layers:
            memory = layer(memory, src_key_padding_mask=padding)
        for layer in network.decoder.layers:
            x = layer(x, memory, tgt_mask=causal, memory_key_padding_mask=padding)
        return (x @ table.T).numpy()


def our_answer(source=9, time=6):
    arguments = map(jnp.asarray, cut(source, time))
    return np.asarray(jax.jit(MODEL.apply)(from_names(MODEL, state()), *arguments))


def test_logits_are_the_stored_ones():
    stored = np.array(json.loads(FILE.read_text()))
    assert np.ptp(stored, axis=0).min() > 0.1  # no two sentences are answered alike
    np.testing.assert_allclose(our_answer()[..., :5], stored, rtol=0, atol=2e-5)


@pytest.mark.skipif(not HAVE_TORCH, reason="needs torch")
@pytest.mark.parametrize(("source", "time"), [(9, 6), (6, 5)])
def test_logits_are_torchs(source, time):
    found, expected = our_answer(source, time), torch_answer(source, time)
    np.testing.assert_allclose(found, expected, rtol=0, atol=2e-5)


if __name__ == "__main__":
    rounded = np.round(torch_answer()[..., :5].astype(float), 6)
    FILE.write_text(json.dumps(rounded.tolist()) + "\n")
