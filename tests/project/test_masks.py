from __future__ import annotations

import errno
import os
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from medprism.core.errors import GeometryError, MedprismError, ProjectError, UnknownEntryError
from medprism.core.image import Image
from medprism.project.labels import LabelRecord
from medprism.project.masks import AcceptedMasks, Accepting, as_labels
from medprism.project.project import Project
from medprism.project.shelf import ImageShelf
from tests.core.test_durable import Shim
from tests.inference.phantom import scene, volume

Reopen = Callable[[Project], Project]
MASKS = scene(0)[1]


@pytest.fixture
def picture(project: Project) -> Image:
    return ImageShelf(project).get(1)


@pytest.fixture
def liver(project: Project) -> LabelRecord:
    return project.labels.ensure("liver")


def _accept(
    project: Project, image: Image, label: LabelRecord, mask: np.ndarray, author: str = "Ada"
) -> None:
    project.masks.accept(1, image, [Accepting(label, mask)], author, example_origin="accepted")


def _shown(masks: AcceptedMasks, like: Image) -> dict[str, bytes]:
    planes, _ = as_labels(masks, 1, like)
    return {name: plane.tobytes() for name, plane in planes}


def test_a_mask_comes_back_with_who_and_when(
    project: Project, picture: Image, liver: LabelRecord, reopen: Reopen
) -> None:
    _accept(project, picture, liver, MASKS["liver"])
    again = reopen(project)
    (found,) = again.masks.of(1)
    assert (found.name, found.author, found.is_current) == ("liver", "Ada", True)
    assert found.pixels == int(MASKS["liver"].sum())
    assert np.array_equal(again.masks.read(found, picture), MASKS["liver"])
    assert again.images.get(1).state == "accepted"
    assert [one.label_name for one in again.examples.find()] == ["liver"]
    assert again.masks.labels_by_image() == {1: ["liver"]}
    again.close()


def test_a_volume_is_kept_on_its_own_grid(project: Project, liver: LabelRecord) -> None:
    scan = ImageShelf(project).get(5)
    masks = volume()[1]
    project.masks.accept(5, scan, [Accepting(liver, masks["liver"])], "Ada")
    (found,) = project.masks.of(5)
    assert found.file is not None and found.file.endswith(".nii.gz")
    assert np.array_equal(project.masks.read(found, scan), masks["liver"])


def test_a_later_mask_takes_the_place_and_the_former_stays(
    project: Project, picture: Image, liver: LabelRecord
) -> None:
    _accept(project, picture, liver, MASKS["liver"])
    project.examples.set_score(1, 0.9)
    _accept(project, picture, liver, MASKS["polyp"], "Grace")
    former, current = project.masks.of(1, with_former=True)
    assert (former.is_current, current.is_current) == (False, True)
    assert np.array_equal(project.masks.read(former, picture), MASKS["liver"])
    (example,) = project.examples.find()
    assert (example.acceptance, example.score) == (current.id, None)


def test_absent_is_an_answer_too(project: Project, picture: Image, liver: LabelRecord) -> None:
    _accept(project, picture, liver, MASKS["liver"])
    project.masks.accept(1, picture, [Accepting(liver, None)], "Ada")
    (found,) = project.masks.of(1)
    assert found.file is None
    assert not project.masks.read(found, picture).any()
    assert project.examples.find() == []
    assert project.masks.labels_by_image() == {}


def test_a_mask_of_another_shape_and_a_changed_file_are_refused(
    project: Project, picture: Image, liver: LabelRecord
) -> None:
    with pytest.raises(GeometryError, match="same grid"):
        _accept(project, picture, liver, MASKS["liver"][1:])
    _accept(project, picture, liver, MASKS["liver"])
    (found,) = project.masks.of(1)
    path = project.home / "masks" / str(found.file)
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(ProjectError, match="changed by another program"):
        project.masks.read(found, picture)
    with pytest.raises(UnknownEntryError):
        project.masks.get(77)


def test_references_can_be_switched_off_and_removed(
    project: Project, picture: Image, liver: LabelRecord
) -> None:
    project.masks.accept(1, picture, [Accepting(liver, MASKS["liver"])], "Ada")
    assert project.examples.find() == []
    example = project.examples.add(1, liver.id, "Grace")
    assert (example.origin, example.author) == ("accepted", "Grace")
    assert not project.examples.set_active(example.id, is_active=False).is_active
    assert project.examples.find(only_active=True) == []
    assert project.examples.find(without_image=1) == []
    project.examples.remove(example.id)
    assert len(project.masks.of(1)) == 1
    with pytest.raises(ProjectError, match="accept"):
        project.examples.add(2, liver.id, "Grace")


