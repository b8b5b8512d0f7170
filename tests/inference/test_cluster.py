from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pydicom
import pytest

from medprism.core.errors import (
    CancelledError,
    ConfigError,
    LabelError,
    LostProcessError,
    PromptError,
    WriteError,
)
from medprism.core.progress import SilentProgress
from medprism.inference import cluster as module
from medprism.inference.archive import MaskFolder, segment_folder
from medprism.inference.archive_record import RECORD_FILE, Line
from medprism.inference.cluster import ArchiveOrder, StudyWorker, segment_archive
from medprism.inference.knowledge import Example, Knowledge, PointMark
from medprism.io.deidentify import Deidentifier
from medprism.io.reader import read_mask
from tests.inference.archives import order_for, write_archive
from tests.inference.in_process import InProcess
from tests.io.dicom_scene import VOLUME
from tests.io.phantoms import write_series


@pytest.fixture(scope="module")
def nano(tmp_path_factory: pytest.TempPathFactory) -> Path:
    model = tmp_path_factory.mktemp("weights") / "nano.safetensors"
    order_for(model.parent, model)
    return model


def _masks(out: Path) -> list[str]:
    return sorted(path.name for path in out.iterdir() if path.name != RECORD_FILE)


class _StopsAfter(SilentProgress):
    def __init__(self, most: int) -> None:
        self.most = most
        self.said: list[tuple[int, int, str]] = []

    def report(self, done: int, total: int, message: str = "") -> None:
        self.said.append((done, total, message))

    def is_cancelled(self) -> bool:
        return len(self.said) >= self.most


def test_masks_are_those_of_one_process(tmp_path: Path, nano: Path) -> None:
    folder = write_archive(tmp_path / "in", 3)
    order = order_for(tmp_path / "out", nano)
    notes = _StopsAfter(99)
    report = segment_archive(folder, order, InProcess(), notes)
    alone = segment_folder(order.open(), folder, order.knowledge, tmp_path / "alone")
    assert [one.image for one in report.segmented] == [one.image for one in alone.segmented]
    assert [one.labels for one in report.segmented] == [one.labels for one in alone.segmented]
    assert _masks(tmp_path / "out") == _masks(tmp_path / "alone") == ["00.png", "01.png", "02.png"]
    for name in _masks(tmp_path / "out"):
        one, other = (read_mask(tmp_path / where / name).array for where in ("out", "alone"))
        assert np.array_equal(one, other)
    assert [said[:2] for said in notes.said] == [(1, 3), (2, 3), (3, 3)]
    assert all("a second" in said[2] and "left" in said[2] for said in notes.said)
    assert (report.before, len(report.failed)) == (0, 0)
    assert report.per_second == pytest.approx(3 / report.seconds)


def test_a_run_that_was_stopped_goes_on_and_does_nothing_twice(tmp_path: Path, nano: Path) -> None:
    folder, order = write_archive(tmp_path / "in", 4), order_for(tmp_path / "out", nano)
    with pytest.raises(CancelledError, match="stopped after 2 of 4 studies"):
        segment_archive(folder, order, InProcess(), _StopsAfter(2))
    before = {name: (tmp_path / "out" / name).stat().st_mtime_ns for name in ("02.png", "03.png")}
    assert _masks(tmp_path / "out") == ["02.png", "03.png"]
    notes = _StopsAfter(99)
    report = segment_archive(folder, order, InProcess(), notes)
    assert (report.before, len(report.segmented)) == (2, 4)
    assert [said[:2] for said in notes.said] == [(3, 4), (4, 4)]
    assert {n: (tmp_path / "out" / n).stat().st_mtime_ns for n in before} == before
    again = segment_archive(folder, order, InProcess(most=0))
    assert (again.before, [one.labels for one in again.segmented]) == (
        4,
        [one.labels for one in report.segmented],
    )


