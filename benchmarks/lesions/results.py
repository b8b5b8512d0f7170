"""What was measured, written after every figure; what is there is not measured again."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import typer

from medprism.core.durable import make_folder, read_json, write_json

FORMAT: Final = "medprism-lesions"
VERSION: Final = 1
FILE: Final = "lesions.json"


class Results:
    """The figures in FOLDER/lesions.json, by a key of words with " | " between them.

    A row holds what it was measured on (`of`: a hash of weights, or settings), its value and the
    CPU seconds it took. A figure of other weights is measured anew: many runs share the file, other
    than in `benchmarks.iris_volumes`.
    """

    def __init__(self, folder: Path) -> None:
        make_folder(folder)
        self.path = folder / FILE
        self.rows: dict[str, dict[str, Any]] = {}
        if self.path.exists():
            self.rows = read_rows(self.path)

    def take(self, key: str, of: str, work: Callable[[], Any]) -> Any:  # noqa: ANN401
        """Return a figure, measured unless it is there."""
        if key not in self.rows or self.rows[key]["of"] != of:
            started = time.process_time()
            value = work()
            spent = round(time.process_time() - started, 1)
            self.rows[key] = {"of": of, "value": value, "cpu_seconds": spent}
            write_json(self.path, FORMAT, VERSION, {"rows": self.rows})
            typer.echo(f"{key}: measured in {spent} CPU seconds", err=True)
        return self.rows[key]["value"]


def read_rows(path: Path) -> dict[str, dict[str, Any]]:
    """Return the rows of a file of figures.

    Raises:
        FormatVersionError: it is of another format, damaged, or newer than this program.
    """
    rows: dict[str, dict[str, Any]] = read_json(path, FORMAT, VERSION)["rows"]
    return rows
