from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import highdicom
import numpy as np
import pydicom
import pytest
from dicomanonymizer.dicomfields_selector import dicom_anonymization_database_selector
from pydicom.datadict import dictionary_VR, keyword_for_tag
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence

from medprism.core.errors import ConfigError
from medprism.core.image import Image
from medprism.core.labels import Labels
from medprism.io.deidentify import Deidentifier, action_of
from medprism.io.reader import read_image, read_mask
from medprism.io.writer import write_mask
from tests.io.dicom_scene import LABELS, VOLUME
from tests.io.phantoms import write_series

TABLE = dicom_anonymization_database_selector("dicomfields_2026c")["ALL_TAGS"]
# What each kind of element says about the person; nothing else in the tests has these values.
ROOT = "1.2.826.0.1.3680043.77"
MARKS: dict[str, Any] = {
    **dict.fromkeys(("AE", "LO", "LT", "PN", "SH", "ST", "UC", "UT"), "Zeltner"),
    **{"CS": "ZELTNER", "UR": "http://zeltner.example", "AS": "061Y"},
    **{"DA": "19520317", "TM": "093117", "DT": "19520317093117"},
    **dict.fromkeys(("OB", "UN"), b"Zeltner."),
    **dict.fromkeys(("DS", "IS"), "987654"),
    **dict.fromkeys(("FD", "FL", "SL", "SS", "UL", "US", "SV", "UV"), 31417),
}
TELLING = ("zeltner", ROOT, "061Y", "19520317", "093117", "987654", "31417")
NAMES = {
    "dicom-seg": "m.dcm",
    "dicom-labelmap": "m.labelmap.dcm",
    "rtstruct": "m.rtstruct.dcm",
}
FORMATS = tuple(NAMES)
KEY = b"a key of the tests...."


def _mark(dataset: Dataset, number: int) -> None:
    """Fill in every attribute of the table, and a private one."""
    for group, element, *repeating in TABLE:
        tag = (group << 16) + element
        keyword = keyword_for_tag(tag)
        if not keyword or repeating or group <= 0x0002:
            continue
        kind = dictionary_VR(tag)[:2]
        if kind == "SQ":
            item = Dataset()
            item.PatientName, item.PersonName = "Zeltner", "Zeltner"
            item.ReferencedSOPInstanceUID = f"{ROOT}.8"
            value: Any = Sequence([item])
        elif kind == "UI":
            value = f"{ROOT}.{group}.{element}"
        else:
            value = MARKS[kind]
        setattr(dataset, keyword, value)
    dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = f"{ROOT}.1.{number}"
    dataset.PatientSex = "F"
    # Several values of one attribute, and what must not be taken for pixels.
    dataset.IrradiationEventUID = [f"{ROOT}.2", f"{ROOT}.3"]
    dataset.private_block(0x0099, "ZELTNER", create=True).add_new(1, "LO", "Zeltner")


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Image:
    """A CT series whose headers say everything about a person that the table knows."""
    folder = tmp_path_factory.mktemp("told") / "zeltner"
    for number, path in enumerate(write_series(folder, VOLUME)):
        dataset = pydicom.dcmread(path)
        _mark(dataset, number)
        dataset.save_as(path)
    return read_image(folder)


def _elements(dataset: Dataset) -> Iterator[pydicom.DataElement]:
    for element in dataset:
        if element.VR == "SQ":
            for item in element.value:
                yield from _elements(item)
        else:
            yield element
    meta = getattr(dataset, "file_meta", None)
    if meta is not None:
        yield from meta


def _told(dataset: Dataset) -> set[str]:
    """Return the keywords of elements that tell who it is."""
    return {
        element.keyword or str(element.tag)
        for element in _elements(dataset)
        if element.keyword != "PixelData"
        and any(mark.casefold() in str(element.value).casefold() for mark in _marks(element))
    }


def _marks(element: pydicom.DataElement) -> tuple[str, ...]:
    """Return what would tell; a new identifier may hold any five digits by chance."""
    return (ROOT,) if element.VR == "UI" else TELLING


def _written(tmp_path: Path, image: Image, format: str, key: bytes | None = KEY) -> Path:
    path = tmp_path / NAMES[format]
    hide = None if key is None else Deidentifier(key)
    write_mask(path, LABELS, image, format=format, priority=("left lung",), deidentify=hide)
    return path


