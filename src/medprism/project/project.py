"""A project: a folder of images with everything that people found on them, in one place beside."""

from __future__ import annotations

import fcntl
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import IO, Final

from medprism.core.durable import make_folder, remove_unfinished
from medprism.core.errors import ProjectError
from medprism.core.steady_clock import steady_time
from medprism.project.checkpoints import Checkpoints
from medprism.project.database import Database
from medprism.project.discovery import discover
from medprism.project.examples import Examples
from medprism.project.images import ImageRecord, Images
from medprism.project.jobs import Jobs
from medprism.project.labels import LabelTable
from medprism.project.leases import Leases
from medprism.project.masks import AcceptedMasks
from medprism.project.preferences import Preferences
from medprism.project.works import Works

HOME: Final = "medprism-project"
DATABASE: Final = "project.sqlite"
LEASE_SECONDS: Final = 900.0
_FOLDERS: Final = ("masks", "work", "uploads", "exports", "checkpoints", "training")
# What exports are put together in.
_TEMPORARY: Final = (".exporting-", ".one-")


class Project:
    """An open project. `root` holds the images, `home` what belongs to medprism.

    One process at a time has a project open; its threads may share it.
    """

    def __init__(
        self,
        root: Path,
        *,
        lease_seconds: float = LEASE_SECONDS,
        clock: Callable[[], float] = steady_time,
    ) -> None:
        """Open the project of a folder of images, or make one in it.

        `medprism-project` in the folder is made for it; files of the folder itself are never
        changed. What a process that died left half written is removed.

        Raises:
            ProjectError: no such folder, or another process has the project open.
            FormatVersionError: a newer version made it.
            WriteError: nothing can be written there.
        """
        if not root.is_dir():
            raise ProjectError(f"there is no folder {root}; give the folder of your images")
        self.root = root.resolve()
        self.home = self.root / HOME
        for folder in (self.home, *(self.home / name for name in _FOLDERS)):
            make_folder(folder)
        self._guard = _lock(self.home / "lock")
        try:
            self.database = Database(self.home / DATABASE)
        except BaseException:
            self._guard.close()
            raise
        self.images = Images(self.database, self.root, self.uploads)
        self.labels = LabelTable(self.database)
        self.masks = AcceptedMasks(self.database, self.home / "masks")
        self.examples = Examples(self.database)
        self.works = Works(self.database, self.home / "work")
        self.leases = Leases(self.database, lease_seconds, clock)
        self.jobs = Jobs(self.database)
        self.checkpoints = Checkpoints(self.database, self.home / "checkpoints")
        self.preferences = Preferences(self.database)
        try:
            self._tidy()
        except BaseException:
            self.close()
            raise

    @property
    def name(self) -> str:
        """The name of the folder of images."""
        return self.root.name

    @property
    def uploads(self) -> Path:
        """The folder of images that were uploaded."""
        return self.home / "uploads"

    @property
    def exports(self) -> Path:
        """The folder of files that exports made."""
        return self.home / "exports"

    @property
    def training(self) -> Path:
        """The folder of trainings that go on, one folder a job."""
        return self.home / "training"

    def scan(self) -> list[ImageRecord]:
        """Add images that are new in the folder and return them."""
        return self.images.add(discover(self.root, leave_out=self.home))

    def _tidy(self) -> None:
        """Take away what belonged to a process that died: leases, and what it had half written."""
        self.leases.clear()
        self.masks.sweep()
        self.checkpoints.sweep()
        for folder in (self.home / "work", self.uploads, self.exports):
            remove_unfinished(folder, *_TEMPORARY)

    def close(self) -> None:
        """Close the file and let other processes open the project."""
        self.database.close()
        with suppress(OSError):
            self._guard.close()


def _lock(path: Path) -> IO[bytes]:
    try:
        file = path.open("ab")
    except OSError as error:
        raise ProjectError(f"cannot open {path}: {error.strerror}; check permissions") from error
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        file.close()
        raise ProjectError(
            f"the project in {path.parent} is open in another program; close that one, or work in "
            "its browser window"
        ) from error
    return file
