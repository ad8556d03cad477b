"""Datasets by name, loaders whose batches are pure functions of (seed, step), augmentation, text.

Augmentation on the device is in `jdl.data.augment`, `colours` and `mixing`; on the host, in
`jdl.data.crops` and `autoaugment`.
"""

from jdl.data.catalogue import data_directory, list_datasets
from jdl.data.dataset import Dataset, load
from jdl.data.loaders import BatchIterator, InMemoryLoader, Loader, validate_labels
from jdl.data.prefetch import prefetch_to_device
from jdl.data.preparation import is_prepared, prepare
from jdl.data.sequences import BucketLoader, length_buckets, pad_sequences
from jdl.data.side_by_side import SideBySideLoader, repeated
from jdl.data.streaming import GrainLoader
from jdl.data.text import BytePairTokenizer, CharacterTokenizer, TokenWindowLoader

__all__ = [
    "BatchIterator",
    "BucketLoader",
    "BytePairTokenizer",
    "CharacterTokenizer",
    "Dataset",
    "GrainLoader",
    "InMemoryLoader",
    "Loader",
    "SideBySideLoader",
    "TokenWindowLoader",
    "data_directory",
    "is_prepared",
    "length_buckets",
    "list_datasets",
    "load",
    "pad_sequences",
    "prefetch_to_device",
    "prepare",
    "repeated",
    "validate_labels",
]
