"""How far something long has come: a bar on a terminal, nothing elsewhere."""

import contextlib
from collections.abc import Callable, Iterator


@contextlib.contextmanager
def progress(title: str, total: int) -> Iterator[Callable[[], None]]:
    """Shows a bar on a terminal, and nothing where the output goes elsewhere.

    Args:
        title: what is being done.
        total: how many steps it has.

    Yields:
        A function to call after each step.

    Example:
        >>> with progress("counting", 3) as advance:
        ...     for _ in range(3):
        ...         advance()
    """
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
    )

    # What a command says goes to stdout, and may go into a file.
    console = Console(stderr=True)
    columns = (
        TextColumn("{task.description}"),
        BarColumn(bar_width=24),
        MofNCompleteColumn(),
        TimeRemainingColumn(compact=True),
        TextColumn("left"),
    )
    hidden = not console.is_terminal
    with Progress(
        *columns, console=console, disable=hidden, transient=True, redirect_stdout=False
    ) as bar:
        task = bar.add_task(title, total=total)
        yield lambda: bar.advance(task)
