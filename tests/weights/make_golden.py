"""Asks the references for the answers that `test_parity.py` compares with; needs torch and timm.

python -m tests.weights.make_golden [NAME ...]
"""

import json
import sys
from pathlib import Path

import jdl
from jdl.weights.dialects import to_own_names

from . import reference
from .test_parity import COMPARED, shapes

FILE = Path(__file__).parent / "golden.json"
# Two sizes, one of them odd, where the network takes any.
SIZES = ((64, 64), (97, 75))
FIXED = {"inception": ((96, 96), (101, 75)), "vit": ((224, 224),)}


def main() -> None:
    golden = json.loads(FILE.read_text()) if FILE.exists() else {}
    for name in sys.argv[1:] or sorted(COMPARED):
        model = reference.torch_model(jdl.model_info(name).reference)
        reference.fill(model, reference_state(name, model))
        golden[name] = {}
        for height, width in sizes(name):
            y = reference.answer(model, reference.random_images(height, width))
            golden[name][f"{height}x{width}"] = {
                "first": [float(f"{v:.7g}") for v in y[:, :16].ravel()],
                "largest": float(f"{abs(y).max():.4g}"),
                "spread": float(f"{y.std(0).mean():.4g}"),
            }
        print(name, golden[name].keys())
        FILE.write_text(json.dumps(dict(sorted(golden.items())), indent=1) + "\n")


def sizes(name: str) -> tuple[tuple[int, int], ...]:
    """The sizes of the images that a network is compared on."""
    return next((sizes for start, sizes in FIXED.items() if name.startswith(start)), SIZES)


def reference_state(name: str, model) -> dict:
    """The weights that are drawn for our names, by the reference's own names."""
    ours = reference.random_state(shapes(name))
    theirs = {own: name for name, own in own_names(name, model).items()}
    return {theirs[own]: array for own, array in ours.items()}


def own_names(name: str, model) -> dict[str, str]:
    """Our names of the reference's arrays."""
    names = {theirs: theirs for theirs in reference.shapes_of(model)}
    found = to_own_names(jdl.create_model(name), names, shapes(name))
    return {theirs: own for own, theirs in found.items()}


if __name__ == "__main__":
    main()
