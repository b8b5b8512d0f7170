"""How long a model of a measurement is trained."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from medprism.training.run_length import check_length


@dataclass(frozen=True, kw_only=True)
class Length:
    """How long a model is trained: `steps` or `minutes`, one of the two."""

    steps: int | None = None
    minutes: float | None = None

    def __post_init__(self) -> None:
        check_length("a training", self.steps, self.minutes)

    def __str__(self) -> str:
        return f"{self.minutes:g} min" if self.steps is None else f"{self.steps:,} steps"

    @property
    def slug(self) -> str:
        """The length as a part of a folder's name."""
        return str(self).replace(" ", "").replace(",", "")

    def to_json(self) -> dict[str, Any]:
        """Return the length as plain data."""
        return {"steps": self.steps, "minutes": self.minutes}
