"""A process that accepts masks until it is killed; run by test_kill.py, never imported there.

It imports once and forks for every order on stdin, a line `FOLDER FIRST DIE_AT` each. The child
accepts mask FIRST, FIRST + 1, ... and says `ok N` after each one; it kills itself (signal 9) before
its system call number DIE_AT that changes the disk, or waits to be killed if that is 0.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np

from medprism.core.image import Image
from medprism.core.randomness import counter_rng
from medprism.project.masks import Accepting
from medprism.project.project import Project

SHAPE = (20, 31)
LABELS = ("liver", "polyp")


def mask_of(number: int, label: str) -> np.ndarray:
    """Return the mask that is accepted as the n-th."""
    return counter_rng(number, label).random(SHAPE) > 0.6


def accept(project: Project, number: int) -> None:
    """Accept mask number n of both labels on the first image."""
    like = Image.from_array(np.zeros(SHAPE, np.uint8))
    entries = [Accepting(project.labels.ensure(one), mask_of(number, one)) for one in LABELS]
    project.masks.accept(1, like, entries, f"writer {number}", example_origin="accepted")


class _Countdown:
    """Kills the process before its n-th call."""

    def __init__(self, left: int) -> None:
        self.left = left

    def wrap(self, call: Callable[..., object]) -> Callable[..., object]:
        def counted(*args: object, **kwargs: object) -> object:
            self.left -= 1
            if self.left == 0:
                os.kill(os.getpid(), signal.SIGKILL)
            return call(*args, **kwargs)

        return counted


class _Connection:
    """A database connection whose statements are counted."""

    def __init__(self, real: object, countdown: _Countdown) -> None:
        self._real = real
        self.execute = countdown.wrap(real.execute)  # type: ignore[attr-defined]

    def __getattr__(self, name: str) -> object:
        return getattr(self._real, name)


def _work(folder: Path, number: int, die_at: int) -> None:
    project = Project(folder)
    if die_at:
        countdown = _Countdown(die_at)
        for name in ("open", "write", "fsync", "chmod", "replace", "unlink"):
            setattr(os, name, countdown.wrap(getattr(os, name)))
        project.database._connection = _Connection(  # type: ignore[assignment]
            project.database._connection, countdown
        )
    while True:
        accept(project, number)
        os.write(1, f"ok {number}\n".encode())
        number += 1


def main() -> None:
    """Fork for every order, and say how the child ended."""
    for line in sys.stdin:
        folder, first, die_at = line.rsplit(" ", 2)
        child = os.fork()
        if child == 0:
            _work(Path(folder), int(first), int(die_at))
        os.write(1, f"pid {child}\n".encode())
        _, status = os.waitpid(child, 0)
        os.write(1, f"ended {os.waitstatus_to_exitcode(status)}\n".encode())


if __name__ == "__main__":
    main()
