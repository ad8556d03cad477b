"""Small GPTs with weights that anyone can make again, and what transformers answers.

python -m tests.weights.gpt_reference    # writes golden_gpt.json; needs torch and transformers
"""

import json
from pathlib import Path

import jax
import numpy as np

import jdl
from jdl.models.references import declare_operators
from jdl.weights import to_names

from . import reference

FILE = Path(__file__).parent / "golden_gpt.json"
NAMES = ("gpt1", "gpt2")
SMALL = {"vocabulary_size": 31, "max_length": 16, "width": 24, "num_layers": 3, "num_heads": 4}
TOKENS = np.random.default_rng(0).integers(0, 31, (2, 13))
MASK = np.ones((2, 13), bool)
MASK[1, :4] = False  # The second text begins with padding.


def random_state(model) -> dict[str, np.ndarray]:
    """Weights drawn by name."""
    text = jax.ShapeDtypeStruct((1, 2), np.int32)
    variables = jax.eval_shape(model.init, jax.eval_shape(lambda: jax.random.key(0)), text)
    empty = jax.tree.map(lambda leaf: np.broadcast_to(np.float32(0), leaf.shape), variables)
    return reference.random_state({name: a.shape for name, a in to_names(empty).items()})


def build(name: str, model, state):
    """The network in transformers, with these weights."""
    import torch

    declare_operators()
    import transformers

    config_class, network_class = {
        "gpt1": (transformers.OpenAIGPTConfig, transformers.OpenAIGPTLMHeadModel),
        "gpt2": (transformers.GPT2Config, transformers.GPT2LMHeadModel),
    }[name]
    config = config_class(
        vocab_size=model.vocabulary_size,
        n_positions=model.max_length,
        n_embd=model.width,
        n_layer=model.num_layers,
        n_head=model.num_heads,
        bos_token_id=0,
        eos_token_id=0,
    )
    network = network_class(config).eval()
    tensors = {key: torch.from_numpy(array) for key, array in state.items()}
    network.transformer.load_state_dict(tensors)
    network.tie_weights()
    return network


def answer(network, tokens: np.ndarray, mask: np.ndarray) -> tuple[np.ndarray, list[np.ndarray]]:
    """Their logits and hidden states."""
    import torch

    with torch.no_grad():
        y = network(
            torch.from_numpy(tokens),
            attention_mask=torch.from_numpy(mask.astype(np.int64)),
            output_hidden_states=True,
        )
    return y.logits.numpy(), [state.numpy() for state in y.hidden_states]


def main() -> None:
    golden = {}
    for name in NAMES:
        model = jdl.create_model(name, **SMALL)
        logits, _ = answer(build(name, model, random_state(model)), TOKENS, MASK)
        golden[name] = [[float(f"{v:.7g}") for v in row] for row in logits[:, -1]]
    FILE.write_text(json.dumps(golden, indent=1) + "\n")


if __name__ == "__main__":
    main()
