"""What all embedded datasets share: TFDS builders that write array_record files by themselves."""

import abc
from collections.abc import Callable, Iterator
from typing import Any, ClassVar

import numpy as np
import tensorflow_datasets as tfds

from jdl.errors import UserError


class EmbeddedBuilder(tfds.core.GeneratorBasedBuilder):
    """A dataset whose examples come from an installed package or a local file.

    A subclass names its splits and their sizes, its features and its source, and yields its
    examples; the first line of its docstring is its description in listings.
    """

    VERSION = tfds.core.Version("1.0.0")
    SPLITS: ClassVar[dict[str, int]]
    CITATION: ClassVar[str] = ""
    LICENSE: ClassVar[str] = ""
    TAKES_SOURCE: ClassVar[bool] = False  # a local file, given by the user
    HOMEPAGE: ClassVar[str] = ""

    def __init_subclass__(cls, **kwargs: Any) -> None:
        # Unregistered, so that a name may equal one of TFDS's own (tiny_shakespeare).
        super().__init_subclass__(skip_registration=True, **kwargs)

    def __init__(
        self,
        *,
        advance: Callable[[], None] = lambda: None,
        source: str | None = None,
        **kwargs: Any,
    ):
        if source and not self.TAKES_SOURCE:
            raise UserError(f"dataset {self.name!r} is made without a source; leave it out")
        self.advance = advance
        self.source = source
        super().__init__(file_format="array_record", **kwargs)

    @abc.abstractmethod
    def features(self) -> tfds.features.FeaturesDict:
        """Returns the features of one example."""

    @abc.abstractmethod
    def examples(self, split: str) -> Iterator[dict[str, Any]]:
        """Yields the examples of a split in their order on disk."""

    def _info(self) -> tfds.core.DatasetInfo:
        return tfds.core.DatasetInfo(
            builder=self,
            description=self.__doc__,
            features=self.features(),
            citation=self.CITATION,
            license=self.LICENSE,
            homepage=self.HOMEPAGE or None,
            disable_shuffling=True,
        )

    def _split_generators(self, dl_manager: tfds.download.DownloadManager) -> dict[str, Iterator]:
        return {split: self._generate_examples(split) for split in self.SPLITS}

    def _generate_examples(self, split: str) -> Iterator[tuple[int, dict[str, Any]]]:
        for number, example in enumerate(self.examples(split)):
            yield number, example
            self.advance()


def stratified_split(
    labels: np.ndarray, fractions: dict[str, float], seed: int = 0
) -> dict[str, np.ndarray]:
    """Cuts examples into splits that hold the same share of every class.

    Within a class of nₖ examples, shuffled, the example at rank r goes to the split whose
    interval of cumulated fractions contains r / nₖ; sorting by r / nₖ interleaves the classes.

    Args:
        labels: class of each example, integers [n].
        fractions: share of each split, in order; they sum to 1.
        seed: of the permutation.

    Returns:
        The numbers of the examples of each split.

    Example:
        >>> split = stratified_split(np.repeat([0, 1], 10), {"train": 0.8, "test": 0.2})
        >>> [len(split["train"]), np.repeat([0, 1], 10)[split["test"]].tolist()]
        [16, [0, 1, 0, 1]]
    """
    # RandomState, because its stream is frozen for ever (NEP 19): a version of a dataset means
    # the same examples whatever the numpy.
    random = np.random.RandomState(seed)
    classes = [random.permutation(np.flatnonzero(labels == label)) for label in np.unique(labels)]
    ends = np.cumsum([0.0, *fractions.values()])
    splits = {}
    for start, end, split in zip(ends[:-1], ends[1:], fractions):
        parts = [c[round(start * len(c)) : round(end * len(c))] for c in classes]
        rank = np.concatenate([np.arange(len(part)) for part in parts])
        splits[split] = np.concatenate(parts)[np.argsort(rank, kind="stable")]
    return splits
