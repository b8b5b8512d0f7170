"""Prompt logs: one work file an image, which `Session` writes, and what the table says of it."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from medprism.project.database import Database, now


@dataclass(frozen=True)
class WorkRecord:
    """A saved prompt log: its file, events ever, and the one the image stands at."""

    image: int
    file: str
    events: int
    pointer: int | None
    author: str
    saved: str


class Works:
    """The folder of work files and its table."""

    def __init__(self, database: Database, folder: Path) -> None:
        self._database = database
        self._folder = folder

    def target(self, image: int) -> Path:
        """Return where the work file of an image is, or will be."""
        return self._folder / f"{image:06d}.json"

    def of(self, image: int) -> WorkRecord | None:
        """Return what is saved for an image, None if nothing is."""
        row = self._database.row("SELECT * FROM works WHERE image = ?", (image,))
        if row is None or not (self._folder / row["file"]).is_file():
            return None
        return WorkRecord(
            row["image"], row["file"], row["events"], row["pointer"], row["author"], row["saved"]
        )

    def note(self, image: int, events: int, pointer: int | None, author: str) -> None:
        """Keep that the work file was written."""
        with self._database.writing() as connection:
            connection.execute(
                "INSERT OR REPLACE INTO works VALUES (?, ?, ?, ?, ?, ?)",
                (image, self.target(image).name, events, pointer, author, now()),
            )

    def put_aside(self, image: int) -> Path:
        """Rename a work file that cannot be used, so that nothing overwrites it."""
        path = self.target(image)
        stamp = now().replace(":", "").replace("+", "Z")
        aside, number = path.with_suffix(f".unreadable-{stamp}.json"), 1
        # A clock that was set back names the same moment twice.
        while aside.exists():
            number += 1
            aside = path.with_suffix(f".unreadable-{stamp}-{number}.json")
        with suppress(OSError):
            path.rename(aside)
        with self._database.writing() as connection:
            connection.execute("DELETE FROM works WHERE image = ?", (image,))
        return aside
