"""Concepts: the named structures a model knows, whatever a dataset calls them."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from medprism.core.errors import LabelError


@dataclass(frozen=True)
class Concept:
    """One structure: its name, other names, and its label ids in each dataset.

    `label_ids` maps a dataset to the set of its label ids that together form the structure, such
    as left and right lung for "lung". A dataset named here labels the structure exhaustively:
    there, no pixel of it means that it is absent.
    """

    name: str
    synonyms: tuple[str, ...] = ()
    label_ids: Mapping[str, tuple[int, ...]] = field(default_factory=dict)


class ConceptTable:
    """The ordered concepts of a checkpoint; the position is the row of the class table."""

    def __init__(self, concepts: tuple[Concept, ...]) -> None:
        self.concepts = concepts
        self._rows: dict[str, int] = {}
        for row, concept in enumerate(concepts):
            for name in (concept.name, *concept.synonyms):
                key = _normalise(name)
                if self._rows.setdefault(key, row) != row:
                    other = concepts[self._rows[key]].name
                    raise LabelError(
                        f"{name!r} names both {other!r} and {concept.name!r}; names must be unique"
                    )

    @property
    def names(self) -> tuple[str, ...]:
        """Names in row order."""
        return tuple(concept.name for concept in self.concepts)

    def __len__(self) -> int:
        return len(self.concepts)

    def __getitem__(self, row: int) -> Concept:
        return self.concepts[row]

    def row(self, name: str, kind: str = "class") -> int:
        """Return the row of a concept by name or synonym, ignoring case, dashes and spaces.

        Raises:
            LabelError: the name is unknown; the message calls it a `kind` and lists near ones.

        >>> ConceptTable((Concept("liver", ("hepar",)),)).row("Hepar")
        0
        """
        key = _normalise(name)
        if key not in self._rows:
            near = difflib.get_close_matches(key, self._rows, n=4, cutoff=0.5)
            listed = ", ".join(dict.fromkeys(self.concepts[self._rows[n]].name for n in near))
            hint = f"did you mean {listed}?" if listed else f"known: {', '.join(self.names)}"
            raise LabelError(f"unknown {kind} {name!r}; {hint}")
        return self._rows[key]

    def to_json(self) -> list[dict[str, Any]]:
        """Return the table as plain data, row by row."""
        return [
            {
                "name": concept.name,
                "synonyms": list(concept.synonyms),
                "label_ids": {name: list(ids) for name, ids in concept.label_ids.items()},
            }
            for concept in self.concepts
        ]

    @classmethod
    def from_json(cls, payload: list[dict[str, Any]]) -> ConceptTable:
        """Build the table from plain data."""
        return cls(
            tuple(
                Concept(
                    entry["name"],
                    tuple(entry["synonyms"]),
                    {name: tuple(ids) for name, ids in entry["label_ids"].items()},
                )
                for entry in payload
            )
        )


def _normalise(name: str) -> str:
    return " ".join(name.casefold().replace("-", " ").replace("_", " ").split())
