"""The door to every dataset: the embedded ones and TFDS's own, by name."""

import contextlib
import dataclasses
import fnmatch
import functools
import importlib
import io
import os
import re
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from jdl.errors import UserError, unknown

EMBEDDED = {
    "bible_en": "jdl.data.builders.bible_en:BibleEnglish",
    "digit_scenes": "jdl.data.builders.digit_scenes:DigitScenes",
    "digits8x8": "jdl.data.builders.digits8x8:Digits8x8",
    "mnist5k": "jdl.data.builders.mnist5k:MNIST5k",
    "tiny_shakespeare": "jdl.data.builders.tiny_shakespeare:TinyShakespeare",
}


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
    source: Sequence[dict[str, Any]]
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


def data_directory(data_dir: str | os.PathLike | None = None) -> Path:
    """Returns the folder of prepared datasets: the argument, else $TFDS_DATA_DIR, else TFDS's own.

    Example:
        >>> str(data_directory("records"))
        'records'
    """
    return Path(
        data_dir or os.environ.get("TFDS_DATA_DIR") or Path.home() / "tensorflow_datasets"
    ).expanduser()


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
    builder = _builder(name, data_dir)
    if not builder.data_path.exists():
        if name not in EMBEDDED:
            raise UserError(_how_to_prepare(builder, name))
        prepare(name, data_dir=data_dir)
        builder = _builder(name, data_dir)
    splits = {key: info.num_examples for key, info in builder.info.splits.items()}
    for part in re.findall(r"(?:^|\+)\s*([^\[+]*)", split):
        if part.strip() not in splits and part.strip() != "all":
            raise UserError(
                f"dataset {name!r} has no split {part!r}; it has {', '.join(sorted(splits))}"
            )
    try:
        source = builder.as_data_source(split=split)
    except NotImplementedError:
        raise UserError(
            f"dataset {name!r} in {builder.data_path} is not in the array_record format; "
            f"prepare it again, into another folder: jdl data prepare {name} --data-dir FOLDER"
        ) from None
    except (ValueError, AssertionError) as error:
        raise UserError(f"split {split!r} of dataset {name!r}: {error}") from None
    if len(source) == 0:
        raise UserError(f"split {split!r} of dataset {name!r} is empty")
    return Dataset(name, split, source, builder.info)


def is_prepared(name: str, data_dir: str | os.PathLike | None = None) -> bool:
    """Says whether a dataset lies on disk, ready to be read.

    Raises:
        UserError: unknown dataset.
    """
    return _builder(name, data_dir).data_path.exists()


def prepare(
    name: str, *, data_dir: str | os.PathLike | None = None, source: str | os.PathLike | None = None
) -> Path:
    """Prepares a dataset on disk, unless it is there already; atomic, also between processes.

    Args:
        name: an embedded dataset's or TFDS's own name.
        data_dir: where datasets lie; default `$TFDS_DATA_DIR`, else `~/tensorflow_datasets`.
        source: a local copy: the text file of tiny_shakespeare, or the folder of files that a
            dataset of TFDS asks to be downloaded by hand.

    Returns:
        The dataset's folder.

    Raises:
        UserError: unknown dataset, unwritable folder, missing package, no network.
    """
    import tensorflow_datasets as tfds

    builder = _builder(name, data_dir)
    if builder.data_path.exists():
        return Path(builder.data_path)
    embedded = name in EMBEDDED
    config = tfds.download.DownloadConfig(manual_dir=None if embedded else source)
    try:
        with _progress(builder, embedded) as advance:
            if embedded:
                builder = _builder(name, data_dir, advance=advance, source=source and str(source))
            builder.download_and_prepare(download_config=config, file_format="array_record")
    except UserError:
        raise
    except ModuleNotFoundError as error:
        extra = "tf" if error.name == "tensorflow" else "data"
        raise UserError(
            f"dataset {name!r} needs the package {error.name}: pip install 'jdl[{extra}]'"
        ) from None
    except Exception as error:
        # Another process may have finished first: its folder is complete, ours is gone.
        if not _builder(name, data_dir).data_path.exists():
            if embedded and not isinstance(error, OSError):
                raise
            raise UserError(
                f"dataset {name!r} could not be prepared in {builder.data_path}: {error}; "
                "choose another folder with --data-dir or TFDS_DATA_DIR, or see what it needs at "
                f"{builder.info.homepage}"
            ) from error
    return Path(builder.data_path)


def list_datasets(pattern: str = "*") -> dict[str, str]:
    """Lists the embedded datasets and TFDS's own, with a line on each, embedded ones first.

    Args:
        pattern: of names, with shell wildcards.

    Example:
        >>> list_datasets("mnist5*")
        {'mnist5k': '5,000 handwritten digits of MNIST, 28×28 grey, 500 of each class.'}
    """
    import tensorflow_datasets as tfds

    lines = {name: _builder_class(name).__doc__.splitlines()[0] for name in EMBEDDED}
    # Community datasets would be looked up over the network.
    for name in sorted(tfds.list_builders(with_community_datasets=False)):
        lines.setdefault(name, f"TFDS: https://www.tensorflow.org/datasets/catalog/{name}")
    return {name: line for name, line in lines.items() if fnmatch.fnmatch(name, pattern)}


@functools.cache
def _builder_class(name: str) -> Any:
    module, _, class_name = EMBEDDED[name].partition(":")
    return getattr(importlib.import_module(module), class_name)


def _builder(name: str, data_dir: str | os.PathLike | None, **options: Any) -> Any:
    import tensorflow_datasets as tfds

    folder = str(data_directory(data_dir))
    if name in EMBEDDED:
        return _builder_class(name)(data_dir=folder, **options)
    try:
        return tfds.builder(name, data_dir=folder)
    except tfds.core.DatasetNotFoundError:
        raise unknown("dataset", name, list_datasets()) from None
    except ImportError as error:
        raise UserError(f"dataset {name!r} needs {error.name}: pip install 'jdl[tf]'") from None


def _how_to_prepare(builder: Any, name: str) -> str:
    needs = "it needs the network, and some datasets need TensorFlow: pip install 'jdl[tf]'"
    if builder.MANUAL_DOWNLOAD_INSTRUCTIONS:
        steps = " ".join(builder.MANUAL_DOWNLOAD_INSTRUCTIONS.split())
        needs = f"it must first be downloaded by hand, then add --source FOLDER ({steps})"
    return (
        f"dataset {name!r} is not prepared in {builder.data_dir}; "
        f"prepare it with: jdl data prepare {name}; {needs}"
    )


@contextlib.contextmanager
def _progress(builder: Any, embedded: bool) -> Iterator[Callable[[], None]]:
    """Shows a bar on a terminal, one line elsewhere, and keeps TFDS's chatter off stdout."""
    import tensorflow_datasets as tfds

    interactive = sys.stderr.isatty()
    if not interactive:
        print(f"preparing {builder.name} in {builder.data_path}", file=sys.stderr)
    tfds.display_progress_bar(interactive and not embedded)
    if not embedded:
        yield lambda: None
        return
    from rich.console import Console
    from rich.progress import Progress

    with (
        contextlib.redirect_stdout(io.StringIO()),
        Progress(console=Console(stderr=True), disable=not interactive, transient=True) as bar,
    ):
        task = bar.add_task(f"preparing {builder.name}", total=sum(builder.SPLITS.values()))
        yield lambda: bar.advance(task)
