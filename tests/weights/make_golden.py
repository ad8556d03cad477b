"""Asks the references for the answers that `test_parity.py` compares with; needs torch and timm.

python -m tests.weights.make_golden [NAME ...]
"""

import json
import sys
from pathlib import Path

import jdl
from jdl.models.references import torch_network

from . import reference
from .test_parity import NAMES, shapes

FILE = Path(__file__).parent / "golden.json"
# Two sizes, one of them odd, where the network takes any.
SIZES = ((64, 64), (97, 75))
FIXED = {"inception": ((96, 96), (101, 75)), "vit": ((224, 224),), "swin_l": ((224, 224),)}


def main() -> None:
    golden = json.loads(FILE.read_text()) if FILE.exists() else {}
    for name in sys.argv[1:] or NAMES:
        model = torch_network(jdl.model_info(name).reference)
        state = reference.random_state(shapes(name), reference.GAINS.get(name, reference.HE_GAIN))
        reference.fill(model, reference.by_their_names(name, model, state))
        golden[name] = {}
        for height, width in sizes(name):
            y = reference.answer(model, reference.random_images(height, width))
            golden[name][f"{height}x{width}"] = {
                "first": [float(f"{v:.7g}") for v in reference.few(y)],
                "largest": float(f"{abs(y).max():.4g}"),
                "apart": float(f"{abs(y[0] - y[1]).max():.4g}"),
            }
        print(name, golden[name].keys())
        FILE.write_text(json.dumps(dict(sorted(golden.items())), indent=1) + "\n")


def sizes(name: str) -> tuple[tuple[int, int], ...]:
    """The sizes of the images that a network is compared on."""
    return next((sizes for start, sizes in FIXED.items() if name.startswith(start)), SIZES)


if __name__ == "__main__":
    main()
