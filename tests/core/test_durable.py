from __future__ import annotations

import errno
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from medprism.core import durable
from medprism.core.durable import (
    make_folder,
    publish,
    read_json,
    remove_unfinished,
    write_bytes,
    write_durably,
    write_folder_durably,
    write_json,
)
from medprism.core.errors import FormatVersionError, WriteError

OLD, NEW = b"the old content", b"the new and longer content"


class Shim:
    """Let the n-th call of one system function fail as a full or broken disk does."""

    def __init__(self, real: Callable[..., object], fail_at: int, code: int) -> None:
        self.real, self.fail_at, self.code, self.calls = real, fail_at, code, 0

    def __call__(self, *args: object, **kwargs: object) -> object:
        self.calls += 1
        if self.calls == self.fail_at:
            raise OSError(self.code, os.strerror(self.code))
        return self.real(*args, **kwargs)


@pytest.fixture
def target(tmp_path: Path) -> Path:
    path = tmp_path / "mask.nii.gz"
    path.write_bytes(OLD)
    return path


def pieces(path: Path) -> None:
    """Write in three system calls, so that a shim can fail between them."""
    handle = os.open(path, os.O_WRONLY | os.O_TRUNC)
    try:
        for start in range(0, len(NEW), 10):
            os.write(handle, NEW[start : start + 10])
    finally:
        os.close(handle)


def alone(target: Path) -> bool:
    return [entry.name for entry in target.parent.iterdir()] == [target.name]


def test_the_whole_file_replaces_the_old_one(target: Path) -> None:
    write_durably(target, pieces)
    assert target.read_bytes() == NEW
    assert target.stat().st_mode & 0o777 == 0o644
    assert alone(target)


@pytest.mark.parametrize(
    ("function", "fail_at", "code"),
    [
        ("write", 1, errno.ENOSPC),
        ("write", 2, errno.ENOSPC),
        ("write", 3, errno.EIO),
        ("fsync", 1, errno.EIO),
        ("chmod", 1, errno.EPERM),
        ("replace", 1, errno.EACCES),
    ],
)
def test_a_failure_before_the_rename_leaves_the_old_file(
    target: Path, monkeypatch: pytest.MonkeyPatch, function: str, fail_at: int, code: int
) -> None:
    shim = Shim(getattr(os, function), fail_at, code)
    monkeypatch.setattr(os, function, shim)
    with pytest.raises(WriteError, match=os.strerror(code)):
        write_durably(target, pieces)
    assert shim.calls >= fail_at
    monkeypatch.undo()
    assert target.read_bytes() == OLD
    assert alone(target)


def test_a_folder_that_cannot_be_synced_is_reported_and_the_new_file_is_whole(
    target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "fsync", Shim(os.fsync, 2, errno.EIO))
    with pytest.raises(WriteError, match="wrote .* folder cannot be synced"):
        write_durably(target, pieces)
    monkeypatch.undo()
    assert target.read_bytes() == NEW
    assert alone(target)


