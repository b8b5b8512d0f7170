from __future__ import annotations

import os
import threading
from pathlib import Path

import cv2
import nibabel as nib
import numpy as np
import pytest

from medprism.core.errors import (
    CancelledError,
    ImageReadError,
    LabelError,
    PromptError,
    WriteError,
)
from medprism.core.image import Image
from medprism.inference.archive import list_images, segment_file, segment_folder
from medprism.inference.knowledge import Knowledge, PointMark
from medprism.inference.outputs import Outputs
from medprism.inference.session import Session
from medprism.io.reader import read_image, read_mask
from medprism.metrics.dice import dice
from tests.inference.fake_segmenter import fake_model
from tests.inference.phantom import scene, volume

LIVER = Knowledge(classes=("liver",))


def _write(path: Path, number: int = 0) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), scene(number)[0])
    return path


def _session() -> Session:
    return Session(fake_model(), auto_zoom=False)


class _Notes:
    """A progress in memory that may cancel after some reports."""

    def __init__(self, stop_after: int = 99) -> None:
        self.stop_after = stop_after
        self.said: list[tuple[int, int, str]] = []

    def report(self, done: int, total: int, message: str = "") -> None:
        self.said.append((done, total, message))

    def is_cancelled(self) -> bool:
        return len(self.said) >= self.stop_after


def test_a_file_is_segmented_and_measured(tmp_path: Path) -> None:
    image = _write(tmp_path / "a.png")
    found = segment_file(_session(), image, LIVER, Outputs(mask=tmp_path / "m.png"))
    assert (found.image, found.mask) == (image, tmp_path / "m.png")
    assert found.milliseconds > 0
    assert [row.label for row in found.labels] == ["liver"]
    assert dice(read_mask(tmp_path / "m.png").array > 0, scene()[1]["liver"]) > 0.8


def test_a_folder_keeps_each_images_own_format_and_grid(tmp_path: Path) -> None:
    folder, out = tmp_path / "in", tmp_path / "new" / "out"
    _write(folder / "a.png", 1)
    _write(folder / "b.v2.JPG", 2)
    affine = np.diag([0.5, 0.6, 3.0, 1.0])
    nib.save(nib.Nifti1Image(volume()[0].transpose(2, 1, 0), affine), folder / "c.nii.gz")
    for ignored in (".hidden.png", "table.csv", "dataset.json"):
        (folder / ignored).touch()
    (folder / "masks").mkdir()
    notes = _Notes()
    report = segment_folder(_session(), folder, LIVER, out, notes)
    assert [one.mask.name for one in report.segmented] == ["a.png", "b.v2.png", "c.nii.gz"]
    assert report.failed == ()
    assert notes.said == [(1, 3, "a.png"), (2, 3, "b.v2.JPG"), (3, 3, "c.nii.gz")]
    assert np.allclose(nib.load(out / "c.nii.gz").affine, affine)
    assert sorted(path.name for path in out.iterdir()) == ["a.png", "b.v2.png", "c.nii.gz"]


def test_masks_of_volumes_may_be_folders_of_pngs(tmp_path: Path) -> None:
    folder, out = tmp_path / "in", tmp_path / "out"
    _write(folder / "a.png", 1)
    nib.save(nib.Nifti1Image(volume()[0].transpose(2, 1, 0), np.eye(4)), folder / "c.nii.gz")
    for _ in range(2):
        report = segment_folder(_session(), folder, LIVER, out, format="png-stack")
        assert report.failed == ()
    assert sorted(path.name for path in out.iterdir()) == ["a.pngs", "c.pngs"]
    depth = len(volume()[0])
    names = [f"slice_{number:04d}.png" for number in range(depth)]
    assert sorted(path.name for path in (out / "c.pngs").iterdir()) == names
    image = read_image(folder / "c.nii.gz")
    assert dice(read_mask(out / "c.pngs", image).array > 0, volume()[1]["liver"]) > 0.8
    (out / "c.pngs" / "notes.txt").touch()
    with pytest.raises(WriteError, match=r"c\.pngs holds notes\.txt"):
        segment_folder(_session(), folder, LIVER, out, format="png-stack")
    assert (out / "c.pngs" / "notes.txt").exists()