def test_a_failing_study_is_reported_and_does_not_stop_the_rest(
    tmp_path: Path, nano: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, order = write_archive(tmp_path / "in", 4), order_for(tmp_path / "out", nano)
    (folder / "01.png").write_bytes(b"\x89PNG\r\n\x1a\n cut")
    read = module.read_image

    def break_down(path: Path) -> object:
        if path.name == "02.png":
            raise ZeroDivisionError("one of a million")
        return read(path)

    with monkeypatch.context() as patched:
        patched.setattr(module, "read_image", break_down)
        report = segment_archive(folder, order, InProcess())
    reasons = {path.name: reason for path, reason in report.failed}
    assert set(reasons) == {"01.png", "02.png"}
    assert "bug in medprism: ZeroDivisionError: one of a million" in reasons["02.png"]
    assert _masks(tmp_path / "out") == ["00.png", "03.png"]
    # The bug is mended, the damaged file is not.
    report = segment_archive(folder, order, InProcess())
    assert [path.name for path, _ in report.failed] == ["01.png"]
    assert (report.before, len(report.segmented)) == (2, 3)


def test_a_study_that_ends_its_worker_again_and_again_is_given_up(
    tmp_path: Path, nano: Path
) -> None:
    folder, order = write_archive(tmp_path / "in", 1), order_for(tmp_path / "out", nano)
    (tmp_path / "out").mkdir()
    for number in range(3):
        (tmp_path / "out" / f".begun-{number}-00").touch()
    line = StudyWorker(order).work(folder / "00.png")
    assert "ended 3 times" in line["failed"]
    # Another run begins anew.
    for number in range(3):
        (tmp_path / "out" / f".begun-{number}-00").touch()
    assert len(segment_archive(folder, order, InProcess()).segmented) == 1
    assert _masks(tmp_path / "out") == ["00.png"]


def test_what_a_lost_cluster_left_is_gone_on_with(tmp_path: Path, nano: Path) -> None:
    folder, order = write_archive(tmp_path / "in", 3), order_for(tmp_path / "out", nano)
    with pytest.raises(LostProcessError, match="2 of 3 studies were not answered"):
        segment_archive(folder, order, InProcess(most=1))
    report = segment_archive(folder, order, InProcess())
    assert (report.before, len(report.segmented)) == (1, 3)


def test_a_full_disk_ends_the_run_at_once(
    tmp_path: Path, nano: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, order = write_archive(tmp_path / "in", 2), order_for(tmp_path / "out", nano)

    def refuse(_: int) -> None:
        raise OSError(28, "No space left on device")

    (tmp_path / "out").mkdir()
    monkeypatch.setattr(os, "fsync", refuse)
    with pytest.raises(WriteError, match=r"01\.png: cannot write .*No space left"):
        segment_archive(folder, order, InProcess())
    assert _masks(tmp_path / "out") == []


class _Never:
    def spread(self, studies: Sequence[Path], order: ArchiveOrder) -> Iterator[Line]:
        raise AssertionError("nothing may be handed out")


def test_what_cannot_work_for_any_study_is_refused_before_the_first(
    tmp_path: Path, nano: Path
) -> None:
    folder, out = write_archive(tmp_path / "in", 1), tmp_path / "out"
    order = order_for(out, nano)
    clicks = Knowledge(clicks=(PointMark((1, 1), True),))
    with pytest.raises(PromptError, match="belong to one image"):
        segment_archive(folder, replace(order, knowledge=clicks), _Never())
    with pytest.raises(LabelError, match="unknown class"):
        segment_archive(folder, order_for(out, nano, "huk"), _Never())
    with pytest.raises(WriteError, match="choose another output folder"):
        segment_archive(folder, order_for(folder, nano), _Never())
    segment_archive(folder, order, InProcess())
    with pytest.raises(ConfigError, match="made with other classes"):
        segment_archive(folder, order_for(out, nano, "flag"), _Never())
    hidden = replace(order, masks=MaskFolder(path=out, deidentify=Deidentifier()))
    with pytest.raises(ConfigError, match="made with other key of deidentification"):
        segment_archive(folder, hidden, _Never())


def test_the_examples_are_part_of_the_question(tmp_path: Path, nano: Path) -> None:
    folder = write_archive(tmp_path / "in", 2)
    mask = np.zeros((88, 124), bool)
    mask[20:40, 30:70] = True
    order = order_for(tmp_path / "out", nano)
    questions = []
    for number, example in enumerate((mask, np.roll(mask, 3))):
        shown = Knowledge(examples=(Example(folder / "00.png", example),), label="organ")
        changed = replace(order, knowledge=shown)
        questions.append(changed.question(order.open())["references"])
        assert changed.absolute().knowledge.examples[0].image == folder / "00.png", number
    assert questions[0] != questions[1]
    assert order.question(order.open())["references"] is None


def test_folders_with_a_dicom_series_are_studies(tmp_path: Path, nano: Path) -> None:
    folder = write_archive(tmp_path / "in", 1)
    write_series(folder / "knee", VOLUME)
    (folder / "notes").mkdir()
    (folder / "notes" / "readme.txt").write_text("no image")
    out = folder / "masks"
    order = order_for(out, nano)
    report = segment_archive(folder, order, InProcess())
    assert report.failed == ()
    assert _masks(out) == ["00.png", "knee.nii.gz"]
    # Masks that lie inside the archive, in DICOM, are none of its studies.
    seg = replace(order, masks=MaskFolder(path=folder / "seg", format="dicom-seg"))
    again = segment_archive(folder, seg, InProcess())
    assert [path.name for path, _ in again.failed] == ["00.png"]
    assert pydicom.dcmread(folder / "seg" / "knee.dcm").Modality == "SEG"
    assert len(segment_archive(folder, seg, InProcess()).segmented) == 1
