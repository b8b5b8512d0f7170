"""The images of a project: which there are, what is known about them, how far each one is."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from medprism.core.errors import ConflictError, UnknownEntryError
from medprism.core.image import Image
from medprism.project.confinement import inside
from medprism.project.database import Database, Row, now
from medprism.project.discovery import Found

STATES: Final = ("new", "started", "accepted", "skipped", "broken")
# What nobody has finished yet.
UNFINISHED: Final = ("new", "started")


@dataclass(frozen=True)
class ImageRecord:
    """One image. What reading it tells is None before it was read for the first time.

    `path` is relative to the folder of the project's images, or to its uploads. `uncertainty` in
    0..1 is that of the pre-segmentation, None without one.
    """

    id: int
    name: str
    path: str
    part: str | None
    is_uploaded: bool
    state: str
    reason: str | None
    digest: str | None
    width: int | None
    height: int | None
    slices: int | None
    is_rgb: bool | None
    modality: str | None
    spacing: tuple[float, float, float] | None
    is_physical: bool | None
    is_presegmented: bool
    uncertainty: float | None
    added: str
    changed: str


class Images:
    """The table of images; files are looked for in `root`, uploads in `uploads`."""

    def __init__(self, database: Database, root: Path, uploads: Path) -> None:
        self._database = database
        self._root = root
        self._uploads = uploads

    def add(self, found: Sequence[Found], *, is_uploaded: bool = False) -> list[ImageRecord]:
        """Add images that are not there yet and return them; one taken off before comes back."""
        added: list[int] = []
        time = now()
        with self._database.writing() as connection:
            for one in found:
                known = connection.execute(
                    "SELECT id, is_removed FROM images WHERE path = ? AND COALESCE(part, '') = ?"
                    " AND is_uploaded = ?",
                    (one.path, one.part or "", int(is_uploaded)),
                ).fetchone()
                if known is None:
                    cursor = connection.execute(
                        "INSERT INTO images (name, path, part, is_uploaded, added, changed)"
                        " VALUES (?, ?, ?, ?, ?, ?)",
                        (
                            _free_name(connection.execute, one.name),
                            one.path,
                            one.part,
                            int(is_uploaded),
                            time,
                            time,
                        ),
                    )
                    added.append(int(cursor.lastrowid or 0))
                elif known["is_removed"] and is_uploaded:
                    connection.execute(
                        "UPDATE images SET is_removed = 0, changed = ? WHERE id = ?",
                        (time, known["id"]),
                    )
                    added.append(int(known["id"]))
        return [self.get(number) for number in added]

    def get(self, image: int) -> ImageRecord:
        """Return one image.

        Raises:
            UnknownEntryError: there is none of this number.
        """
        row = self._database.row("SELECT * FROM images WHERE id = ? AND is_removed = 0", (image,))
        if row is None:
            raise UnknownEntryError(
                f"there is no image {image}; the list of images shows which there are"
            )
        return _record(row)

    def named(self, name: str) -> ImageRecord:
        """Return the image of a name.

        Raises:
            UnknownEntryError: there is none.
        """
        row = self._database.row("SELECT * FROM images WHERE name = ? AND is_removed = 0", (name,))
        if row is None:
            raise UnknownEntryError("there is no image of this name; ask for the list of images")
        return _record(row)

    def find(
        self,
        *,
        states: Sequence[str] = (),
        query: str = "",
        offset: int = 0,
        limit: int | None = None,
    ) -> list[ImageRecord]:
        """Return images in the order they were added; of some states, with a text in the name."""
        condition, values = _filter(states, query)
        rows = self._database.rows(
            f"SELECT * FROM images WHERE {condition} ORDER BY id LIMIT ? OFFSET ?",
            (*values, -1 if limit is None else limit, offset),
        )
        return [_record(row) for row in rows]

    def count(self, *, states: Sequence[str] = (), query: str = "") -> int:
        """Return how many `find` would find without a limit."""
        condition, values = _filter(states, query)
        found = self._database.row(f"SELECT COUNT(*) AS n FROM images WHERE {condition}", values)
        return 0 if found is None else int(found["n"])

    def path_of(self, image: ImageRecord) -> Path:
        """Return the file or folder of an image.

        Raises:
            OutsideError: its entry leads out of the project.
        """
        return inside(self._uploads if image.is_uploaded else self._root, image.path)

    def note_content(self, image: int, content: Image) -> ImageRecord:
        """Keep what reading the file told; one that was broken is new again."""
        shape = content.geometry.shape
        with self._database.writing() as connection:
            connection.execute(
                "UPDATE images SET digest = ?, slices = ?, height = ?, width = ?, is_rgb = ?,"
                " modality = ?, spacing = ?, is_physical = ?,"
                " state = CASE state WHEN 'broken' THEN 'new' ELSE state END,"
                " reason = CASE state WHEN 'broken' THEN NULL ELSE reason END WHERE id = ?",
                (
                    content.digest,
                    *shape,
                    int(content.is_rgb),
                    content.modality,
                    json.dumps(content.geometry.spacing),
                    int(content.geometry.is_physical),
                    image,
                ),
            )
        return self.get(image)

    def set_state(self, image: int, state: str, reason: str | None = None) -> None:
        """Say how far an image is; `reason` for what was skipped or is broken."""
        if state not in STATES:
            raise ConflictError(f"state {state!r} is none; it must be one of {', '.join(STATES)}")
        with self._database.writing() as connection:
            connection.execute(
                "UPDATE images SET state = ?, reason = ?, changed = ? WHERE id = ?",
                (state, reason, now(), image),
            )

    def begin(self, image: int) -> None:
        """Say that somebody works on an image; one that is further stays as it is."""
        if self.get(image).state in ("new", "skipped"):
            self.set_state(image, "started")

    def note_presegmentation(self, image: int, uncertainty: float | None) -> None:
        """Keep that the project's knowledge was applied, and how uncertain the answer is (0..1)."""
        with self._database.writing() as connection:
            connection.execute(
                "UPDATE images SET is_presegmented = 1, uncertainty = ? WHERE id = ?",
                (uncertainty, image),
            )

    def remove(self, image: int) -> None:
        """Take an image off the list; its file and accepted masks stay on the disk."""
        self.get(image)
        with self._database.writing() as connection:
            connection.execute(
                "UPDATE images SET is_removed = 1, changed = ? WHERE id = ?", (now(), image)
            )

    def counts(self) -> dict[str, int]:
        """Return the number of images of every state."""
        rows = self._database.rows(
            "SELECT state, COUNT(*) AS n FROM images WHERE is_removed = 0 GROUP BY state"
        )
        found = {str(row["state"]): int(row["n"]) for row in rows}
        return {state: found.get(state, 0) for state in STATES}


