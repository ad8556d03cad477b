"""Datasets by name, loaders whose batches are pure functions of (seed, step), augmentation, text."""

from jdl.data.catalogue import Dataset, data_directory, is_prepared, list_datasets, load, prepare
from jdl.data.loaders import BatchIterator, InMemoryLoader, Loader, validate_labels

__all__ = [
    "BatchIterator",
    "Dataset",
    "InMemoryLoader",
    "Loader",
    "data_directory",
    "is_prepared",
    "list_datasets",
    "load",
    "prepare",
    "validate_labels",
]
