"""Write one part of a store piece by piece, so that an interrupted run goes on where it stopped.

While a part grows there are two files: `.partial-<part>.bin`, the records so far, and
`.partial-<part>.jsonl`, a journal with one line a piece: its rows (or why it failed) and the CRC-32
of its bytes. Both are appended to, records first. The name of a part is a hash of its sources, so
whatever the journal holds is still true when the same part is begun again.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, BinaryIO, Final

from medprism.core.durable import publish, read_json, write_json
from medprism.core.errors import WriteError
from medprism.data.case import DatasetInfo
from medprism.data.conversion import Converted, Failure
from medprism.data.slice_index import IndexBuilder, SliceIndex
from medprism.data.store import PART_FORMAT, VERSION, info_to_json

PARTIAL: Final = ".partial-"
_JOURNAL: Final = {"format": "medprism-slice-store-journal", "version": 1}


@dataclass(frozen=True, eq=False)
class _Entry:
    """One line of the journal, and how many bytes of the journal end with it."""

    num_bytes: int
    crc32: int
    rows: SliceIndex
    failure: Failure | None
    journal_bytes: int


class PartWriter:
    """A part that grows; close it in any case, `finish` it when all pieces are in.

    Raises:
        WriteError: the disk is full or the folder is not writable.
    """

    def __init__(self, out: Path, part: str) -> None:
        self._out = out
        self._part = part
        self._index = IndexBuilder()
        self._failures: list[Failure] = []
        self.num_pieces = 0
        self._records_path = out / f"{PARTIAL}{part}.bin"
        self._journal_path = out / f"{PARTIAL}{part}.jsonl"
        try:
            self._records, self._journal = self._resume()
        except OSError as error:
            raise self._cannot_write(error) from error

    @property
    def failures(self) -> tuple[Failure, ...]:
        """Pieces that could not be read."""
        return tuple(self._failures)

    @property
    def is_empty(self) -> bool:
        """Whether no slice has come in yet."""
        return not len(self._index)

    def add(self, piece: Converted) -> None:
        """Append a piece; it survives the end of this process from here on."""
        rows = IndexBuilder()
        rows.add(piece.rows)
        entry = {
            "num_bytes": len(piece.content),
            "crc32": zlib.crc32(piece.content),
            "index": rows.to_json(),
            "failure": None if piece.failure is None else asdict(piece.failure),
        }
        try:
            self._records.write(piece.content)
            self._records.flush()
            self._journal.write(_line(entry))
            self._journal.flush()
        except OSError as error:
            raise self._cannot_write(error) from error
        self._index.add(piece.rows)
        self._take(piece.failure)

    def finish(self, info: DatasetInfo) -> dict[str, Any]:
        """Write the index, give the records their name, and return the part's manifest entry."""
        self._close_files()
        entry = {
            "part": self._part,
            "num_slices": len(self._index) - self._index.num_unlabelled,
            "num_unlabelled": self._index.num_unlabelled,
            "num_bytes": self._index.num_bytes,
            "failures": [asdict(failure) for failure in self._failures],
            "info": info_to_json(self._with_found_classes(info)),
        }
        # The index first: as long as the records lack their name, the journal still has all.
        payload = {"entry": entry, **self._index.to_json()}
        path = self._out / f"{self._part}.json"
        write_json(path, PART_FORMAT, VERSION, payload, is_compact=True)
        publish(self._records_path, self._out / f"{self._part}.bin")
        self._remove(self._journal_path)
        self._index = IndexBuilder()
        return entry

    def close(self) -> None:
        """Close the files; what is in them stays for the next run."""
        if self._records.closed:
            return
        self._close_files()
        if not self.num_pieces:
            self._remove(self._records_path)
            self._remove(self._journal_path)

    def _close_files(self) -> None:
        """Close both, which writes what is waiting to be written."""
        try:
            with self._records, self._journal:
                pass
        except OSError as error:
            raise self._cannot_write(error) from error

    def _remove(self, path: Path) -> None:
        try:
            path.unlink()
        except OSError as error:
            raise self._cannot_write(error) from error

    def _resume(self) -> tuple[BinaryIO, BinaryIO]:
        """Take up what is whole, cut off what is not, and open both files at their ends."""
        records = self._records_path.open("ab+")
        journal = self._journal_path.open("ab+")
        records.seek(0)
        journal.seek(0)
        kept_records = kept_journal = 0
        for entry in _read_journal(journal):
            content = records.read(entry.num_bytes)
            if len(content) != entry.num_bytes or zlib.crc32(content) != entry.crc32:
                break
            self._index.add(entry.rows)
            self._take(entry.failure)
            kept_records += entry.num_bytes
            kept_journal = entry.journal_bytes
        records.truncate(kept_records)
        journal.truncate(kept_journal)
        if not kept_journal:
            journal.write(_line(_JOURNAL))
        return records, journal

    def _take(self, failure: Failure | None) -> None:
        self.num_pieces += 1
        if failure is not None:
            self._failures.append(failure)

    def _with_found_classes(self, info: DatasetInfo) -> DatasetInfo:
        if info.classes:
            return info
        classes = {label_id: f"label {label_id}" for label_id in self._index.label_ids}
        return DatasetInfo(**{**vars(info), "classes": classes})

    def _cannot_write(self, error: OSError) -> WriteError:
        return WriteError(
            f"cannot write {self._out / self._part}: {error.strerror or error}; free space or "
            "choose another folder, then prepare again to go on where it stopped"
        )


def whole_entry(out: Path, part: str) -> dict[str, Any] | None:
    """Return the manifest entry of a part that lies whole in a store folder, None otherwise.

    Raises:
        FormatVersionError: its index is damaged.
    """
    index, records = out / f"{part}.json", out / f"{part}.bin"
    if not index.exists() or not records.exists():
        return None
    payload = read_json(index, PART_FORMAT, VERSION)
    entry = payload.get("entry")
    if not isinstance(entry, dict) or entry.get("num_bytes") != records.stat().st_size:
        return None
    return entry


def _read_journal(journal: BinaryIO) -> Iterator[_Entry]:
    """Yield the entries of a journal up to the first line that is torn or damaged."""
    if journal.readline() != _line(_JOURNAL):
        return
    for line in journal:
        if not line.endswith(b"\n"):
            return
        try:
            values = json.loads(line)
            failure = values["failure"]
            yield _Entry(
                values["num_bytes"],
                values["crc32"],
                SliceIndex.from_json(values["index"], values["num_bytes"]),
                None if failure is None else Failure(**failure),
                journal.tell(),
            )
        except (LookupError, TypeError, ValueError, AttributeError):
            return


def _line(values: dict[str, Any]) -> bytes:
    return json.dumps(values, separators=(",", ":")).encode() + b"\n"