@pytest.mark.parametrize("format", FORMATS)
def test_nothing_that_the_profile_names_gets_out(tmp_path: Path, image: Image, format: str) -> None:
    open_one = pydicom.dcmread(_written(tmp_path, image, format, None))
    told = _told(open_one)
    assert {"PatientName", "PatientID", "PatientBirthDate", "StudyDate", "StudyTime"} <= told
    assert {"StudyID", "AccessionNumber", "ReferringPhysicianName"} <= told
    assert {"StudyInstanceUID", "FrameOfReferenceUID", "ReferencedSOPInstanceUID"} <= told
    path = _written(tmp_path, image, format)
    hidden = pydicom.dcmread(path)
    assert _told(hidden) == set()
    assert b"eltner" not in path.read_bytes()
    assert not any(element.tag.is_private for element in _elements(hidden))
    for element in _elements(hidden):
        action = action_of(int(element.tag))
        assert action != "remove", element
        assert action != "dummy" or str(element.value), "an object may need it"
    assert str(hidden.PatientSex or "") == ""
    assert hidden.PatientIdentityRemoved == "YES"
    assert hidden.LongitudinalTemporalInformationModified == "REMOVED"
    (method,) = hidden.DeidentificationMethodCodeSequence
    assert (method.CodeValue, method.CodingSchemeDesignator) == ("113100", "DCM")
    assert len(hidden.DeidentificationMethod) <= 64


@pytest.mark.parametrize("format", FORMATS)
def test_the_masks_are_the_same_and_still_readable(
    tmp_path: Path, image: Image, format: str
) -> None:
    expected = read_mask(_written(tmp_path, image, format, None), image).to_labels()
    found = read_mask(_written(tmp_path, image, format), image).to_labels()
    if format == "rtstruct":
        # Names of regions are in the table; those that are structures name nobody.
        kept = [name if name == "left lung" else "region" for name in expected.names]
        assert [name.rstrip(" 0123456789") for name in found.names] == kept
    else:
        assert found.names == expected.names
        assert highdicom.seg.segread(tmp_path / NAMES[format]).segment_numbers
    for (_, plane), (_, other) in zip(found, expected, strict=True):
        np.testing.assert_array_equal(plane, other)


def test_references_of_one_run_fit_one_another(tmp_path: Path, image: Image) -> None:
    seg = pydicom.dcmread(_written(tmp_path, image, "dicom-seg"))
    contours = pydicom.dcmread(_written(tmp_path, image, "rtstruct"))
    for name in ("StudyInstanceUID", "FrameOfReferenceUID", "PatientID", "PatientName"):
        assert str(seg[name].value) == str(contours[name].value) != ""
    hidden, folder = Deidentifier(KEY), image.source
    assert folder is not None
    slices = {hidden.uid(pydicom.dcmread(path).SOPInstanceUID) for path in folder.iterdir()}
    for written in (seg, contours):
        referred = {
            str(element.value)
            for element in _elements(written)
            if element.keyword == "ReferencedSOPInstanceUID"
        }
        study = {hidden.uid(pydicom.dcmread(next(folder.iterdir())).StudyInstanceUID)}
        assert referred & slices and referred <= slices | study
        assert written.file_meta.MediaStorageSOPInstanceUID == written.SOPInstanceUID
        assert all(uid.startswith("2.25.") and len(uid) <= 64 for uid in referred)
    (frame,) = contours.ReferencedFrameOfReferenceSequence
    assert frame.FrameOfReferenceUID == seg.FrameOfReferenceUID
    other = pydicom.dcmread(_written(tmp_path, image, "dicom-seg", b"another key of the tests"))
    assert other.StudyInstanceUID != seg.StudyInstanceUID
    assert other.PatientID != seg.PatientID


def test_without_a_key_no_two_runs_agree() -> None:
    assert Deidentifier().uid("1.2.3") != Deidentifier().uid("1.2.3")
    assert "key" not in repr(Deidentifier(KEY))
    with pytest.raises(ConfigError, match="8 bytes can be guessed"):
        Deidentifier(b"too easy")


def test_coco_does_not_name_the_file(tmp_path: Path, image: Image) -> None:
    one = Labels({"liver": LABELS["left lung"]})
    for hide, name in ((None, "zeltner"), (Deidentifier(KEY), "image")):
        write_mask(tmp_path / "m.json", one, image, deidentify=hide)
        document = json.loads((tmp_path / "m.json").read_text())
        assert {entry["file_name"] for entry in document["images"]} == {name}


@pytest.mark.parametrize("format", ["nifti", "nrrd", "mha", "tiff", "png-stack"])
def test_other_formats_say_nothing_about_the_person_anyway(
    tmp_path: Path, image: Image, format: str
) -> None:
    suffix = {"nifti": ".nii", "nrrd": ".nrrd", "mha": ".mha", "tiff": ".tif"}.get(format, ".pngs")
    path = tmp_path / f"m{suffix}"
    write_mask(path, LABELS, image)
    files = sorted(path.iterdir()) if path.is_dir() else [path]
    for file in files:
        assert not any(mark.encode() in file.read_bytes() for mark in ("eltner", ROOT))


def test_every_row_of_the_table_has_an_action() -> None:
    for group, element, *_ in TABLE:
        assert action_of((group << 16) + element) is not None
    # Repeating groups: overlays and curves of any number.
    assert action_of(0x60023000) == action_of(0x60044000) == action_of(0x50021234) == "remove"
    assert action_of(0x60020010) is None
