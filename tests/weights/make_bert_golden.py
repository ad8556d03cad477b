"""Asks transformers for the answers that `test_bert.py` compares with; needs torch.

python -m tests.weights.make_bert_golden
"""

import json

import numpy as np

from .test_bert import GOLDEN_FILE, LENGTHS, example, state, theirs


def main() -> None:
    golden = {}
    for length in LENGTHS:
        answers = theirs(state(), **example(length))
        golden[str(length)] = {
            name: {
                "first": [float(f"{v:.7g}") for v in answer.ravel()[:12]],
                "last": [float(f"{v:.7g}") for v in answer.ravel()[-12:]],
                "apart": float(f"{np.ptp(answer):.4g}"),
            }
            for name, answer in answers.items()
        }
    GOLDEN_FILE.write_text(json.dumps(golden, indent=1) + "\n")


if __name__ == "__main__":
    main()