def test_the_content_is_synced_before_the_rename_and_the_folder_after(
    target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    events: list[str] = []
    fsync, replace = os.fsync, os.replace

    def note_fsync(handle: int) -> None:
        events.append("folder" if Path(f"/proc/self/fd/{handle}").is_dir() else "file")
        fsync(handle)

    def note_replace(source: Path, to: Path) -> None:
        events.append("rename")
        replace(source, to)

    monkeypatch.setattr(os, "fsync", note_fsync)
    monkeypatch.setattr(os, "replace", note_replace)
    write_durably(target, pieces)
    assert events == ["file", "rename", "folder"]


def test_an_error_of_the_writer_passes_and_leaves_the_old_file(target: Path) -> None:
    def broken(path: Path) -> None:
        path.write_bytes(b"half")
        raise ValueError("not a mask")

    with pytest.raises(ValueError, match="not a mask"):
        write_durably(target, broken)
    assert target.read_bytes() == OLD
    assert alone(target)


def test_the_temporary_name_keeps_the_suffixes(tmp_path: Path) -> None:
    seen: list[str] = []
    for name in ("a.b.nii.gz", "c.d.png", "plain"):
        write_durably(tmp_path / name, lambda path: seen.append("".join(path.suffixes)))
    assert seen == [".nii.gz", ".png", ""]


def test_a_missing_folder_and_a_folder_as_target_are_refused(tmp_path: Path) -> None:
    with pytest.raises(WriteError, match="No such file"):
        write_bytes(tmp_path / "nowhere" / "a.json", NEW)
    (tmp_path / "taken").mkdir()
    with pytest.raises(WriteError, match="directory"):
        write_bytes(tmp_path / "taken", NEW)
    assert [entry.name for entry in tmp_path.iterdir()] == ["taken"]


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@settings(max_examples=30)
@given(
    payload=st.dictionaries(st.text().filter(lambda k: k not in ("format", "version")), json_values)
)
def test_documents_come_back(tmp_path_factory: pytest.TempPathFactory, payload: dict) -> None:
    path = tmp_path_factory.mktemp("json") / "log.json"
    write_json(path, "log", 2, payload)
    assert read_json(path, "log", 2) == {"format": "log", "version": 2, **payload}


@settings(max_examples=30)
@given(content=st.binary(max_size=60))
def test_any_other_file_is_refused(
    tmp_path_factory: pytest.TempPathFactory, content: bytes
) -> None:
    path = tmp_path_factory.mktemp("junk") / "log.json"
    path.write_bytes(content)
    with pytest.raises(FormatVersionError):
        read_json(path, "log", 1)


@pytest.mark.parametrize(
    "content", [b"[" * 100_000, b'{"format": "log", "version": ' + b"9" * 5000 + b"}", b"\xff\xfe"]
)
def test_a_hostile_document_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "log.json"
    path.write_bytes(content)
    with pytest.raises(FormatVersionError, match="cannot be read as a log file"):
        read_json(path, "log", 1)


@pytest.mark.parametrize("version", [3, 0, -1, "1", None, 1.0, True])
def test_a_version_this_program_does_not_know_is_refused(tmp_path: Path, version: object) -> None:
    path = tmp_path / "log.json"
    path.write_text(json.dumps({"format": "log", "version": version}))
    with pytest.raises(FormatVersionError, match="reads up to 2; update medprism"):
        read_json(path, "log", 2)


def test_another_format_is_named(tmp_path: Path) -> None:
    path = tmp_path / "log.json"
    write_json(path, "project", 1, {})
    with pytest.raises(FormatVersionError, match="format 'project', not 'log'"):
        read_json(path, "log", 1)
    path.write_text("[1, 2]")
    with pytest.raises(FormatVersionError, match="format 'list'"):
        read_json(path, "log", 1)
    with pytest.raises(FormatVersionError, match="cannot be read"):
        read_json(tmp_path / "missing.json", "log", 1)


def test_a_finished_file_takes_the_name(tmp_path: Path) -> None:
    temporary, path = tmp_path / ".partial", tmp_path / "part.bin"
    path.write_bytes(OLD)
    temporary.write_bytes(NEW)
    publish(temporary, path)
    assert path.read_bytes() == NEW
    assert not temporary.exists()
    with pytest.raises(WriteError, match="cannot write"):
        publish(temporary, path)
    assert path.read_bytes() == NEW


def test_a_compact_document_is_one_line_and_reads_the_same(tmp_path: Path) -> None:
    payload = {"numbers": list(range(50)), "name": "ä"}
    write_json(tmp_path / "a.json", "thing", 1, payload)
    write_json(tmp_path / "b.json", "thing", 1, payload, is_compact=True)
    assert (tmp_path / "b.json").read_bytes().count(b"\n") == 0
    a, b = (read_json(tmp_path / f"{name}.json", "thing", 1) for name in "ab")
    assert a == b


def fill(folder: Path) -> None:
    for name in ("a", "b"):
        (folder / name).write_bytes(NEW)


@pytest.fixture
def filled(tmp_path: Path) -> Path:
    folder = tmp_path / "slices"
    folder.mkdir()
    (folder / "old").write_bytes(OLD)
    return folder


def test_a_whole_folder_replaces_the_old_one(filled: Path) -> None:
    write_folder_durably(filled, fill)
    assert sorted(path.name for path in filled.iterdir()) == ["a", "b"]
    assert (filled / "b").read_bytes() == NEW
    assert filled.stat().st_mode & 0o777 == 0o755
    assert (filled / "a").stat().st_mode & 0o777 == 0o644
    assert alone(filled)


@pytest.mark.parametrize(
    ("function", "fail_at"),
    [("fsync", 1), ("fsync", 3), ("chmod", 1), ("chmod", 3), ("rename", 1), ("rename", 2)],
)
def test_a_failure_before_the_new_folder_is_there_leaves_the_old_one(
    filled: Path, monkeypatch: pytest.MonkeyPatch, function: str, fail_at: int
) -> None:
    shim = Shim(getattr(os, function), fail_at, errno.EIO)
    monkeypatch.setattr(os, function, shim)
    # As where two folders cannot be exchanged in one step.
    monkeypatch.setattr(durable, "_swap", lambda one, other: False)
    with pytest.raises(WriteError, match="cannot write .*slices: Input/output error"):
        write_folder_durably(filled, fill)
    assert shim.calls >= fail_at
    monkeypatch.undo()
    assert (filled / "old").read_bytes() == OLD
    assert alone(filled)


def test_whatever_stops_the_filling_leaves_the_old_folder(filled: Path) -> None:
    def stop(folder: Path) -> None:
        fill(folder)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_folder_durably(filled, stop)
    assert [path.name for path in filled.iterdir()] == ["old"]
    assert alone(filled)
    with pytest.raises(WriteError, match="cannot write .*No such file"):
        write_folder_durably(filled / "nowhere" / "slices", fill)


def test_folders_are_made_with_their_parents_or_one_sentence(tmp_path: Path) -> None:
    make_folder(tmp_path / "a" / "b")
    make_folder(tmp_path / "a" / "b")
    assert (tmp_path / "a" / "b").is_dir()
    (tmp_path / "file").touch()
    with pytest.raises(WriteError, match="cannot make the run folder .*file/b: "):
        make_folder(tmp_path / "file" / "b", "run folder")


def test_two_folders_change_places_in_one_step(
    filled: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, other = filled.with_name("one"), filled.with_name("other")
    for folder in (one, other):
        folder.mkdir()
        (folder / folder.name).write_bytes(OLD)
    if not durable._swap(one, other):
        pytest.skip("this system, or this file system, cannot exchange two folders")
    assert [path.name for path in one.iterdir()] == ["other"]
    assert not durable._swap(one, filled.with_name("nowhere"))
    for folder in (one, other):
        shutil.rmtree(folder)
    # There is no moment at which the folder is not there, so nothing is renamed.
    monkeypatch.setattr(os, "rename", Shim(os.rename, 1, errno.EIO))
    write_folder_durably(filled, fill)
    assert sorted(path.name for path in filled.iterdir()) == ["a", "b"]
    assert alone(filled)


def test_without_that_step_the_folder_is_replaced_by_two(
    filled: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(durable, "_swap", lambda one, other: False)
    write_folder_durably(filled, fill)
    assert sorted(path.name for path in filled.iterdir()) == ["a", "b"]
    assert alone(filled)


def test_a_disk_that_becomes_read_only_is_told_in_one_sentence(
    target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("write", "unlink", "replace"):
        monkeypatch.setattr(os, name, Shim(getattr(os, name), 1, errno.EROFS))
    with pytest.raises(WriteError, match="Read-only file system"):
        write_durably(target, pieces)
    monkeypatch.undo()
    assert target.read_bytes() == OLD
    # What cannot be removed now is removed by whoever owns the folder, later.
    (left,) = [path.name for path in target.parent.iterdir() if path != target]
    assert remove_unfinished(target.parent) == [left]
    assert alone(target)


def test_what_was_left_half_written_is_removed_and_nothing_else(tmp_path: Path) -> None:
    (tmp_path / "deep" / ".writing-folder").mkdir(parents=True)
    left = [
        tmp_path / ".writing-a.png",
        tmp_path / "deep" / ".writing-folder" / "slice",
        tmp_path / ".exporting-x" / ".writing-y",
    ]
    kept = [tmp_path / "writing-b.png", tmp_path / "deep" / ".other"]
    (tmp_path / ".exporting-x").mkdir()
    for path in (*left, *kept):
        path.write_bytes(OLD)
    assert ".writing-a.png" in remove_unfinished(tmp_path, ".exporting-")
    assert not any(path.exists() for path in left)
    assert all(path.exists() for path in kept)
    assert remove_unfinished(tmp_path, ".exporting-") == []
