"""What was measured, written after every figure; what is there is not measured again."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import typer

from benchmarks.iris_volumes.cases import Cases
from benchmarks.iris_volumes.scores import Dices, means
from medprism.core.durable import make_folder, read_json, write_bytes, write_json
from medprism.core.errors import FormatVersionError

FORMAT: Final = "medprism-iris-volumes"
# Since 2 the value of every case is kept.
VERSION: Final = 2


class Results:
    """The figures of one question in FOLDER/NAME.json.

    Other than in `benchmarks.lesions`, where many runs share a file, all figures of a file are of
    one model or plan.

    `about` says what they depend on (the weights, the length of a training); figures of something
    else in the same file are refused. A row holds a value, the CPU seconds it took and, where it
    is Dice, that of every case; `patients` of each set are kept beside.

    Raises:
        BadParameter: the file holds figures of another model or plan.
    """

    def __init__(self, folder: Path, name: str, about: Mapping[str, Any]) -> None:
        make_folder(folder)
        self.folder, self.path = folder, folder / f"{name}.json"
        self.about = dict(about)
        self.rows: dict[str, Any] = {}
        self.patients: dict[str, dict[str, str]] = {}
        if self.path.exists():
            held = read_results(self.path)
            wrong = [
                key for key in {**held.about, **about} if held.about.get(key) != about.get(key)
            ]
            if wrong:
                raise typer.BadParameter(
                    f"{self.path} holds figures of another model or plan ({wrong[0]} "
                    f"{held.about.get(wrong[0])!r}, not {about.get(wrong[0])!r}); choose another "
                    "folder"
                )
            self.rows, self.patients = held.rows, held.patients

    def note_patients(self, cases: Iterable[Cases]) -> None:
        """Keep who the patient of every case is, by set."""
        for one in cases:
            self.patients[one.name] = one.patients()

    def take(self, key: str, work: Callable[[], Any]) -> Any:  # noqa: ANN401
        """Return a figure, measured unless it is there."""
        return self._take(key, lambda: {"value": work()})

    def take_dice(self, key: str, work: Callable[[], Dices]) -> dict[str, float]:
        """Return mean Dice of every class, measured unless it is there; cases are kept."""

        def measured() -> dict[str, Any]:
            found = work()
            return {"value": means(found), "cases": found}

        value: dict[str, float] = self._take(key, measured)
        return value

    def take_each(self, key: str, work: Callable[[], dict[str, Dices]]) -> Any:  # noqa: ANN401
        """Return mean Dice of every class by strategy; like `take_dice`."""

        def measured() -> dict[str, Any]:
            found = work()
            return {"value": {name: means(one) for name, one in found.items()}, "cases": found}

        return self._take(key, measured)

    def publish(self, page: str) -> None:
        """Write a page of Markdown beside the figures, and print it."""
        write_bytes(self.path.with_suffix(".md"), page.encode())
        typer.echo(page)

    def _take(self, key: str, work: Callable[[], dict[str, Any]]) -> Any:  # noqa: ANN401
        if key not in self.rows:
            started = time.process_time()
            row = work()
            spent = round(time.process_time() - started, 1)
            self.rows[key] = {**row, "cpu_seconds": spent}
            payload = {"about": self.about, "patients": self.patients, "rows": self.rows}
            write_json(self.path, FORMAT, VERSION, payload)
            typer.echo(f"{key}: {row['value']} ({spent} CPU s)", err=True)
        return self.rows[key]["value"]


@dataclass(frozen=True)
class Held:
    """A file of figures as it was read."""

    about: dict[str, Any]
    patients: dict[str, dict[str, str]]
    rows: dict[str, Any]


def read_results(path: Path) -> Held:
    """Read a file of figures.

    Raises:
        FormatVersionError: it is of another format, damaged, or newer than this program.
    """
    document = read_json(path, FORMAT, VERSION)
    try:
        return Held(document["about"], document["patients"], document["rows"])
    except KeyError as error:
        raise FormatVersionError(f"{path} lacks {error}; measure anew in another folder") from error


def by_set(rows: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Return rows whose key is "set | what" by set and what.

    >>> by_set({"brain | one-shot": 1, "brain | bank": 2})
    {'brain': {'one-shot': 1, 'bank': 2}}
    """
    found: dict[str, dict[str, Any]] = {}
    for key, row in rows.items():
        name, _, what = key.partition(" | ")
        found.setdefault(name, {})[what] = row
    return found
