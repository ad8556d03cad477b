"""Asks transformers for the numbers that `test_sentences.py` compares with; needs torch.

python -m tests.explore.make_minilm_golden
"""

import json

from .test_sentences import GOLDEN_FILE, SENTENCES, theirs


def main() -> None:
    vectors = theirs(SENTENCES)
    golden = {s: [float(f"{v:.6g}") for v in vector[:12]] for s, vector in zip(SENTENCES, vectors)}
    GOLDEN_FILE.write_text(json.dumps(golden, indent=1, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main()