def test_the_order_is_write_sync_rename_sync_folder_then_commit(
    project: Project, picture: Image, liver: LabelRecord, monkeypatch: pytest.MonkeyPatch
) -> None:
    events: list[str] = []
    fsync, replace = os.fsync, os.replace
    writing = project.database.writing

    def note_fsync(handle: int) -> None:
        path = Path(f"/proc/self/fd/{handle}").readlink()
        kind = "folder" if path.is_dir() else f"file of {path.stat().st_size > 0}"
        events.append(f"sync {kind}")
        fsync(handle)

    def note_replace(source: Path, to: Path) -> None:
        events.append("rename")
        replace(source, to)

    def note_writing() -> object:
        events.append("commit")
        return writing()

    monkeypatch.setattr(os, "fsync", note_fsync)
    monkeypatch.setattr(os, "replace", note_replace)
    monkeypatch.setattr(project.database, "writing", note_writing)
    entries = [Accepting(liver, MASKS["liver"]), Accepting(liver, MASKS["polyp"])]
    project.masks.accept(1, picture, entries[:1], "Ada")
    assert events == ["sync file of True", "rename", "sync folder", "commit"]


@pytest.fixture
def two_labels(project: Project) -> Iterator[list[Accepting]]:
    yield [
        Accepting(project.labels.ensure("liver"), MASKS["left kidney"]),
        Accepting(project.labels.ensure("polyp"), MASKS["polyp"]),
    ]


@pytest.mark.parametrize(
    ("function", "fail_at"),
    [(name, at) for name in ("fsync", "replace", "chmod") for at in (1, 2)]
    + [("fsync", 3), ("fsync", 4)],
)
def test_a_failure_at_any_write_point_accepts_nothing_and_loses_nothing(
    project: Project,
    picture: Image,
    two_labels: list[Accepting],
    monkeypatch: pytest.MonkeyPatch,
    reopen: Reopen,
    function: str,
    fail_at: int,
) -> None:
    _accept(project, picture, two_labels[0].label, MASKS["liver"])
    before = _shown(project.masks, picture)
    shim = Shim(getattr(os, function), fail_at, errno.EIO)
    monkeypatch.setattr(os, function, shim)
    with pytest.raises(MedprismError):
        project.masks.accept(1, picture, two_labels, "Grace")
    assert shim.calls >= fail_at
    monkeypatch.undo()
    assert _shown(project.masks, picture) == before
    again = reopen(project)
    assert _shown(again.masks, picture) == before
    assert len(list((again.home / "masks").iterdir())) == 1
    again.close()


@pytest.mark.parametrize("statement", ["UPDATE acceptances", "INSERT INTO acceptances", "COMMIT"])
def test_a_failure_of_the_table_accepts_nothing(
    project: Project,
    picture: Image,
    two_labels: list[Accepting],
    monkeypatch: pytest.MonkeyPatch,
    statement: str,
) -> None:
    _accept(project, picture, two_labels[0].label, MASKS["liver"])
    before = _shown(project.masks, picture)
    real = project.database._connection

    class Refusing:
        """The connection, with a disk that is full at one statement."""

        def execute(self, text: str, *values: object) -> object:
            if text.startswith(statement):
                raise sqlite3.OperationalError("database or disk is full")
            return real.execute(text, *values)

        def __getattr__(self, name: str) -> object:
            return getattr(real, name)

    monkeypatch.setattr(project.database, "_connection", Refusing())
    with pytest.raises(MedprismError, match="disk is full"):
        project.masks.accept(1, picture, two_labels, "Grace")
    monkeypatch.undo()
    assert _shown(project.masks, picture) == before
    assert len(list((project.home / "masks").iterdir())) == 1


def test_what_a_dead_process_left_is_removed(project: Project, reopen: Reopen) -> None:
    folder = project.home / "masks"
    (folder / ".writing-abc.png").write_bytes(b"half")
    (folder / "000001-0001-nobody.png").write_bytes(b"whole but not accepted")
    again = reopen(project)
    assert list(folder.iterdir()) == []
    again.close()
