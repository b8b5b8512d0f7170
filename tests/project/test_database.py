from __future__ import annotations

import os
import sqlite3
import threading
from pathlib import Path

import pytest

from medprism.core.errors import FormatVersionError, ProjectError, WriteError
from medprism.project.database import Database, as_dict
from medprism.project.migrations import MIGRATIONS

STEPS = (("CREATE TABLE notes (text TEXT)",), ("ALTER TABLE notes ADD COLUMN author TEXT",))


def test_a_new_file_has_the_present_version_and_the_settings_of_a_durable_one(
    tmp_path: Path,
) -> None:
    database = Database(tmp_path / "a.sqlite")
    assert database.version == len(MIGRATIONS)
    settings = {name: database.rows(f"PRAGMA {name}")[0][0] for name in ("journal_mode",)}
    assert settings == {"journal_mode": "wal"}
    # 2 is FULL: the log is synced at every commit.
    assert database.rows("PRAGMA synchronous")[0][0] == 2
    assert database.rows("PRAGMA foreign_keys")[0][0] == 1
    database.close()


def test_steps_are_applied_once_and_in_order(tmp_path: Path) -> None:
    path = tmp_path / "a.sqlite"
    first = Database(path, STEPS[:1])
    with first.writing() as connection:
        connection.execute("INSERT INTO notes VALUES ('kept')")
    first.close()
    second = Database(path, STEPS)
    assert second.version == 2
    assert [as_dict(row) for row in second.rows("SELECT * FROM notes")] == [
        {"text": "kept", "author": None}
    ]
    second.close()
    with pytest.raises(FormatVersionError, match="version 2, this program reads up to 1"):
        Database(path, STEPS[:1])


def test_a_step_that_fails_leaves_the_version_before_it(tmp_path: Path) -> None:
    path = tmp_path / "a.sqlite"
    broken = (*STEPS[:1], ("CREATE TABLE more (text TEXT)", "CREATE TABLE notes (again TEXT)"))
    with pytest.raises(WriteError):
        Database(path, broken)
    found = Database(path, STEPS[:1])
    assert found.version == 1
    assert found.row("SELECT name FROM sqlite_master WHERE name = 'more'") is None
    found.close()


def test_a_block_happens_wholly_or_not_at_all(tmp_path: Path) -> None:
    database = Database(tmp_path / "a.sqlite", STEPS)
    with pytest.raises(ValueError, match="stop"), database.writing() as connection:
        connection.execute("INSERT INTO notes VALUES ('half', 'Ada')")
        raise ValueError("stop")
    assert database.rows("SELECT * FROM notes") == []
    database.close()


def test_threads_take_turns(tmp_path: Path) -> None:
    database = Database(tmp_path / "a.sqlite", STEPS)

    def write(name: str) -> None:
        for number in range(20):
            with database.writing() as connection:
                connection.execute("INSERT INTO notes VALUES (?, ?)", (str(number), name))

    threads = [threading.Thread(target=write, args=(name,)) for name in "abcd"]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    assert len(database.rows("SELECT * FROM notes")) == 80
    database.close()


def test_files_of_others_and_damaged_ones_are_refused(tmp_path: Path) -> None:
    other = sqlite3.connect(tmp_path / "other.sqlite")
    other.execute("CREATE TABLE theirs (x)")
    other.commit()
    other.close()
    with pytest.raises(ProjectError, match="another program"):
        Database(tmp_path / "other.sqlite")
    (tmp_path / "text.sqlite").write_text("hello " * 400)
    with pytest.raises(ProjectError, match="damaged"):
        Database(tmp_path / "text.sqlite")


def test_a_folder_without_permission_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(WriteError, match="cannot use the project file"):
        Database(tmp_path / "nowhere" / "a.sqlite")


def test_the_golden_file_of_version_1_opens(tmp_path: Path) -> None:
    script = (Path(__file__).parent / "golden" / "project-1.sql").read_text(encoding="utf-8")
    raw = sqlite3.connect(tmp_path / "project.sqlite")
    raw.executescript(script)
    raw.close()
    database = Database(tmp_path / "project.sqlite")
    assert database.version == len(MIGRATIONS)
    assert [row["name"] for row in database.rows("SELECT name FROM images")] == ["a.png"]
    assert [row["author"] for row in database.rows("SELECT author FROM acceptances")] == ["Ada"]
    database.close()


def test_the_folder_is_synced_when_the_file_is_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[Path] = []
    fsync = os.fsync

    def note(handle: int) -> None:
        synced.append(Path(f"/proc/self/fd/{handle}").readlink())
        fsync(handle)

    monkeypatch.setattr(os, "fsync", note)
    Database(tmp_path / "a.sqlite", STEPS).close()
    assert tmp_path in synced
