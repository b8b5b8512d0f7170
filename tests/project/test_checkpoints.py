from __future__ import annotations

import sqlite3
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from medprism.core.durable import write_bytes
from medprism.core.errors import ProjectError, UnknownEntryError, WriteError
from medprism.project.project import HOME, Project

Reopen = Callable[[Project], Project]


def _write(path: Path) -> tuple[str, Mapping[str, Any]]:
    write_bytes(path, b"weights")
    return f"hash of {path.stem}", {"steps": 3}


def _made(project: Project, parent: int | None = None) -> int:
    label = project.labels.ensure("flag")
    job = project.jobs.add("training", {}, "Ada")
    return project.checkpoints.add(job.id, label.id, parent, "Ada", _write).id


def test_checkpoints_are_listed_used_and_gone_back_to(project: Project, reopen: Reopen) -> None:
    assert project.checkpoints.all() == [] and project.checkpoints.current() is None
    first = _made(project)
    second = _made(project, first)
    assert project.checkpoints.current() is None
    project.checkpoints.use(second)
    project = reopen(project)
    kept = project.checkpoints.get(second)
    assert kept.is_current and (kept.parent, kept.label_name, kept.author) == (first, "flag", "Ada")
    assert kept.report == {"steps": 3} and kept.weights_hash.startswith("hash of checkpoint-")
    assert project.checkpoints.path_of(kept).read_bytes() == b"weights"
    project.checkpoints.use(first)
    assert [one.is_current for one in project.checkpoints.all()] == [True, False]
    project.checkpoints.use(None)
    assert project.checkpoints.current() is None
    with pytest.raises(UnknownEntryError, match="no checkpoint 9"):
        project.checkpoints.use(9)
    project.close()


def test_a_job_makes_one_checkpoint_and_files_are_never_overwritten(project: Project) -> None:
    label = project.labels.ensure("flag")
    job = project.jobs.add("training", {}, "Ada")

    def refuse(path: Path) -> tuple[str, Mapping[str, Any]]:
        raise AssertionError("nothing is written twice")

    first = project.checkpoints.add(job.id, label.id, None, "Ada", _write)
    assert project.checkpoints.add(job.id, label.id, None, "Ada", refuse).id == first.id
    assert _made(project) != first.id
    assert len({one.file for one in project.checkpoints.all()}) == 2


def test_what_a_dead_process_left_is_removed_and_named_files_stay(
    project: Project, reopen: Reopen
) -> None:
    kept = _made(project)
    folder = project.home / "checkpoints"
    (folder / "checkpoint-000099.safetensors").write_bytes(b"nobody was told")
    (folder / "notes.txt").write_text("not ours")
    project = reopen(project)
    names = sorted(path.name for path in folder.iterdir())
    assert names == [project.checkpoints.get(kept).file, "notes.txt"]
    project.close()


def test_a_checkpoint_that_cannot_be_written_is_none(project: Project) -> None:
    label = project.labels.ensure("flag")
    job = project.jobs.add("training", {}, "Ada")

    def fail(path: Path) -> tuple[str, Mapping[str, Any]]:
        raise WriteError("no space")

    with pytest.raises(WriteError):
        project.checkpoints.add(job.id, label.id, None, "Ada", fail)
    assert project.checkpoints.all() == []


def test_a_file_that_was_taken_away_is_said(project: Project) -> None:
    record = project.checkpoints.get(_made(project))
    project.checkpoints.path_of(record).unlink()
    assert not project.checkpoints.is_there(record)
    with pytest.raises(ProjectError, match="is missing; restore it"):
        project.checkpoints.path_of(record)


def test_a_project_of_version_1_gains_the_table(tmp_path: Path) -> None:
    script = (Path(__file__).parent / "golden" / "project-1.sql").read_text(encoding="utf-8")
    home = tmp_path / HOME
    home.mkdir()
    raw = sqlite3.connect(home / "project.sqlite")
    raw.executescript(script)
    raw.close()
    project = Project(tmp_path)
    assert project.checkpoints.all() == []
    assert project.checkpoints.get(_made(project)).label_name == "flag"
    project.close()


def test_masks_of_a_label_and_how_many_show_it(project: Project) -> None:
    label = project.labels.ensure("flag")
    assert project.labels.count_masks(label.id) == 0
    assert project.masks.of_label(label.id) == []