def _filter(states: Sequence[str], query: str) -> tuple[str, tuple[str, ...]]:
    condition = "is_removed = 0"
    values: list[str] = []
    if states:
        condition += f" AND state IN ({', '.join('?' * len(states))})"
        values.extend(states)
    if query:
        condition += " AND instr(lower(name), lower(?)) > 0"
        values.append(query)
    return condition, tuple(values)


def _free_name(execute: Callable[..., sqlite3.Cursor], wanted: str) -> str:
    """Return the name, with a number behind it if another image has it."""
    name, number = wanted, 1
    while execute("SELECT 1 FROM images WHERE name = ?", (name,)).fetchone() is not None:
        number += 1
        name = f"{wanted} ({number})"
    return name


def _record(row: Row) -> ImageRecord:
    spacing = row["spacing"]
    return ImageRecord(
        id=row["id"],
        name=row["name"],
        path=row["path"],
        part=row["part"],
        is_uploaded=bool(row["is_uploaded"]),
        state=row["state"],
        reason=row["reason"],
        digest=row["digest"],
        width=row["width"],
        height=row["height"],
        slices=row["slices"],
        is_rgb=_flag(row["is_rgb"]),
        modality=row["modality"],
        spacing=None if spacing is None else _three(json.loads(spacing)),
        is_physical=_flag(row["is_physical"]),
        is_presegmented=bool(row["is_presegmented"]),
        uncertainty=row["uncertainty"],
        added=row["added"],
        changed=row["changed"],
    )


def _flag(value: int | None) -> bool | None:
    return None if value is None else bool(value)


def _three(numbers: Sequence[float]) -> tuple[float, float, float]:
    return float(numbers[0]), float(numbers[1]), float(numbers[2])
