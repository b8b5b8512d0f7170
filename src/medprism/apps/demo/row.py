"""One row of the demo's table."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

Knowledge = Literal["clicks", "reference", "class"]

# Dice that each kind of knowledge must reach where the truth is known, before any refinement: a
# little below what the shipped checkpoint reaches, so that a change that spoils it is noticed.
FLOORS: Final[dict[Knowledge, float]] = {"clicks": 0.6, "reference": 0.7, "class": 0.75}


@dataclass(frozen=True, kw_only=True)
class Row:
    """What was segmented, by which knowledge, with how many clicks, in which time, how well.

    `milliseconds` is per mask of a slice. `dice` is None where no true mask exists; `before` is
    Dice before a refinement.
    """

    what: str
    knowledge: Knowledge
    clicks: int
    milliseconds: float
    file: str
    dice: float | None = None
    before: float | None = None

    @property
    def is_below_floor(self) -> bool:
        """Whether a first answer is worse than what is promised.

        >>> row = Row(what="a", knowledge="class", clicks=0, milliseconds=9.0, file="", dice=0.2)
        >>> row.is_below_floor
        True
        """
        is_first = self.before is None
        return self.dice is not None and is_first and self.dice < FLOORS[self.knowledge]

    def cells(self) -> tuple[str, ...]:
        """Return the row as text: what, knowledge, clicks, milliseconds, Dice, file."""
        after = "" if self.dice is None else f"{self.dice:.2f}"
        shown = after if self.before is None else f"{self.before:.2f} -> {after}"
        is_refined = self.clicks > 0 and self.knowledge != "clicks"
        knowledge = f"{self.knowledge} + click" if is_refined else self.knowledge
        spent = f"{self.milliseconds:.0f}"
        return self.what, knowledge, str(self.clicks), spent, shown, self.file
