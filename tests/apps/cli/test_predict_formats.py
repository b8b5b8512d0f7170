"""Masks in every format from the command line, and one of several series."""

from __future__ import annotations

from pathlib import Path

import cv2
import nibabel as nib
import numpy as np
import pydicom
import pytest

from medprism.io.reader import read_image, read_mask
from tests.apps.conftest import Command
from tests.inference.phantom import SHAPE, scene
from tests.io.phantoms import ct_slice, write_series

FORMATS = {
    "m.nii.gz": None,
    "m.nrrd": None,
    "m.mha": None,
    "m.tif": None,
    "m.pngs": None,
    "m.dcm": None,
    "m.labelmap.dcm": None,
    "m.rtstruct.dcm": None,
    "m.json": None,
    "map.dcm": "dicom-labelmap",
    "contours.dcm": "rtstruct",
}


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with a series of three slices, and another one of two."""
    folder = tmp_path_factory.mktemp("study") / "ct"
    volume = np.stack([scene(number)[0] for number in range(3)]).astype(np.uint16)
    write_series(folder, volume, series="1.2.3")
    for number in range(2):
        other = ct_slice(volume[number], (0.0, 0.0, 4.0 * number), series="1.2.4")
        other.SeriesNumber, other.SeriesDescription = 7, "late phase"
        other.save_as(folder / f"late{number}.dcm")
    return folder


@pytest.mark.parametrize("name", FORMATS)
def test_the_chosen_series_is_masked_in_every_format(
    medprism: Command, nano: Path, study: Path, tmp_path: Path, name: str
) -> None:
    chosen = FORMATS[name]
    out = tmp_path / name
    ended = medprism(
        *("predict", study, "-o", out, "--model", nano, "--classes", "hook,flag", "--json"),
        *("--series", "7", *(() if chosen is None else ("--format", chosen))),
    )
    assert ended.status == 0, ended.err
    found = read_mask(out, read_image(study, "1.2.4"))
    assert found.array.shape == (2, *SHAPE)
    assert dict(found.names) == {1: "hook", 2: "flag"}
    for row in ended.json()["segmented"][0]["labels"]:
        plane = found.covered.get(row["number"], found.array == row["number"])
        assert plane.sum() == row["voxels"] - row["overlapped"]
    if name.endswith(".dcm"):
        is_contours = "rtstruct" in (name, chosen) or "rtstruct" in name
        assert pydicom.dcmread(out).Modality == ("RTSTRUCT" if is_contours else "SEG")


def test_several_series_are_listed(
    medprism: Command, nano: Path, study: Path, tmp_path: Path
) -> None:
    ended = medprism(
        "predict", study, "-o", tmp_path / "m.nii.gz", "--model", nano, "--classes", "hook"
    )
    assert ended.status == 2
    assert "2 series; choose one by its uid or its number, with --series" in ended.err
    assert "1.2.3 (thorax, 3 files)" in ended.err
    assert "1.2.4 (number 7, late phase, 2 files)" in ended.err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (
            ("-o", "m.rtstruct.dcm"),
            "RTSTRUCT refers to the DICOM files of its image, and the image",
        ),
        (("-o", "m.dcm"), "picture.png, which is not DICOM; choose a format that stands alone"),
        (("-o", "m.png", "--format", "coco"), "m.png as coco; let its name end in .json"),
        (("-o", "m.png", "--format", "dicom"), "there is no format 'dicom'; choose png, tiff"),
        (("-o", "m.png", "--series", "7"), "so there is no part '7'"),
    ],
)
def test_what_does_not_fit_is_refused_before_any_work(
    medprism: Command,
    nano: Path,
    picture: Path,
    monkeypatch: pytest.MonkeyPatch,
    arguments: tuple[str, ...],
    said: str,
) -> None:
    monkeypatch.chdir(picture.parent)
    ended = medprism("predict", picture, "--model", nano, "--classes", "hook", *arguments)
    assert ended.status == 2
    assert said in ended.err
    assert len(ended.err.splitlines()) == 1
    assert [entry.name for entry in picture.parent.iterdir()] == ["picture.png"]


def test_a_folder_of_dicom_files_gets_masks_of_one_format(
    medprism: Command, nano: Path, picture: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    for number in range(2):
        pixels = scene(number)[0].astype(np.uint16)
        ct_slice(pixels, (1.0, 2.0, 3.0 * number)).save_as(folder / f"s{number}.dcm")
    (folder / "photo.png").write_bytes(picture.read_bytes())
    ended = medprism(
        *("predict", folder, "-o", tmp_path / "out", "--model", nano, "--classes", "hook"),
        *("--format", "rtstruct"),
    )
    assert ended.status == 2
    assert "left out photo.png: RTSTRUCT refers to the DICOM files" in ended.err
    names = sorted(path.name for path in (tmp_path / "out").iterdir())
    assert names == ["s0.rtstruct.dcm", "s1.rtstruct.dcm"]
    for number in range(2):
        image = read_image(folder / f"s{number}.dcm")
        mask = read_mask(tmp_path / "out" / f"s{number}.rtstruct.dcm", image)
        assert dict(mask.names) == {1: "hook"}
    ended = medprism(
        *("predict", folder, "-o", tmp_path / "out", "--model", nano, "--classes", "hook"),
        *("--series", "7"),
    )
    assert ended.status == 2
    assert "name a file, such as mask.nii.gz" in ended.err


def test_a_folder_of_numbered_pictures_is_a_volume(
    medprism: Command, nano: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "stack"
    folder.mkdir()
    for number in range(3):
        assert cv2.imwrite(str(folder / f"z{number + 9}.png"), scene(number)[0])
    ended = medprism(
        *("predict", folder, "-o", tmp_path / "m.tif", "--model", nano, "--label", "cyst"),
        *("--click", "1,30,40,+"),
    )
    assert ended.status == 0, ended.err
    found = read_mask(tmp_path / "m.tif", read_image(folder))
    assert found.array.shape == (3, *SHAPE)
    assert not found.array[[0, 2]].any()


def test_one_volume_of_several_is_chosen_by_its_number(
    medprism: Command, nano: Path, tmp_path: Path
) -> None:
    volumes = np.stack([np.stack([scene(n + k)[0] for n in range(2)]) for k in range(3)])
    nib.save(nib.Nifti1Image(volumes.transpose(3, 2, 1, 0), np.eye(4)), tmp_path / "row.nii.gz")
    command = ("predict", tmp_path / "row.nii.gz", "--model", nano, "--classes", "hook")
    ended = medprism(*command, "-o", tmp_path / "m.nii.gz")
    assert ended.status == 2
    assert "it holds 3 volumes and one is needed; choose it with --series 0 to 2" in ended.err
    ended = medprism(*command, "-o", tmp_path / "m.nii.gz", "--series", "2")
    assert ended.status == 0, ended.err
    alone = tmp_path / "alone.nii.gz"
    nib.save(nib.Nifti1Image(volumes[2].transpose(2, 1, 0), np.eye(4)), alone)
    ended = medprism("predict", alone, *command[2:], "-o", tmp_path / "n.nii.gz")
    assert ended.status == 0, ended.err
    found, expected = (read_mask(tmp_path / name).array for name in ("m.nii.gz", "n.nii.gz"))
    np.testing.assert_array_equal(found, expected)


def test_masks_do_not_say_who_it_is_when_that_is_asked(
    medprism: Command,
    nano: Path,
    study: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("MEDPRISM_DEIDENTIFY_KEY", "sixteen letters.")
    said = ("predict", study, "--series", "7", "--model", nano, "--classes", "hook")
    one, two = tmp_path / "m.dcm", tmp_path / "m.rtstruct.dcm"
    assert medprism(*said, "-o", one, "--deidentify").status == 0
    assert medprism(*said, "-o", two, "--deidentify").status == 0
    written = [pydicom.dcmread(path) for path in (one, two)]
    assert {one.PatientIdentityRemoved for one in written} == {"YES"}
    assert len({str(one.PatientID) for one in written}) == 1
    assert len({one.StudyInstanceUID for one in written}) == 1
    for path in (one, two):
        assert "Müller".encode() not in path.read_bytes()
        assert pydicom.dcmread(path).StudyInstanceUID.startswith("2.25.")
    monkeypatch.setenv("MEDPRISM_DEIDENTIFY_KEY", "short")
    refused = medprism(*said, "-o", one, "--deidentify")
    assert refused.status == 2
    assert "a key of 5 bytes can be guessed" in refused.err


def test_masks_of_a_folder_do_not_say_it_either(
    medprism: Command, nano: Path, tmp_path: Path
) -> None:
    (tmp_path / "in").mkdir()
    for number in range(2):
        picture = scene(number)[0].astype(np.uint16)
        ct_slice(picture, (0.0, 0.0, 0.0)).save_as(tmp_path / "in" / f"{number}.dcm")
    said = ("predict", tmp_path / "in", "-o", tmp_path / "out", "--model", nano)
    ended = medprism(*said, "--classes", "hook", "--format", "dicom-seg", "--deidentify")
    assert ended.status == 0, ended.err
    written = [pydicom.dcmread(path) for path in sorted((tmp_path / "out").iterdir())]
    assert len(written) == 2
    # One patient and one study remain one.
    assert len({str(one.PatientID) for one in written}) == 1
    assert len({one.StudyInstanceUID for one in written}) == 1
    assert str(written[0].PatientID).startswith("ANON-")
