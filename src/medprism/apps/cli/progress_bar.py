"""A progress bar on stderr for long work; silent where stderr is no terminal."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)


class Bar:
    """One line of a bar, as the library's `Progress`."""

    def __init__(self, shown: Progress, title: str) -> None:
        self._shown = shown
        self._title = title
        self._task = shown.add_task(title, total=None)

    def report(self, done: int, total: int, message: str = "") -> None:
        """Move the bar; the message stands beside its title."""
        title = f"{self._title}: {message}" if message else self._title
        self._shown.update(self._task, completed=done, total=total or None, description=title)

    def is_cancelled(self) -> bool:
        """Return False: Ctrl-C ends work of which nothing is kept half done."""
        return False


@contextmanager
def progress_bar(title: str) -> Iterator[Bar]:
    """Show a bar on stderr while the block runs, and take it away afterwards."""
    console = Console(stderr=True)
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(
        *columns, console=console, transient=True, disable=not console.is_terminal
    ) as shown:
        yield Bar(shown, title)
