from __future__ import annotations

import shutil
from pathlib import Path

import cv2
import numpy as np
import pydicom

from medprism.io.reader import read_image
from medprism.project.discovery import Found, discover
from medprism.project.project import Project
from tests.io.dicom_scene import enhanced, series


def _picture(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), np.zeros((20, 31), np.uint8))


def test_content_decides_and_hidden_things_stay_hidden(tmp_path: Path) -> None:
    _picture(tmp_path / "b.png")
    (tmp_path / "b.png").rename(tmp_path / "b.dat")
    _picture(tmp_path / "a" / "c.png")
    _picture(tmp_path / ".trash" / "d.png")
    _picture(tmp_path / "left" / "e.png")
    (tmp_path / ".hidden.png").write_bytes((tmp_path / "b.dat").read_bytes())
    (tmp_path / "notes.txt").write_text("hello")
    (tmp_path / "coco.json").write_text('{"images": []}')
    found = discover(tmp_path, leave_out=tmp_path / "left")
    assert found == [Found("b.dat", "b.dat"), Found("a/c.png", "a/c.png")]


def test_links_that_lead_out_are_passed_over(tmp_path: Path) -> None:
    _picture(tmp_path / "secret" / "a.png")
    root = tmp_path / "root"
    _picture(root / "b.png")
    (root / "out.png").symlink_to(tmp_path / "secret" / "a.png")
    (root / "in.png").symlink_to(root / "b.png")
    (root / "folder").symlink_to(tmp_path / "secret")
    assert [one.path for one in discover(root)] == ["b.png", "in.png"]


def test_the_files_of_a_series_are_one_image(tmp_path: Path) -> None:
    whole = series(tmp_path)
    (found,) = discover(tmp_path)
    assert (found.name, found.path) == ("axial", "axial")
    again = read_image(tmp_path / found.path, found.part)
    assert np.array_equal(again.voxels, whole.voxels)


def test_two_series_in_a_folder_and_a_file_with_frames_are_told_apart(tmp_path: Path) -> None:
    series(tmp_path)
    series(tmp_path, "coronal")
    here, other = tmp_path / "axial", tmp_path / "coronal"
    enhanced(here / "many.dcm")
    for number, path in enumerate(sorted(other.iterdir())):
        dataset = pydicom.dcmread(path)
        dataset.SeriesInstanceUID, dataset.SeriesNumber = "1.2.840.99.7", 4
        dataset.save_as(here / f"other-{number}.dcm")
    shutil.rmtree(other)
    found = discover(tmp_path)
    assert [one.path for one in found].count("axial") == 2
    assert "axial/many.dcm" in [one.path for one in found]
    named = {one.name for one in found}
    assert "axial (4)" in named and len(named) == 3


def test_a_project_on_the_folder_of_a_series(tmp_path: Path) -> None:
    series(tmp_path)
    project = Project(tmp_path / "axial")
    (added,) = project.scan()
    assert added.path == "."
    assert read_image(project.images.path_of(added), added.part).num_slices > 1
    project.close()


def test_objects_that_are_no_images_are_left_out(tmp_path: Path) -> None:
    series(tmp_path)
    first = min((tmp_path / "axial").iterdir())
    dataset = pydicom.dcmread(first)
    dataset.Modality = "SEG"
    dataset.SeriesInstanceUID = "1.2.3"
    dataset.save_as(tmp_path / "axial" / "seg.dcm")
    (tmp_path / "axial" / "report.dcm").write_bytes(bytes(128) + b"DICM" + bytes(40))
    assert [one.path for one in discover(tmp_path)] == ["axial"]
