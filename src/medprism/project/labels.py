"""The labels of a project: names with colours."""

from __future__ import annotations

from dataclasses import dataclass

from medprism.core.errors import ConflictError, LabelError, UnknownEntryError
from medprism.io.mask_file import Colour, is_colour
from medprism.io.palette import colour as palette_colour
from medprism.project.database import Database, Row, now


@dataclass(frozen=True)
class LabelRecord:
    """One label: its name (one line) and colour (red, green, blue; 0 to 255)."""

    id: int
    name: str
    colour: Colour


class LabelTable:
    """The labels in the order they were made."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def all(self) -> list[LabelRecord]:
        """Return all labels."""
        return [_record(row) for row in self._database.rows("SELECT * FROM labels ORDER BY id")]

    def get(self, label: int) -> LabelRecord:
        """Return a label by its number.

        Raises:
            UnknownEntryError: there is none.
        """
        row = self._database.row("SELECT * FROM labels WHERE id = ?", (label,))
        if row is None:
            raise UnknownEntryError(f"there is no label {label}; the list of labels shows them")
        return _record(row)

    def named(self, name: str) -> LabelRecord | None:
        """Return the label of exactly this name, None if there is none."""
        row = self._database.row("SELECT * FROM labels WHERE name = ?", (name,))
        return None if row is None else _record(row)

    def ensure(self, name: str, colour: Colour | None = None) -> LabelRecord:
        """Return the label of this name, made if it is new; without a colour the next distinct one.

        Raises:
            LabelError: a name that is not one line of text, or no colour.
        """
        wanted = check_name(name)
        if colour is not None:
            _check_colour(colour)
        known = self.named(wanted)
        if known is not None:
            return known
        with self._database.writing() as connection:
            count = connection.execute("SELECT COUNT(*) FROM labels").fetchone()[0]
            red, green, blue = colour or palette_colour(count + 1)
            # Somebody else may have made it since it was looked for.
            connection.execute(
                "INSERT INTO labels (name, red, green, blue, added) VALUES (?, ?, ?, ?, ?) "
                "ON CONFLICT (name) DO NOTHING",
                (wanted, red, green, blue, now()),
            )
        made = self.named(wanted)
        assert made is not None
        return made

    def change(
        self, label: int, *, name: str | None = None, colour: Colour | None = None
    ) -> LabelRecord:
        """Give a label another name or colour.

        Raises:
            ConflictError: the name is taken, or masks were accepted under the old one.
            LabelError: no usable name or colour.
        """
        known = self.get(label)
        wanted = known.name if name is None else check_name(name)
        red, green, blue = known.colour if colour is None else _check_colour(colour)
        if wanted != known.name:
            if self.named(wanted) is not None:
                raise ConflictError(f"there is a label {wanted!r} already; choose another name")
            if self.count_accepted(label):
                raise ConflictError(
                    f"masks were accepted as {known.name!r}, so it keeps its name; make a new label"
                )
        with self._database.writing() as connection:
            connection.execute(
                "UPDATE labels SET name = ?, red = ?, green = ?, blue = ? WHERE id = ?",
                (wanted, red, green, blue, label),
            )
        return self.get(label)

    def remove(self, label: int) -> None:
        """Remove a label that no mask was ever accepted under.

        Raises:
            ConflictError: there are accepted masks.
        """
        known = self.get(label)
        with self._database.writing() as connection:
            used = connection.execute(
                "SELECT COUNT(*) FROM acceptances WHERE label = ?", (label,)
            ).fetchone()[0]
            if used:
                raise ConflictError(
                    f"label {known.name!r} has {used} accepted masks, which are never thrown away; "
                    "it stays"
                )
            connection.execute("DELETE FROM labels WHERE id = ?", (label,))

    def count_accepted(self, label: int) -> int:
        """Return the number of images with an accepted mask of a label."""
        row = self._database.row(
            "SELECT COUNT(*) AS n FROM acceptances WHERE label = ? AND is_current = 1", (label,)
        )
        return 0 if row is None else int(row["n"])

    def count_masks(self, label: int) -> int:
        """Return the number of images with an accepted mask that shows a label."""
        row = self._database.row(
            "SELECT COUNT(*) AS n FROM acceptances JOIN images ON images.id = acceptances.image"
            " WHERE label = ? AND is_current = 1 AND pixels > 0 AND is_removed = 0",
            (label,),
        )
        return 0 if row is None else int(row["n"])


def check_name(name: str) -> str:
    """Return a name without blanks around it.

    Raises:
        LabelError: empty, longer than 100 letters, or with control characters.

    >>> check_name(" left kidney ")
    'left kidney'
    """
    wanted = name.strip()
    if not wanted or len(wanted) > 100 or not wanted.isprintable():
        raise LabelError(
            f"label {name[:40]!r} cannot be used; give a name such as 'lesion' in one line of at "
            "most 100 letters"
        )
    return wanted


def _check_colour(colour: Colour) -> Colour:
    if not is_colour(colour):
        raise LabelError(f"colour {colour!r} is none; give red, green and blue, each 0 to 255")
    return colour


def _record(row: Row) -> LabelRecord:
    return LabelRecord(row["id"], row["name"], (row["red"], row["green"], row["blue"]))
