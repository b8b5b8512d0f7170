from __future__ import annotations

import hashlib
import json
import os
import time
from pathlib import Path

import pytest

from medprism.core.errors import CancelledError, FormatVersionError
from medprism.data import source_record
from medprism.data.source_record import (
    UNREADABLE,
    Stamp,
    read_record,
    stamp_files,
    write_record,
)

HOUR_NS = 3_600_000_000_000


@pytest.fixture
def files(tmp_path: Path) -> list[Path]:
    folder = tmp_path / "set"
    folder.mkdir()
    paths = [folder / f"{number}.bin" for number in range(3)]
    for number, path in enumerate(paths):
        path.write_bytes(bytes([number]) * (number + 5))
        os.utime(path, ns=(0, time.time_ns() - HOUR_NS))
    return paths


@pytest.fixture
def was_read(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the files whose bytes are read."""
    names: list[str] = []
    real = source_record._read

    def read(path: Path) -> Stamp:
        names.append(path.name)
        return real(path)

    monkeypatch.setattr(source_record, "_read", read)
    return names


def _again(files: list[Path], tmp_path: Path) -> dict[Path, Stamp]:
    return stamp_files(files, read_record(tmp_path / "r.json"), tmp_path, threads=2)


@pytest.fixture
def recorded(files: list[Path], tmp_path: Path) -> dict[Path, Stamp]:
    stamps = stamp_files(files, {}, tmp_path)
    write_record(tmp_path / "r.json", stamps, tmp_path)
    return stamps


def test_a_stamp_has_size_time_and_hash(recorded: dict[Path, Stamp], files: list[Path]) -> None:
    for path in files:
        content, found = path.read_bytes(), path.stat()
        assert recorded[path] == Stamp(
            found.st_size, found.st_mtime_ns, hashlib.sha256(content).hexdigest()
        )


def test_files_of_the_same_size_and_time_are_not_read_again(
    recorded: dict[Path, Stamp], files: list[Path], tmp_path: Path, was_read: list[str]
) -> None:
    assert _again(files, tmp_path) == recorded
    assert was_read == []


@pytest.mark.parametrize("change", ["time", "size", "both"])
def test_a_file_that_differs_is_read_and_nothing_else(
    recorded: dict[Path, Stamp], files: list[Path], tmp_path: Path, was_read: list[str], change: str
) -> None:
    before = files[1].stat().st_mtime_ns
    files[1].write_bytes(b"x" * (6 if change == "time" else 9))
    os.utime(files[1], ns=(0, before if change == "size" else before + HOUR_NS // 2))
    stamps = _again(files, tmp_path)
    assert was_read == ["1.bin"]
    assert stamps[files[1]].sha256 == hashlib.sha256(files[1].read_bytes()).hexdigest()
    assert stamps[files[0]] == recorded[files[0]]


def test_only_size_and_time_are_compared_as_the_docstring_says(
    recorded: dict[Path, Stamp], files: list[Path], tmp_path: Path, was_read: list[str]
) -> None:
    before = files[1].stat().st_mtime_ns
    files[1].write_bytes(b"other!")
    os.utime(files[1], ns=(0, before))
    assert _again(files, tmp_path) == recorded
    assert was_read == []


def test_a_file_written_just_now_is_read_again_the_next_time(
    files: list[Path], tmp_path: Path, was_read: list[str]
) -> None:
    files[2].write_bytes(b"fresh")
    stamps = stamp_files(files, {}, tmp_path)
    assert not stamps[files[2]].is_settled
    write_record(tmp_path / "r.json", stamps, tmp_path)
    was_read.clear()
    _again(files, tmp_path)
    assert was_read == ["2.bin"]


def test_a_file_that_cannot_be_read_is_tried_again(
    files: list[Path], tmp_path: Path, was_read: list[str]
) -> None:
    content = files[0].read_bytes()
    files[0].unlink()
    stamps = stamp_files(files, {}, tmp_path)
    assert stamps[files[0]].sha256 == UNREADABLE
    write_record(tmp_path / "r.json", stamps, tmp_path)
    files[0].write_bytes(content)
    was_read.clear()
    assert _again(files, tmp_path)[files[0]].sha256 == hashlib.sha256(content).hexdigest()
    assert was_read == ["0.bin"]


def test_the_record_holds_while_store_and_sources_move_together(
    recorded: dict[Path, Stamp], files: list[Path], tmp_path: Path, was_read: list[str]
) -> None:
    moved = tmp_path.with_name(tmp_path.name + "-moved")
    tmp_path.rename(moved)
    try:
        there = [moved / "set" / path.name for path in files]
        stamps = stamp_files(there, read_record(moved / "r.json"), moved)
        assert list(stamps.values()) == list(recorded.values())
        assert was_read == []
    finally:
        moved.rename(tmp_path)


def test_reading_can_be_stopped_between_files(files: list[Path], tmp_path: Path) -> None:
    calls = iter(range(10))

    def check() -> None:
        if next(calls) == 1:
            raise CancelledError("enough")

    with pytest.raises(CancelledError, match="enough"):
        stamp_files(files, {}, tmp_path, check=check)
    assert next(calls) == 2


def test_no_record_knows_nothing_and_a_damaged_one_is_one_sentence(tmp_path: Path) -> None:
    path = tmp_path / "r.json"
    assert read_record(path) == {}
    write_record(path, {}, tmp_path)
    document = json.loads(path.read_text())
    for files in ({"a": [1, 2]}, {"a": ["x", 2, "y"]}, [1]):
        path.write_text(json.dumps({**document, "files": files}))
        with pytest.raises(FormatVersionError, match="delete it") as caught:
            read_record(path)
        assert "\n" not in str(caught.value)
    path.write_text(json.dumps({**document, "version": 9}))
    with pytest.raises(FormatVersionError, match="update medprism"):
        read_record(path)


def test_a_file_changed_after_the_clock_was_set_back_is_read_again(
    recorded: dict[Path, Stamp],
    files: list[Path],
    tmp_path: Path,
    was_read: list[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    earlier = time.time_ns() - 24 * HOUR_NS
    files[1].write_bytes(bytes(files[1].stat().st_size))
    os.utime(files[1], ns=(earlier, earlier))
    monkeypatch.setattr(time, "time_ns", lambda: earlier)
    stamps = _again(files, tmp_path)
    assert was_read == ["1.bin"]
    assert stamps[files[1]].sha256 != recorded[files[1]].sha256
    # Written this very moment, as far as the clock knows: it may change once more unseen.
    write_record(tmp_path / "r.json", stamps, tmp_path)
    was_read.clear()
    assert _again(files, tmp_path)[files[1]].sha256 == stamps[files[1]].sha256
    assert was_read == ["1.bin"]
