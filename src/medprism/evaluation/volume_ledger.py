"""Volumes of a set that are finished, written down one by one, so that a stop costs one at most."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from medprism.core.durable import read_json, write_json
from medprism.evaluation.results import ResultRow

FORMAT: Final = "medprism-volume-rows"
VERSION: Final = 1
SUFFIX: Final = ".part"


@dataclass(frozen=True)
class ExaminedVolume:
    """The rows of one volume, and its patient (None: not known)."""

    patient: str | None
    rows: tuple[ResultRow, ...]


class VolumeLedger:
    """What is finished of a cell that is not whole yet, in a file beside it.

    A file of other settings (`plan`) is begun anew.
    """

    def __init__(self, cell: Path, plan: Mapping[str, Any]) -> None:
        self._path = cell.with_suffix(SUFFIX)
        self._plan = dict(plan)
        self._volumes: dict[str, ExaminedVolume] = {}
        if self._path.exists():
            document = read_json(self._path, FORMAT, VERSION)
            if document["plan"] == self._plan:
                self._volumes = {name: _read(one) for name, one in document["volumes"].items()}

    def find(self, name: str) -> ExaminedVolume | None:
        """Return what was found on a volume; None where it is still to be examined."""
        return self._volumes.get(name)

    def add(self, name: str, volume: ExaminedVolume) -> None:
        """Write a finished volume down, durably.

        Raises:
            WriteError: the disk refuses.
        """
        self._volumes[name] = volume
        volumes = {key: asdict(one) for key, one in self._volumes.items()}
        write_json(self._path, FORMAT, VERSION, {"plan": self._plan, "volumes": volumes})

    def close(self) -> None:
        """Remove the file, once the cell holds all of it."""
        self._path.unlink(missing_ok=True)


def _read(payload: Mapping[str, Any]) -> ExaminedVolume:
    rows = tuple(ResultRow.from_json(row) for row in payload["rows"])
    return ExaminedVolume(payload["patient"], rows)
