"""Spellings and their pronunciations as examples of a transduction."""

import re
from collections.abc import Iterable, Sequence

import numpy as np

from jdl.data.sequences import BucketLoader, pad_sequences
from jdl.data.vocabulary import Vocabulary

LETTERS = Vocabulary("abcdefghijklmnopqrstuvwxyz'")

# Without their stress, as published error rates are counted.
_ARPABET = """
AA AE AH AO AW AY EH ER EY IH IY OW OY UH UW
B CH D DH F G HH JH K L M N NG P R S SH T TH V W Y Z ZH
"""
PHONEMES = Vocabulary(_ARPABET.split())


def pronunciations(lines: str) -> list[tuple[str, ...]]:
    r"""Reads the pronunciations of a word, without stress; those that then are the same, once.

    Args:
        lines: one pronunciation each, phonemes with spaces in between.

    Example:
        >>> pronunciations("R EH1 K ER0 D\nR AH0 K AO1 R D\nR EH0 K ER0 D")
        [('R', 'EH', 'K', 'ER', 'D'), ('R', 'AH', 'K', 'AO', 'R', 'D')]
    """
    bare = (tuple(re.sub(r"\d", "", line).split()) for line in lines.splitlines())
    return list(dict.fromkeys(bare))


def pronunciation_loader(
    words: Iterable[str],
    lines: Iterable[str],
    batch_size: int,
    *,
    boundaries: Sequence[int],
    every: bool = False,
    seed: int = 0,
) -> BucketLoader:
    r"""Returns batches of words ("source"), pronunciations ("target"), and all that a word has.

    The latter, the "references", are what predictions are compared with.

    Args:
        words: spellings.
        lines: of each word, as `pronunciations` reads them.
        batch_size: words in a batch.
        boundaries: padded lengths.
        every: a word is an example with each of its pronunciations, to be learned; otherwise it is
            one with the first, which is the usual one.
        seed: of the order.

    Example:
        >>> loader = pronunciation_loader(["a"], ["AH0\nEY1"], 1, boundaries=[2])
        >>> next(loader.eval_batches())["references_length"].tolist()
        [[1, 1]]
        >>> pronunciation_loader(["a"], ["AH0\nEY1"], 1, boundaries=[2], every=True).num_examples
        2
    """
    several = [pronunciations(text) for text in lines]
    encoded = [[PHONEMES.encode(each) for each in one] for one in several]
    sources = [LETTERS.encode(word) for word in words]
    most = max(map(len, encoded))
    longest = max(len(t) for targets in encoded for t in targets)
    references = np.zeros((len(encoded), most, longest), np.int32)
    lengths = np.zeros((len(encoded), most), np.int32)
    for i, targets in enumerate(encoded):
        references[i, : len(targets)] = pad_sequences(targets, longest)
        lengths[i, : len(targets)] = [len(target) for target in targets]
    taught = [
        (i, target)
        for i, targets in enumerate(encoded)
        for target in (targets if every else targets[:1])
    ]
    of = [i for i, _ in taught]
    return BucketLoader(
        {"source": [sources[i] for i in of], "target": [target for _, target in taught]},
        batch_size,
        boundaries=boundaries,
        arrays={"references": references[of], "references_length": lengths[of]},
        seed=seed,
    )
