"""What torch's recurrent layers answer to weights that anyone can draw again, kept as a file.

python -m tests.layers.golden_recurrent    writes golden_recurrent.json; needs torch
"""

import json
import zlib
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from jdl.layers.recurrent import GRU, LSTM, RNN

FILE = Path(__file__).with_name("golden_recurrent.json")
BATCH, TIME, FEATURES, HIDDEN = 3, 6, 4, 5
LENGTHS = [6, 2, 4]
# Layers, both directions.
CASES = [(1, False), (2, False), (2, True)]


def draw(name: str, shape: tuple[int, ...]) -> jnp.ndarray:
    random = np.random.default_rng(zlib.crc32(name.encode()))
    return jnp.asarray(0.5 * random.standard_normal(shape), jnp.float32)


def inputs() -> jnp.ndarray:
    return draw("inputs", (BATCH, TIME, FEATURES))


def build(kind: str, case: int):
    num_layers, bidirectional = CASES[case]
    layer = {"RNN": RNN, "LSTM": LSTM, "GRU": GRU}[kind]
    return layer(HIDDEN, num_layers=num_layers, bidirectional=bidirectional)


def carry_of(kind: str, states: int):
    hidden, cell = (draw(name, (BATCH, states, HIDDEN)) for name in ("hidden", "cell"))
    return (hidden, cell) if kind == "LSTM" else hidden


def flat(leaves, gradients) -> list[np.ndarray]:
    """What is worth storing: all results whole, and one number for each gradient."""
    return [np.ravel(leaf) for leaf in leaves] + [
        np.asarray((np.asarray(g) * np.asarray(draw(str(g.shape), g.shape))).sum())
        for g in jax.tree.leaves(gradients)
    ]


def stored(kind: str, case: int) -> list[np.ndarray]:
    return [np.array(a) for a in json.loads(FILE.read_text())[f"{kind} {case}"]]


def run_torch(kind: str, case: int, params):
    """The same of torch's layer, with packed lengths."""
    import torch
    from torch.nn.utils import rnn

    num_layers, bidirectional = CASES[case]
    layer = getattr(torch.nn, kind)(
        FEATURES, HIDDEN, num_layers, batch_first=True, bidirectional=bidirectional
    )
    layer.load_state_dict({name: torch.tensor(np.asarray(p)) for name, p in params.items()})
    x = torch.tensor(np.asarray(inputs()), requires_grad=True)
    carry = jax.tree.map(
        lambda a: torch.tensor(np.asarray(a).swapaxes(0, 1)),
        carry_of(kind, num_layers * (1 + bidirectional)),
    )
    packed = rnn.pack_padded_sequence(x, LENGTHS, batch_first=True, enforce_sorted=False)
    outputs, last = layer(packed, carry)
    outputs, _ = rnn.pad_packed_sequence(outputs, batch_first=True, total_length=TIME)
    last = last if kind == "LSTM" else (last,)
    leaves = [outputs, *(state.transpose(0, 1) for state in last)]
    shapes = [tuple(leaf.shape) for leaf in leaves]
    sum(
        (leaf * torch.tensor(np.asarray(draw(str(shape), shape)))).sum()
        for leaf, shape in zip(leaves, shapes)
    ).backward()
    gradients = {name: p.grad.numpy() for name, p in layer.named_parameters()}
    return [leaf.detach().numpy() for leaf in leaves], (gradients, x.grad.numpy())


def main() -> None:
    answers = {}
    for kind in ("RNN", "LSTM", "GRU"):
        for case in range(len(CASES)):
            layer = build(kind, case)
            shapes = jax.eval_shape(layer.init, jax.random.key(0), inputs())["params"]
            params = {name: draw(name, leaf.shape) for name, leaf in shapes.items()}
            results = flat(*run_torch(kind, case, params))
            answers[f"{kind} {case}"] = [np.round(a.astype(float), 7).tolist() for a in results]
    FILE.write_text(json.dumps(answers) + "\n")


if __name__ == "__main__":
    main()
