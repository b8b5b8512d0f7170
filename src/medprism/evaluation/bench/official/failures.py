"""Cells that an official package could not fill, and why: a file each, so that tables can say so.

OUT/official/METHOD--SET.json. The same command tries again; a finished cell counts, whatever an
older failure says.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

from medprism.core.durable import make_folder, read_json, write_json
from medprism.core.errors import FormatVersionError
from medprism.evaluation.benchmark import cell_path
from medprism.evaluation.results import Cell

FORMAT: Final = "medprism-bench-failure"
VERSION: Final = 1
FAILURES: Final = "official"


@dataclass(frozen=True)
class Failure:
    """A cell that is missing: `kind` in two or three words, `reason` in a sentence.

    `roles` are those of the concepts that would have been asked for, `protocols` how, with at most
    `clicks`.
    """

    method: str
    dataset: str
    roles: tuple[str, ...]
    protocols: tuple[str, ...]
    clicks: int
    kind: str
    reason: str


def write_failure(out: Path, failure: Failure) -> None:
    """Note a failure durably, in place of an older one."""
    make_folder(out / FAILURES)
    path = cell_path(out / FAILURES, failure.method, failure.dataset)
    write_json(path, FORMAT, VERSION, asdict(failure))


def forget_failure(out: Path, method: str, dataset: str) -> None:
    """Remove what was noted about a cell that is finished now."""
    cell_path(out / FAILURES, method, dataset).unlink(missing_ok=True)


def read_failures(out: Path, cells: Iterable[Cell] = ()) -> tuple[Failure, ...]:
    """Return the failures in a folder but those of finished cells, in the order of their names.

    Raises:
        FormatVersionError: a file is damaged or of a newer version.
    """
    finished = {(cell.method, cell.facts.dataset) for cell in cells}
    found = [_read(path) for path in sorted((out / FAILURES).glob("*--*.json"))]
    return tuple(one for one in found if (one.method, one.dataset) not in finished)


def _read(path: Path) -> Failure:
    payload = read_json(path, FORMAT, VERSION)
    try:
        return Failure(
            method=payload["method"],
            dataset=payload["dataset"],
            roles=tuple(payload["roles"]),
            protocols=tuple(payload["protocols"]),
            clicks=payload["clicks"],
            kind=payload["kind"],
            reason=payload["reason"],
        )
    except (KeyError, TypeError) as error:
        raise FormatVersionError(
            f"{path} is damaged ({error}); delete it and examine the set again"
        ) from error
