"""Accepted masks: whole files on the disk before anybody is told that they are accepted."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Bool

from medprism.core.errors import GeometryError, ProjectError, UnknownEntryError
from medprism.core.image import Image
from medprism.core.labels import Labels
from medprism.io.reader import read_mask
from medprism.io.writer import write_mask
from medprism.project.database import Database, Row, now
from medprism.project.labels import LabelRecord

Mask = Bool[np.ndarray, "..."]


@dataclass(frozen=True)
class Acceptance:
    """One accepted answer: which label on which image, by whom and when (ISO 8601, UTC).

    `file` is None where the label was accepted as absent. `is_current` is False once another mask
    of the label was accepted on the image; the older file stays.
    """

    id: int
    image: int
    label: int
    name: str
    file: str | None
    sha256: str | None
    pixels: int
    author: str
    time: str
    is_current: bool


@dataclass(frozen=True, eq=False)
class Accepting:
    """What a person accepts for one label; None says that it is not on the image."""

    label: LabelRecord
    mask: Mask | None


class AcceptedMasks:
    """The folder of accepted masks and its table.

    A mask is a file of one label on its image's grid: PNG for a picture, NIfTI for a volume. The
    order is: write, fsync, rename, fsync of the folder, and only then one commit for all of them.
    What dies between leaves a file that nobody was told about; `sweep` removes it.
    """

    def __init__(self, database: Database, folder: Path) -> None:
        self._database = database
        self._folder = folder

    def accept(
        self,
        image: int,
        like: Image,
        entries: Sequence[Accepting],
        author: str,
        *,
        state: str | None = "accepted",
        example_origin: str | None = None,
    ) -> list[Acceptance]:
        """Keep masks, all of them or none; when this returns they survive a loss of power.

        Args:
            image: the number of the image.
            like: the image itself, for its grid.
            entries: what is accepted; former masks of these labels are no longer current.
            author: who accepts.
            state: what the image is from now on, in the same commit; None leaves it.
            example_origin: make the masks references, saying where they came from.

        Raises:
            GeometryError: a mask of another shape than the image.
            WriteError: the disk refuses; nothing was accepted.
        """
        for one in entries:
            if one.mask is not None and one.mask.shape != like.shape:
                raise GeometryError(
                    f"mask of {one.label.name!r} has shape {one.mask.shape} but its image "
                    f"{like.shape}; both must lie on the same grid"
                )
        written: list[Path] = []
        try:
            files = [self._write(image, like, one, written) for one in entries]
            numbers = self._commit(image, entries, files, author, state, example_origin)
        except BaseException:
            for path in written:
                with suppress(OSError):
                    path.unlink(missing_ok=True)
            raise
        return [self.get(number) for number in numbers]

    def get(self, acceptance: int) -> Acceptance:
        """Return one acceptance.

        Raises:
            UnknownEntryError: there is none of this number.
        """
        found = self._select("acceptances.id = ?", (acceptance,))
        if not found:
            raise UnknownEntryError(f"there is no accepted mask {acceptance}")
        return found[0]

    def of(self, image: int, *, with_former: bool = False) -> list[Acceptance]:
        """Return what was accepted on an image, by label; with former masks if wanted."""
        condition = "acceptances.image = ?" + ("" if with_former else " AND is_current = 1")
        return self._select(condition, (image,))

    def labels_by_image(self) -> dict[int, list[str]]:
        """Return the names of the labels with an accepted mask, by image."""
        rows = self._database.rows(
            "SELECT acceptances.image AS image, labels.name AS name FROM acceptances"
            " JOIN labels ON labels.id = acceptances.label WHERE is_current = 1"
            " AND file IS NOT NULL ORDER BY labels.id"
        )
        found: dict[int, list[str]] = {}
        for row in rows:
            found.setdefault(int(row["image"]), []).append(str(row["name"]))
        return found

    def of_label(self, label: int) -> list[Acceptance]:
        """Return what was accepted for a label, by image; images off the list are left out."""
        return self._select(
            "acceptances.label = ? AND is_current = 1 AND acceptances.image IN"
            " (SELECT id FROM images WHERE is_removed = 0)",
            (label,),
        )

    def path_of(self, acceptance: Acceptance) -> Path | None:
        """Return the file of an accepted mask; None where the label was accepted as absent."""
        return None if acceptance.file is None else self._folder / acceptance.file

    def read(self, acceptance: Acceptance, like: Image) -> Mask:
        """Return an accepted mask in the shape of its image; an absent label is empty.

        Raises:
            ProjectError: the file is not the one that was accepted.
        """
        if acceptance.file is None:
            return np.zeros(like.shape, dtype=bool)
        path = self._folder / acceptance.file
        if not path.is_file() or _sha256(path) != acceptance.sha256:
            raise ProjectError(
                f"the accepted mask {path.name} is missing or was changed by another program; "
                "restore it from a copy"
            )
        return np.asarray(read_mask(path, like=like).array > 0)

    def sweep(self) -> list[str]:
        """Remove files that no acceptance names, left by a process that died; return their names.

        Only safe while no other process writes.
        """
        rows = self._database.rows("SELECT file FROM acceptances WHERE file IS NOT NULL")
        known = {str(row["file"]) for row in rows}
        left = [one for one in sorted(self._folder.iterdir()) if one.name not in known]
        for path in left:
            if path.is_file():
                with suppress(OSError):
                    path.unlink(missing_ok=True)
        return [path.name for path in left]

    def _write(
        self, image: int, like: Image, one: Accepting, written: list[Path]
    ) -> tuple[str, str] | None:
        if one.mask is None:
            return None
        suffix, kind = (".png", "png") if like.is_planar else (".nii.gz", "nifti")
        path = self._folder / f"{image:06d}-{one.label.id:04d}-{secrets.token_hex(6)}{suffix}"
        written.append(path)
        planes = Labels({one.label.name: one.mask})
        write_mask(path, planes, like, format=kind, colours={one.label.name: one.label.colour})
        return path.name, _sha256(path)

    def _commit(
        self,
        image: int,
        entries: Sequence[Accepting],
        files: Sequence[tuple[str, str] | None],
        author: str,
        state: str | None,
        example_origin: str | None,
    ) -> list[int]:
        time, numbers = now(), []
        with self._database.writing() as connection:
            for one, file in zip(entries, files, strict=True):
                key = (image, one.label.id)
                connection.execute(
                    "UPDATE acceptances SET is_current = 0 WHERE image = ? AND label = ?", key
                )
                name, digest = file or (None, None)
                pixels = 0 if one.mask is None else int(one.mask.sum())
                cursor = connection.execute(
                    "INSERT INTO acceptances (image, label, file, sha256, pixels, author, time)"
                    " VALUES (?, ?, ?, ?, ?, ?, ?)",
                    (*key, name, digest, pixels, author, time),
                )
                number = int(cursor.lastrowid or 0)
                numbers.append(number)
                if pixels == 0:
                    connection.execute("DELETE FROM examples WHERE image = ? AND label = ?", key)
                    continue
                # A reference follows the latest mask, which nobody has scored yet.
                connection.execute(
                    "UPDATE examples SET acceptance = ?, score = NULL, scored = NULL"
                    " WHERE image = ? AND label = ?",
                    (number, *key),
                )
                if example_origin is not None:
                    connection.execute(
                        "INSERT OR IGNORE INTO examples"
                        " (label, image, acceptance, origin, author, added)"
                        " VALUES (?, ?, ?, ?, ?, ?)",
                        (one.label.id, image, number, example_origin, author, time),
                    )
            if state is not None:
                connection.execute(
                    "UPDATE images SET state = ?, reason = NULL, changed = ? WHERE id = ?",
                    (state, time, image),
                )
        return numbers

    def _select(self, condition: str, values: tuple[int, ...]) -> list[Acceptance]:
        rows = self._database.rows(
            "SELECT acceptances.*, labels.name AS name FROM acceptances"
            f" JOIN labels ON labels.id = acceptances.label WHERE {condition}"
            " ORDER BY acceptances.label, acceptances.id",
            values,
        )
        return [_acceptance(row) for row in rows]


def as_labels(
    masks: AcceptedMasks, image: int, like: Image
) -> tuple[Labels, Mapping[str, Acceptance]]:
    """Return the current accepted masks of an image as planes, with their acceptances by name."""
    found = {one.name: one for one in masks.of(image) if one.file is not None}
    return Labels({name: masks.read(one, like) for name, one in found.items()}), found


def _sha256(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _acceptance(row: Row) -> Acceptance:
    return Acceptance(
        id=row["id"],
        image=row["image"],
        label=row["label"],
        name=row["name"],
        file=row["file"],
        sha256=row["sha256"],
        pixels=row["pixels"],
        author=row["author"],
        time=row["time"],
        is_current=bool(row["is_current"]),
    )