def test_bad_files_are_left_out_with_the_reason(tmp_path: Path) -> None:
    for number, name in enumerate(("a.png", "d.png")):
        _write(tmp_path / "in" / name, number)
    (tmp_path / "in" / "b.png").touch()
    (tmp_path / "in" / "c.nii.gz").write_bytes(b"\x1f\x8b nothing")
    report = segment_folder(_session(), tmp_path / "in", LIVER, tmp_path / "out")
    assert [one.image.name for one in report.segmented] == ["a.png", "d.png"]
    assert [path.name for path, _ in report.failed] == ["b.png", "c.nii.gz"]
    assert "it is empty" in report.failed[0][1]
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["a.png", "d.png"]


def test_a_full_disk_ends_the_run_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("a.png", "b.png"):
        _write(tmp_path / "in" / name)

    def refuse(_: int) -> None:
        raise OSError(28, "No space left on device")

    (tmp_path / "out").mkdir()
    monkeypatch.setattr(os, "fsync", refuse)
    with pytest.raises(WriteError, match=r"a\.png.*No space left"):
        segment_folder(_session(), tmp_path / "in", LIVER, tmp_path / "out")
    assert not list((tmp_path / "out").iterdir())


def test_a_cancelled_run_keeps_what_was_written(tmp_path: Path) -> None:
    for name in ("a.png", "b.png", "c.png"):
        _write(tmp_path / "in" / name)
    with pytest.raises(CancelledError, match=r"stopped before c\.png"):
        segment_folder(_session(), tmp_path / "in", LIVER, tmp_path / "out", _Notes(stop_after=2))
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["a.png", "b.png"]


def test_what_cannot_work_for_any_image_is_refused_before_the_first(tmp_path: Path) -> None:
    folder, out = tmp_path / "in", tmp_path / "out"
    _write(folder / "a.png")
    with pytest.raises(PromptError, match="belong to one image"):
        segment_folder(_session(), folder, Knowledge(clicks=(PointMark((1, 1), True),)), out)
    with pytest.raises(LabelError, match="unknown class"):
        segment_folder(_session(), folder, Knowledge(classes=("lver",)), out)
    with pytest.raises(WriteError, match="choose another output folder"):
        segment_folder(_session(), folder, LIVER, folder)
    with pytest.raises(WriteError, match="cannot make the folder"):
        segment_folder(_session(), folder, LIVER, folder / "a.png" / "out")
    assert [path.name for path in folder.iterdir()] == ["a.png"]


def test_folders_without_images_or_with_twins_are_refused(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(ImageReadError, match="holds no image file"):
        list_images(tmp_path / "empty")
    _write(tmp_path / "twins" / "a.png")
    _write(tmp_path / "twins" / "a.jpg")
    with pytest.raises(ImageReadError, match=r"a\.jpg and a\.png .* would share a name"):
        list_images(tmp_path / "twins")


def test_the_next_image_is_read_while_one_is_segmented(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(3):
        _write(tmp_path / "in" / f"{number}.png", number)
    read = {f"{number}.png": threading.Event() for number in range(3)}

    def note(path: Path) -> Image:
        image = read_image(path)
        read[path.name].set()
        return image

    session = _session()
    ahead: list[bool] = []
    open_image = session.set_image

    def wait_for_the_next(image: Image) -> None:
        following = f"{len(ahead) + 1}.png"
        ahead.append(following not in read or read[following].wait(20))
        open_image(image)

    monkeypatch.setattr("medprism.inference.archive.read_image", note)
    monkeypatch.setattr(session, "set_image", wait_for_the_next)
    report = segment_folder(session, tmp_path / "in", LIVER, tmp_path / "out")
    assert (len(report.segmented), ahead) == (3, [True, True, True])
