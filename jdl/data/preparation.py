"""Writing datasets to disk: without TensorFlow, atomically, with a progress bar."""

import contextlib
import io
import os
import socket
import sys
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from jdl.data.catalogue import EMBEDDED, find_builder, first_line
from jdl.errors import UserError


def is_prepared(name: str, data_dir: str | os.PathLike | None = None) -> bool:
    """Says whether a dataset lies on disk, ready to be read.

    Raises:
        UserError: unknown dataset.
    """
    return find_builder(name, data_dir).data_path.exists()


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
    builder = find_builder(name, data_dir)
    if not builder.data_path.exists():
        write = _write_embedded if name in EMBEDDED else _write_tfds
        if not sys.stderr.isatty():
            print(f"preparing {builder.name} in {builder.data_path}", file=sys.stderr)
        try:
            write(builder, name, data_dir, source)
        except ModuleNotFoundError as error:
            extra = "tf" if error.name == "tensorflow" else "data"
            raise UserError(
                f"dataset {name!r} needs the package {error.name}: pip install 'jdl[{extra}]'"
            ) from None
    return Path(builder.data_path)


def _write_embedded(
    builder: Any,
    name: str,
    data_dir: str | os.PathLike | None,
    source: str | os.PathLike | None,
) -> None:
    import tensorflow_datasets as tfds

    tfds.disable_progress_bar()
    with _progress(f"preparing {name}", sum(builder.SPLITS.values())) as advance:
        writer = find_builder(name, data_dir, advance=advance, source=source and str(source))
        try:
            writer.download_and_prepare()
        except OSError as error:
            # TFDS writes aside and renames; where another process was first, its folder is kept.
            if not builder.data_path.exists():
                raise UserError(
                    f"dataset {name!r} cannot be written to {builder.data_path}: {error}; "
                    "choose another folder with --data-dir or TFDS_DATA_DIR"
                ) from error


def _write_tfds(
    builder: Any,
    name: str,
    data_dir: str | os.PathLike | None,
    source: str | os.PathLike | None,
) -> None:
    import tensorflow_datasets as tfds

    if not builder.MANUAL_DOWNLOAD_INSTRUCTIONS and not _has_network():
        raise UserError(f"dataset {name!r} cannot be downloaded: {requirements(builder)}")
    tfds.display_progress_bar(sys.stderr.isatty())
    config = tfds.download.DownloadConfig(manual_dir=source)
    try:
        with contextlib.redirect_stdout(sys.stderr):
            builder.download_and_prepare(download_config=config, file_format="array_record")
    except ModuleNotFoundError:
        raise
    except Exception as error:  # of any kind: these builders and their sources are not ours
        if not find_builder(name, data_dir).data_path.exists():
            raise UserError(
                f"dataset {name!r} could not be prepared in {builder.data_path}: "
                f"{first_line(error)}; {requirements(builder)}"
            ) from error


def requirements(builder: Any) -> str:
    """Says what one of TFDS's own datasets needs to be prepared."""
    if builder.MANUAL_DOWNLOAD_INSTRUCTIONS:
        steps = " ".join(builder.MANUAL_DOWNLOAD_INSTRUCTIONS.split())
        return f"it must first be downloaded by hand, then add --source FOLDER ({steps})"
    return "it needs the network, and some datasets need TensorFlow: pip install 'jdl[tf]'"


def _has_network() -> bool:
    """Looks one host up, because TFDS would retry for minutes; behind a proxy it may be wrong."""
    if urllib.request.getproxies():
        return True
    with contextlib.suppress(OSError):
        return bool(socket.getaddrinfo("www.tensorflow.org", 443))
    return False


@contextlib.contextmanager
def _progress(title: str, total: int) -> Iterator[Callable[[], None]]:
    """Shows a bar on a terminal, nothing elsewhere, and keeps TFDS's chatter off stdout."""
    from rich.console import Console
    from rich.progress import Progress

    console = Console(stderr=True)
    with (
        contextlib.redirect_stdout(io.StringIO()),
        Progress(console=console, disable=not console.is_terminal, transient=True) as bar,
    ):
        task = bar.add_task(title, total=total)
        yield lambda: bar.advance(task)
