"""A scene in a folder that can be set back to what was there before the work."""

from __future__ import annotations

import shutil
from pathlib import Path

from tests.apps.faults.scenes import (
    SCENES,
    Digests,
    digests,
    hidden,
    refuse_mixtures,
    what_a_run_reached,
)
from tests.apps.faults.worker import Ended, Worker


class Stage:
    """One scene; `points` calls of its work change the disk.

    The work always happens in the same folder, since some files say where others are.
    """

    def __init__(self, name: str, worker: Worker, room: Path) -> None:
        self.name, self.worker = name, worker
        self.scene = SCENES[name]
        self.folder, self._former = room / "work", room / "former"
        self.folder.mkdir()
        self.scene.lay_out(self.folder)
        self._do(0)
        self.old = self._digests()
        shutil.copytree(self.folder, self._former)
        whole = self._do(1)
        self.new, self.points, self.seconds = self._digests(), whole.points, whole.seconds
        self._reached = what_a_run_reached(self.folder) if name == "training" else ""

    def set_back(self) -> None:
        """Put the folder back to what the first version of the work left."""
        shutil.rmtree(self.folder)
        shutil.copytree(self._former, self.folder)

    def run(self, **how: int | float | str) -> Ended:
        """Do the second version of the work on a disk that gives way; a bug is an error."""
        ended = self.worker.run(self.name, self.folder, **how)
        assert ended.status != 1, ended.said
        return ended

    def check(self, ended: Ended) -> None:
        """Refuse what is neither old nor new, and what was told and is lost."""
        if self.scene.is_whole:
            refuse_mixtures(self._digests(), self.old, self.new)
        self.scene.check(self.folder, ended.told)

    def finish(self) -> None:
        """Do the work again on a good disk; all must be as if nothing had happened."""
        ended = self._do(1)
        self.check(ended)
        if self.scene.is_whole:
            assert self._digests() == self.new
        if self.name == "training":
            assert what_a_run_reached(self.folder) == self._reached
        if self.name in ("preparation", "export", "annotation"):
            # Whoever owns the folder alone also tidies it.
            assert self.left == []

    @property
    def left(self) -> list[str]:
        """What lies about under temporary names."""
        return hidden(self.folder / self.scene.written)

    def _do(self, version: int) -> Ended:
        ended = self.worker.run(self.name, self.folder, version)
        assert ended.status == 0, ended.said
        return ended

    def _digests(self) -> Digests:
        return digests(self.folder / self.scene.written)
