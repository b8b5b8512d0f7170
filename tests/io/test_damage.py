"""One good file of every format, damaged in hundreds of ways: an image, or one sentence.

Everything is read in a child with 5 s of processor time and 1 GB of memory a file.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import nibabel as nib
import numpy as np
import pydicom
import pytest
import SimpleITK

from medprism.io.reader import FORMATS, read_image
from medprism.io.writer import write_mask
from tests.io.damage import mutate
from tests.io.dicom_scene import enhanced
from tests.io.phantoms import bundled, labels, write_series
from tests.io.reading_child import ReadingChild
from tests.io.slides import JPEG, lend_encoders, pyramid, scene, write_svs
from tests.io.test_reader import VOLUME, samples

COUNT = 200
MANY = 2000


@dataclass(frozen=True)
class Specimen:
    """A good image of one or several files: which of them is damaged, which is read."""

    files: dict[str, bytes]
    damaged: str
    read: str
    like: str | None = None


def _pair(folder: Path) -> Specimen:
    nib.save(nib.Nifti1Pair(VOLUME, np.eye(4)), folder / "a.img")
    return _specimen(folder, "a.hdr", "a.hdr")


def _detached(suffix: str) -> Callable[[Path], Specimen]:
    def make(folder: Path) -> Specimen:
        SimpleITK.WriteImage(SimpleITK.GetImageFromArray(VOLUME), str(folder / f"a{suffix}"))
        return _specimen(folder, f"a{suffix}", f"a{suffix}")

    return make


def _series(folder: Path) -> Specimen:
    write_series(folder, np.abs(VOLUME).astype(np.uint16))
    return _specimen(folder, "im001.dcm", "")


def _mask(name: str, form: str) -> Callable[[Path], Specimen]:
    """Write a mask that refers to a series, and read it with the series at hand."""

    def make(folder: Path) -> Specimen:
        for path in write_series(folder, np.abs(VOLUME).astype(np.uint16)):
            dataset = pydicom.dcmread(path)
            dataset.StudyInstanceUID, dataset.FrameOfReferenceUID = "1.2.3", "1.2.9"
            dataset.save_as(path)
        write_mask(folder.parent / name, labels(VOLUME.shape), read_image(folder), format=form)
        series = {f"series/{path.name}": path.read_bytes() for path in folder.iterdir()}
        files = {name: (folder.parent / name).read_bytes(), **series}
        return Specimen(files, name, name, like="series")

    return make


def _slide(**options: object) -> Callable[[Path], Specimen]:
    def make(folder: Path) -> Specimen:
        with pytest.MonkeyPatch.context() as patch:
            lend_encoders(patch)
            write_svs(folder / "a.svs", pyramid(scene((90, 120))), **options)
        return _specimen(folder, "a.svs", "a.svs")

    return make


def _enhanced(folder: Path) -> Specimen:
    enhanced(folder / "a.dcm")
    return _specimen(folder, "a.dcm", "a.dcm")


def _pictures(folder: Path) -> Specimen:
    for number in range(3):
        (folder / f"slice{number}.png").write_bytes(samples()["colour.png"])
    return _specimen(folder, "slice1.png", "")


def _dicom(name: str) -> Callable[[Path], Specimen]:
    def make(folder: Path) -> Specimen:
        return Specimen({name: bundled(name).read_bytes()}, name, name)

    return make


def _specimen(folder: Path, damaged: str, read: str) -> Specimen:
    return Specimen({path.name: path.read_bytes() for path in folder.iterdir()}, damaged, read)


MADE: dict[str, Callable[[Path], Specimen]] = {
    "pair": _pair,
    "mhd": _detached(".mhd"),
    "nhdr": _detached(".nhdr"),
    "series": _series,
    "deflated": _dicom("image_dfl.dcm"),
    "JPEG baseline": _dicom("SC_rgb_small_odd_jpeg.dcm"),
    "DICOM-SEG": _mask("m.seg.dcm", "dicom-seg"),
    "label map": _mask("m.labelmap.dcm", "dicom-labelmap"),
    "RTSTRUCT": _mask("m.rtstruct.dcm", "rtstruct"),
    "COCO": _mask("m.json", "coco"),
    "slide": _slide(compression="zlib"),
    "JPEG slide": _slide(compression=JPEG),
    "enhanced": _enhanced,
    "JPEG-LS": _dicom("MR_small_jpeg_ls_lossless.dcm"),
    "pictures": _pictures,
}
NAMES = [*samples(), *MADE]


@cache
def specimen(name: str) -> Specimen:
    if name in samples():
        return Specimen({name: samples()[name]}, name, name)
    with tempfile.TemporaryDirectory() as folder:
        inner = Path(folder) / "inner"
        inner.mkdir()
        return MADE[name](inner)


@pytest.fixture(scope="module")
def child() -> Iterator[ReadingChild]:
    with ReadingChild() as started:
        yield started


def faults_of(
    child: ReadingChild, folder: Path, one: Specimen, numbers: range
) -> tuple[dict[int, str], int]:
    """Return what went wrong by the number of the mutation, and how many were refused."""
    for name, content in one.files.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_bytes(content)
    like = None if one.like is None else folder / one.like
    wanted = "Image" if like is None else "MaskFile"
    whole = child.read(folder / one.read, like)
    assert whole.fault is None and wanted in whole.said, whole
    faults, refused = {}, 0
    for number in numbers:
        (folder / one.damaged).write_bytes(mutate(one.files[one.damaged], number))
        verdict = child.read(folder / one.read, like)
        refused += wanted not in verdict.said
        if verdict.fault is not None:
            faults[number] = verdict.fault
    return faults, refused


@pytest.mark.parametrize("name", NAMES)
def test_damaged_files_are_an_image_or_one_sentence(
    child: ReadingChild, tmp_path: Path, name: str
) -> None:
    one = specimen(name)
    faults, refused = faults_of(child, tmp_path, one, range(COUNT))
    assert not faults
    assert refused > COUNT // 10


@pytest.mark.soak
@pytest.mark.timeout(7200)
@pytest.mark.parametrize("name", NAMES)
def test_many_damaged_files_are_an_image_or_one_sentence(
    child: ReadingChild, tmp_path: Path, name: str
) -> None:
    faults, refused = faults_of(child, tmp_path, specimen(name), range(MANY))
    assert not faults
    assert refused > MANY // 10


def test_no_format_is_left_out() -> None:
    covered = {"raster", "tiff", "nifti", "nrrd", "meta", "dicom", "dicom folder", "coco"}
    assert set(FORMATS) == {*covered, "picture folder"}


def test_the_child_sees_a_crash_a_hang_and_a_hunger(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("READING_CHILD_PLAYS_BAD", "1")
    monkeypatch.setattr("tests.io.reading_child.PATIENCE_SECONDS", 6.0)
    monkeypatch.setattr("tests.io.reading_child.SECONDS", 0.25)
    with ReadingChild() as child:
        said = {name: child.read(tmp_path / name).fault for name in ("crash", "hang", "hunger")}
        slow = child.read(tmp_path / "slow").fault
        odd = child.read(tmp_path / "odd").fault
    assert said["crash"] == "it ended the process"
    assert said["hang"] == "it hangs"
    assert str(said["hunger"]).startswith("it asks for more than")
    assert slow is not None and slow.startswith("it took")
    assert odd == "KeyError: 'odd'"
