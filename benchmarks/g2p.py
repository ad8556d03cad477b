"""A joint n-gram model of letters and phonemes on `cmudict`, by the measure of `g2p_cmudict`.

    pip install phonetisaurus==0.3.0
    python benchmarks/g2p.py

Error rates on different cuts of the dictionary cannot be compared; how this model does on each says
which is the harder one. It is Phonetisaurus (Novak et al., 2016,
https://doi.org/10.1017/S1351324915000315) with eight-grams, in less than two minutes of one core.
Seen here: a word error rate of 26.08 %, a phoneme error rate of 6.27 %. On the cut of the published
figures its word error rate is given as 24.4 % (https://github.com/cmusphinx/g2p-seq2seq/issues/36).
"""

import tempfile
from pathlib import Path

import jax
import jax.numpy as jnp
import phonetisaurus

from jdl.data import load
from jdl.data.pronunciation import LETTERS, PHONEMES, pronunciation_loader, pronunciations
from jdl.data.sequences import pad_sequences
from jdl.tasks.transduction import _errors
from jdl.train.metrics import add, compute

LONGEST = 30  # phonemes


def main() -> None:
    """Trains on the training split, and prints the error rates on the test split."""
    known, asked = (load("cmudict", name).arrays() for name in ("train", "test"))
    lexicon = {
        str(word): [list(one) for one in pronunciations(lines)]
        for word, lines in zip(known["word"], known["pronunciations"])
    }
    with tempfile.TemporaryDirectory() as folder:
        model = Path(folder) / "model.fst"
        phonetisaurus.train(lexicon, model)
        found = dict(phonetisaurus.predict(map(str, asked["word"]), model))
    total = None
    words = pronunciation_loader(asked["word"], asked["pronunciations"], 256, boundaries=(28,))
    for batch in words.eval_batches():
        spelt = ["".join(LETTERS.decode(source)) for source in batch["source"]]
        answers = [PHONEMES.encode(found.get(word, ())) for word in spelt]
        errors = _errors(jnp.asarray(pad_sequences(answers, LONGEST)), jax.device_put(batch))
        total = errors if total is None else add(total, errors)
    for name, share in compute(total).items():
        print(f"{name}: {share:.2%}")


if __name__ == "__main__":
    main()
