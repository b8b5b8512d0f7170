"""What became of every study of an archive, as a file beside the masks, so that a run goes on.

The first line says what was asked; every other line is a study that was segmented, or left out. A
line is written after the mask, so whatever was under way when a run was killed is done again.
"""

from __future__ import annotations

import fcntl
import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from pathlib import Path
from types import TracebackType
from typing import Any, Final, TextIO

from medprism.core.durable import check_version
from medprism.core.errors import ConfigError, FormatVersionError, WriteError
from medprism.inference.archive import Segmented
from medprism.inference.statistics import LabelStatistics

RECORD_FILE: Final = "archive.jsonl"
FORMAT: Final = "medprism-archive"
VERSION: Final = 1

# One study, as plain data: see `line_of` and `failure_of`.
Line = dict[str, Any]


class ArchiveRecord:
    """The record of a folder of masks, held by one program at a time; use it in a `with`.

    `lines` are those of a former run, by the name of the study; a later one replaces an earlier.
    """

    def __init__(self, folder: Path, question: Mapping[str, Any]) -> None:
        """Open the record, or begin one.

        Raises:
            ConfigError: the masks in the folder answer another question.
            WriteError: another program writes masks into the folder, or nobody may.
            FormatVersionError: a newer version wrote it.
        """
        self._path = folder / RECORD_FILE
        self._file = _lock(self._path)
        try:
            self.lines = self._begin(json.loads(json.dumps(dict(question))))
        except BaseException:
            self._file.close()
            raise

    def __enter__(self) -> ArchiveRecord:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._file.close()

    def _begin(self, question: dict[str, Any]) -> dict[str, Line]:
        self._file.seek(0)
        head: Line | None = None
        lines: dict[str, Line] = {}
        text = "\n"
        for text in self._file:
            line = _parsed(text)
            if head is None:
                head = line
            elif line is not None and "study" in line:
                lines[str(line["study"])] = line
        if head is None:
            # Empty, or killed within the first line.
            self._file.truncate(0)
            self._write({"format": FORMAT, "version": VERSION, "question": question})
            return {}
        if head.get("format") != FORMAT:
            raise FormatVersionError(f"{self._path} is no {FORMAT} file; choose another folder")
        check_version(self._path, FORMAT, head.get("version"), VERSION)
        _refuse_other(self._path, head.get("question"), question)
        if not text.endswith("\n"):
            # The end of a line that a kill has cut.
            self._file.write("\n")
        return lines

    def finished(self, studies: Iterable[Path]) -> dict[Path, Line]:
        """Return the lines of the studies whose masks are there and whose files did not change."""
        found: dict[Path, Line] = {}
        for study in studies:
            line = self.lines.get(study.name)
            if line is None or "mask" not in line or line.get("stamp") != stamp_of(study):
                continue
            if (self._path.parent / str(line["mask"])).exists():
                found[study] = line
        return found

    def add(self, line: Line) -> None:
        """Write what became of a study.

        Raises:
            WriteError: no space left.
        """
        self.lines[str(line["study"])] = line
        self._write(line)

    def _write(self, line: Mapping[str, Any]) -> None:
        try:
            self._file.write(json.dumps(line) + "\n")
            self._file.flush()
        except OSError as error:
            raise WriteError(
                f"cannot write {self._path}: {error.strerror}; free space and run it again"
            ) from error


def line_of(study: Path, found: Segmented, worker: str) -> Line:
    """Return the line of a study that was segmented by a worker."""
    return {
        "study": study.name,
        "stamp": stamp_of(study),
        "mask": Path(found.mask).name,
        "milliseconds": round(found.milliseconds, 1),
        "labels": [asdict(row) for row in found.labels],
        "warnings": list(found.warnings),
        "worker": worker,
    }


def failure_of(study: Path, reason: str, worker: str) -> Line:
    """Return the line of a study that was left out."""
    return {"study": study.name, "failed": reason, "worker": worker}


def segmented_of(line: Line, study: Path, folder: Path) -> Segmented:
    """Return what a line says about a study whose mask lies in a folder.

    Raises:
        FormatVersionError: the line is damaged.
    """
    try:
        return Segmented(
            study,
            folder / line["mask"],
            tuple(LabelStatistics(**row) for row in line["labels"]),
            float(line["milliseconds"]),
            tuple(line["warnings"]),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise FormatVersionError(
            f"{folder / RECORD_FILE} is damaged at {study.name} ({error}); remove it to segment "
            "all studies again"
        ) from error


def stamp_of(study: Path) -> list[int]:
    """Return size in bytes and time of change (ns) of a file or folder, to tell that it changed."""
    state = study.stat()
    return [state.st_size, state.st_mtime_ns]


def _lock(path: Path) -> TextIO:
    try:
        file = path.open("a+", encoding="utf-8")
    except OSError as error:
        raise WriteError(f"cannot write {path}: {error.strerror}; choose another folder") from error
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        file.close()
        raise WriteError(
            f"another program writes masks into {path.parent}; wait for it, or choose another "
            "folder"
        ) from error
    return file


def _parsed(text: str) -> Line | None:
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


def _refuse_other(path: Path, former: object, question: dict[str, Any]) -> None:
    if former == question:
        return
    before = former if isinstance(former, dict) else {}
    names = sorted(n for n in {**before, **question} if before.get(n) != question.get(n))
    raise ConfigError(
        f"the masks in {path.parent} were made with other {', '.join(names)}; choose another "
        "folder for these"
    )
