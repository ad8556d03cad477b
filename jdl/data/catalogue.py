"""The names of all datasets, and the TFDS builder behind each."""

import contextlib
import fnmatch
import functools
import importlib
import os
import re
from pathlib import Path
from typing import Any

from jdl.errors import UserError, unknown

EMBEDDED = {
    "bible_en": "jdl.data.builders.bible_en:BibleEnglish",
    "bible_en_ja": "jdl.data.builders.bible_en_ja:BibleEnglishJapanese",
    "cmudict": "jdl.data.builders.cmudict:CMUDict",
    "cracks": "jdl.data.builders.cracks:Cracks",
    "digit_scenes": "jdl.data.builders.digit_scenes:DigitScenes",
    "digits8x8": "jdl.data.builders.digits8x8:Digits8x8",
    "faces25": "jdl.data.builders.faces25:Faces25",
    "mnist5k": "jdl.data.builders.mnist5k:MNIST5k",
    "moving_digits": "jdl.data.builders.moving_digits:MovingDigits",
    "photos": "jdl.data.builders.photos:Photos",
    "stocks": "jdl.data.builders.stocks:Stocks",
    "textures": "jdl.data.builders.textures:Textures",
    "tiny_shakespeare": "jdl.data.builders.tiny_shakespeare:TinyShakespeare",
}


def data_directory(data_dir: str | os.PathLike | None = None) -> Path:
    """Returns the folder of prepared datasets: the argument, else $TFDS_DATA_DIR, else TFDS's own.

    Example:
        >>> str(data_directory("records"))
        'records'
    """
    return Path(
        data_dir or os.environ.get("TFDS_DATA_DIR") or Path.home() / "tensorflow_datasets"
    ).expanduser()


def list_datasets(pattern: str = "*") -> dict[str, str]:
    """Lists the embedded datasets and TFDS's own, with a line on each, embedded ones first.

    Args:
        pattern: of names, with shell wildcards.

    Example:
        >>> list_datasets("mnist5*")
        {'mnist5k': '5,000 handwritten digits of MNIST, 28×28 grey, 500 of each class.'}
    """
    import tensorflow_datasets as tfds

    _register_tfds()
    lines = {name: _builder_class(name).__doc__.splitlines()[0] for name in EMBEDDED}
    # Community datasets would be looked up over the network.
    for name in sorted(tfds.list_builders(with_community_datasets=False)):
        lines.setdefault(name, f"TFDS: https://www.tensorflow.org/datasets/catalog/{name}")
    return {name: line for name, line in lines.items() if fnmatch.fnmatch(name, pattern)}


@functools.cache
def _builder_class(name: str) -> Any:
    module, _, class_name = EMBEDDED[name].partition(":")
    return getattr(importlib.import_module(module), class_name)


def find_builder(name: str, data_dir: str | os.PathLike | None = None, **options: Any) -> Any:
    """Returns the TFDS builder of a dataset, prepared or not.

    Args:
        name: an embedded dataset's or TFDS's own name, with "/config" and ":version" if wanted.
        data_dir: where datasets lie, as in `data_directory`.
        options: of `EmbeddedBuilder`.

    Raises:
        UserError: unknown dataset.

    Example:
        >>> find_builder("mnist5k").SPLITS
        {'train': 3500, 'validation': 500, 'test': 1000}
    """
    import tensorflow_datasets as tfds

    folder = str(data_directory(data_dir))
    if name in EMBEDDED:
        return _builder_class(name)(data_dir=folder, **options)
    _register_tfds()
    try:
        # Other forms of names would be looked up over the network.
        if not re.fullmatch(r"\w+(/[\w.\-]+)?(:[\d.*]+)?", name):
            raise tfds.core.DatasetNotFoundError(name)
        return tfds.builder(name, data_dir=folder)
    except tfds.core.DatasetNotFoundError:
        raise unknown("dataset", name, list_datasets()) from None
    except ValueError as error:  # of a configuration or version
        raise UserError(f"dataset {name!r}: {first_line(error)}") from None
    except ImportError as error:
        raise UserError(f"dataset {name!r} needs {error.name}: pip install 'jdl[tf]'") from None


@functools.cache
def _register_tfds() -> None:
    """Imports all of TFDS's builders; by itself it stops at the first that lacks a package."""
    import tensorflow_datasets as tfds

    for folder in sorted(Path(tfds.__file__).parent.iterdir()):
        if (folder / "__init__.py").exists() and folder.name not in ("core", "testing", "scripts"):
            with contextlib.suppress(ImportError):
                importlib.import_module(f"tensorflow_datasets.{folder.name}")


def first_line(error: Exception) -> str:
    """Returns the first line of an error's message, or the kind of an error without one."""
    return next(iter(str(error).splitlines()), type(error).__name__)
