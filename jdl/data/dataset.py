"""The door: any prepared split of any dataset, by name."""

import dataclasses
import os
import re
from typing import Any

import numpy as np

from jdl.data.catalogue import EMBEDDED, find_builder, first_line
from jdl.data.preparation import prepare, requirements
from jdl.errors import UserError


@dataclasses.dataclass(frozen=True)
class Dataset:
    """One split of a prepared dataset.

    Args:
        name: the dataset's name.
        split: the split, in TFDS's split language ("train", "train[:10%]", ...).
        source: random access to the examples: `len(source)`, `source[i]`, a dict of arrays.
        info: TFDS's `DatasetInfo`: features, splits, citation, license.
    """

    name: str
    split: str
    source: Any
    info: Any

    def __len__(self) -> int:
        return len(self.source)

    @property
    def features(self) -> Any:
        """TFDS's description of one example: names, shapes and types."""
        return self.info.features

    def arrays(self) -> dict[str, np.ndarray]:
        """Reads all examples into memory, stacked; text becomes an object array of str.

        Raises:
            UserError: when a feature is nested or has no fixed shape.
        """
        examples = self.source.__getitems__(range(len(self)))
        columns = {key: [example[key] for example in examples] for key in examples[0]}
        return {key: _stack(self.name, key, values) for key, values in columns.items()}


def _stack(name: str, key: str, values: list) -> np.ndarray:
    first = values[0]
    if isinstance(first, bytes):
        column = np.empty(len(values), object)
        column[:] = [value.decode("utf-8") for value in values]
        return column
    shapes = {np.shape(value) for value in values} if not isinstance(first, dict) else set()
    if len(shapes) != 1:
        raise UserError(
            f"feature {key!r} of dataset {name!r} is nested or has no fixed shape and cannot be "
            "stacked; read it through jdl.data.GrainLoader with a transform"
        )
    column = np.stack(values)
    # TFDS gives scalar integers as Python's; 32 bits are what devices take.
    if column.dtype == np.int64 and abs(column).max() < 2**31:
        return column.astype(np.int32)
    return column


def load(name: str, split: str, *, data_dir: str | os.PathLike | None = None) -> Dataset:
    """Opens one split of a dataset; an embedded dataset is prepared on first use.

    Args:
        name: an embedded dataset's or TFDS's own name.
        split: a split's name, or any expression of TFDS's split language.
        data_dir: where datasets lie; default `$TFDS_DATA_DIR`, else `~/tensorflow_datasets`.

    Returns:
        The split: random access through `.source`, everything at once through `.arrays()`.

    Raises:
        UserError: unknown dataset or split, dataset not prepared, empty split.
    """
    builder = find_builder(name, data_dir)
    if not builder.data_path.exists():
        if name not in EMBEDDED:
            raise UserError(
                f"dataset {name!r} is not prepared in {builder.data_path}; "
                f"prepare it with: jdl data prepare {name}; {requirements(builder)}"
            )
        prepare(name, data_dir=data_dir)
        builder = find_builder(name, data_dir)
    splits = {key: info.num_examples for key, info in builder.info.splits.items()}
    for part in re.findall(r"(?:^|\+)\s*([^\[+]*)", split):
        if part.strip() not in splits and part.strip() != "all":
            raise UserError(
                f"dataset {name!r} has no split {part!r}; it has {', '.join(sorted(splits))}"
            )
    try:
        if not builder.info.splits[split].num_examples:
            raise UserError(f"split {split!r} of dataset {name!r} is empty")
        source = builder.as_data_source(split=split)
    except UserError:
        raise
    except NotImplementedError:
        raise UserError(
            f"dataset {name!r} in {builder.data_path} is not in the array_record format; "
            f"prepare it again, into another folder: jdl data prepare {name} --data-dir FOLDER"
        ) from None
    except (ValueError, AssertionError, KeyError) as error:
        raise UserError(f"split {split!r} of dataset {name!r}: {first_line(error)}") from None
    return Dataset(name, split, source, builder.info)
