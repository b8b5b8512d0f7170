from __future__ import annotations

import json
import time
import zipfile
from pathlib import Path

import numpy as np
import pytest

from medprism.core.errors import CancelledError, ConfigError, ConflictError, WriteError
from medprism.core.progress import SilentProgress
from medprism.io.deidentify import Deidentifier
from medprism.io.reader import read_mask
from medprism.project import export
from medprism.project.annotating import Desk, open_session, save_session
from medprism.project.export import EXPORT_FORMATS, export_all, export_image, mask_file_name
from medprism.project.masks import Accepting
from tests.inference.phantom import scene, volume
from tests.project.test_annotating import Notes


@pytest.fixture
def annotated(desk: Desk) -> Desk:
    """Return a desk with accepted masks on a picture and on the volume, and one log."""
    for image, masks in ((1, scene(0)[1]), (5, volume()[1])):
        entries = [
            Accepting(desk.project.labels.ensure(name), masks[name]) for name in ("liver", "polyp")
        ]
        desk.project.masks.accept(image, desk.shelf.get(image), entries, "Ada")
    session = open_session(desk, 2, "Ada").session
    session.add_point_interaction((30, 30), True, "liver")
    save_session(desk, session, 2, "Ada")
    return desk


@pytest.mark.parametrize("format", list(EXPORT_FORMATS))
def test_every_format_is_exported_and_what_cannot_be_is_named(
    annotated: Desk, tmp_path: Path, format: str
) -> None:
    target = tmp_path / "out.zip"
    result = export_all(
        annotated.project, annotated.shelf, format, target, with_logs=True, progress=Notes()
    )
    with zipfile.ZipFile(target) as archive:
        report = json.loads(archive.read("export.json"))
        names = archive.namelist()
        archive.extractall(tmp_path / "out")
    assert (report["format"], report["version"]) == ("medprism-export", 1)
    assert result["logs"] == 1
    assert "logs/000002-1.png.json" in names
    by_image = {one["image"]: one for one in report["images"]}
    assert {one["author"] for one in by_image[1]["accepted"]} == {"Ada"}
    for image, masks in ((1, scene(0)[1]), (5, volume()[1])):
        entry = by_image[image]
        if entry["mask"] is None:
            # DICOM formats need a DICOM image; a PNG holds one slice.
            assert format in ("dicom-seg", "dicom-labelmap", "rtstruct", "png")
            assert entry["message"] in [one["message"] for one in result["left_out"]]
            continue
        found = read_mask(tmp_path / "out" / entry["mask"], like=annotated.shelf.get(image))
        planes = found.to_labels()
        assert np.array_equal(planes["liver"], masks["liver"])
        assert np.array_equal(planes["polyp"], masks["polyp"])


def test_colours_go_with_the_masks(annotated: Desk, tmp_path: Path) -> None:
    liver = annotated.project.labels.named("liver")
    assert liver is not None
    annotated.project.labels.change(liver.id, colour=(9, 8, 7))
    image = annotated.project.images.get(1)
    export_image(annotated.project, annotated.shelf, image, "png", tmp_path / "a.png")
    found = read_mask(tmp_path / "a.png")
    numbers = {name: number for number, name in found.names.items()}
    assert found.colours[numbers["liver"]] == (9, 8, 7)


def test_a_cancelled_export_leaves_nothing(annotated: Desk, tmp_path: Path) -> None:
    with pytest.raises(CancelledError):
        export_all(
            annotated.project,
            annotated.shelf,
            "nifti",
            tmp_path / "out.zip",
            with_logs=True,
            progress=Notes(stop_after=1),
        )
    assert not (tmp_path / "out.zip").exists()
    assert [one.name for one in tmp_path.iterdir()] == ["images"]


def test_what_cannot_be_exported_is_one_sentence(annotated: Desk, tmp_path: Path) -> None:
    project, shelf = annotated.project, annotated.shelf
    with pytest.raises(ConflictError, match="accept one"):
        export_image(project, shelf, project.images.get(3), "nifti", tmp_path / "a.nii.gz")
    with pytest.raises(WriteError, match="there is no format 'docx'"):
        mask_file_name(project.images.get(1), "docx")
    with pytest.raises(WriteError, match="there is no format 'docx'"):
        export_all(
            project,
            shelf,
            "docx",
            tmp_path / "b.zip",
            with_logs=False,
            progress=SilentProgress(),
        )


def test_without_identity_neither_images_nor_people_are_named(
    annotated: Desk, tmp_path: Path
) -> None:
    target = tmp_path / "out.zip"
    result = export_all(
        annotated.project,
        annotated.shelf,
        "png",
        target,
        with_logs=False,
        progress=Notes(),
        deidentify=Deidentifier(),
    )
    with zipfile.ZipFile(target) as archive:
        report = json.loads(archive.read("export.json"))
        names = archive.namelist()
    assert sorted(names) == ["export.json", "masks/000001.png"]
    assert "Ada" not in str(report) and "scan" not in str(report)
    # Here it stays known which image a PNG cannot hold, and why.
    assert [one["name"] for one in result["left_out"]] == ["ct/scan.nii.gz"]
    assert report["images"][1]["message"].startswith("it has no mask in this format")
    with pytest.raises(ConfigError, match="an export without identity cannot hold it"):
        export_all(
            annotated.project,
            annotated.shelf,
            "png",
            target,
            with_logs=True,
            progress=Notes(),
            deidentify=Deidentifier(),
        )


def test_a_full_disk_is_no_mask_that_is_left_out(
    annotated: Desk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(path: Path, *_: object, **__: object) -> None:
        raise WriteError(f"cannot write {path}") from OSError(28, "No space left on device")

    monkeypatch.setattr(export, "write_mask", full)
    with pytest.raises(WriteError, match="cannot write"):
        export_all(
            annotated.project,
            annotated.shelf,
            "nifti",
            tmp_path / "out.zip",
            with_logs=False,
            progress=SilentProgress(),
        )
    assert [one.name for one in tmp_path.iterdir()] == ["images"]


def test_a_clock_before_1980_and_a_second_export_give_the_same_bytes(
    annotated: Desk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(time, "time", lambda: 0.0)
    monkeypatch.setattr(time, "localtime", lambda *_: time.struct_time((1970, 1, 1, *[0] * 6)))
    for name in ("a.zip", "b.zip"):
        export_all(
            annotated.project,
            annotated.shelf,
            "coco",
            tmp_path / name,
            with_logs=True,
            progress=SilentProgress(),
        )
    assert (tmp_path / "a.zip").read_bytes() == (tmp_path / "b.zip").read_bytes()
