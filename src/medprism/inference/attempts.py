"""How often a study was begun: one that ends the process that works on it must not do so for ever.

A damaged file may end a process inside a library, without an error that could be caught.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

from medprism.core.durable import remove_unfinished
from medprism.core.errors import ImageReadError, WriteError

LIMIT: Final = 3
PREFIX: Final = ".begun-"


def begin_study(folder: Path, stem: str) -> None:
    """Note in a folder that a study is begun.

    Raises:
        ImageReadError: it was begun three times already and never finished.
        WriteError: the folder cannot be written, or is not there on this machine.
    """
    for number in range(LIMIT):
        try:
            _place(folder, stem, number).touch(exist_ok=False)
        except FileExistsError:
            continue
        except OSError as error:
            raise WriteError(
                f"cannot write into {folder}: {error.strerror}; it has to be a folder that every "
                "machine of the cluster sees and may write"
            ) from error
        return
    raise ImageReadError(
        f"the process that worked on it ended {LIMIT} times; look at the file by itself "
        "(medprism predict FILE), and at the memory of the machines"
    )


def finish_study(folder: Path, stem: str) -> None:
    """Forget that a study was begun."""
    for number in range(LIMIT):
        _place(folder, stem, number).unlink(missing_ok=True)


def forget_all(folder: Path) -> None:
    """Forget all studies that were begun, and remove what they left half-written.

    For a folder in which nobody is at work: before a run, and after it.
    """
    remove_unfinished(folder, PREFIX)


def _place(folder: Path, stem: str, number: int) -> Path:
    return folder / f"{PREFIX}{number}-{stem}"
