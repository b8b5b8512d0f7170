"""References of a project: accepted masks that show what a label looks like, and their scores."""

from __future__ import annotations

from dataclasses import dataclass

from medprism.core.errors import ConflictError, UnknownEntryError
from medprism.project.database import Database, Row, now


@dataclass(frozen=True)
class ExampleRecord:
    """One reference: where it came from, and what it is worth.

    `origin` is "accepted" (in a session) or "uploaded" (a finished pair). `score` is the
    leave-one-out Dice in 0..1, None until it was judged, `scored` when that was.
    """

    id: int
    label: int
    label_name: str
    image: int
    image_name: str
    acceptance: int
    origin: str
    author: str
    added: str
    is_active: bool
    score: float | None
    scored: str | None


class Examples:
    """The table of references; each label has at most one on an image."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def find(
        self,
        label: int | None = None,
        *,
        only_active: bool = False,
        without_image: int | None = None,
    ) -> list[ExampleRecord]:
        """Return references in the order they were added."""
        condition = "images.is_removed = 0"
        values: list[int] = []
        if label is not None:
            condition += " AND examples.label = ?"
            values.append(label)
        if only_active:
            condition += " AND examples.is_active = 1"
        if without_image is not None:
            condition += " AND examples.image <> ?"
            values.append(without_image)
        return self._select(condition, tuple(values))

    def get(self, example: int) -> ExampleRecord:
        """Return one reference.

        Raises:
            UnknownEntryError: there is none of this number.
        """
        found = self._select("examples.id = ?", (example,))
        if not found:
            raise UnknownEntryError(f"there is no reference {example}; ask for the list of them")
        return found[0]

    def add(self, image: int, label: int, author: str) -> ExampleRecord:
        """Make the accepted mask of a label on an image a reference.

        Raises:
            ConflictError: no mask of the label was accepted there.
        """
        with self._database.writing() as connection:
            accepted = connection.execute(
                "SELECT id FROM acceptances WHERE image = ? AND label = ? AND is_current = 1"
                " AND pixels > 0",
                (image, label),
            ).fetchone()
            if accepted is None:
                raise ConflictError(
                    f"image {image} has no accepted mask of label {label} that shows it; accept "
                    "one first"
                )
            connection.execute(
                "INSERT OR IGNORE INTO examples (label, image, acceptance, origin, author, added)"
                " VALUES (?, ?, ?, 'accepted', ?, ?)",
                (label, image, accepted["id"], author, now()),
            )
        return self._select("examples.image = ? AND examples.label = ?", (image, label))[0]

    def set_active(self, example: int, *, is_active: bool) -> ExampleRecord:
        """Use a reference from now on, or leave it out."""
        self.get(example)
        with self._database.writing() as connection:
            connection.execute(
                "UPDATE examples SET is_active = ? WHERE id = ?", (int(is_active), example)
            )
        return self.get(example)

    def set_score(self, example: int, score: float) -> None:
        """Keep the leave-one-out Dice of a reference."""
        with self._database.writing() as connection:
            connection.execute(
                "UPDATE examples SET score = ?, scored = ? WHERE id = ?", (score, now(), example)
            )

    def remove(self, example: int) -> None:
        """Let a mask be no reference any more; it stays accepted."""
        self.get(example)
        with self._database.writing() as connection:
            connection.execute("DELETE FROM examples WHERE id = ?", (example,))

    def _select(self, condition: str, values: tuple[int, ...]) -> list[ExampleRecord]:
        rows = self._database.rows(
            "SELECT examples.*, labels.name AS label_name, images.name AS image_name"
            " FROM examples JOIN labels ON labels.id = examples.label"
            f" JOIN images ON images.id = examples.image WHERE {condition} ORDER BY examples.id",
            values,
        )
        return [_record(row) for row in rows]


def _record(row: Row) -> ExampleRecord:
    return ExampleRecord(
        id=row["id"],
        label=row["label"],
        label_name=row["label_name"],
        image=row["image"],
        image_name=row["image_name"],
        acceptance=row["acceptance"],
        origin=row["origin"],
        author=row["author"],
        added=row["added"],
        is_active=bool(row["is_active"]),
        score=row["score"],
        scored=row["scored"],
    )
