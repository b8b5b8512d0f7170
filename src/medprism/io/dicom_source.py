"""The DICOM files that an image was read from, for masks that refer to them."""

from __future__ import annotations

import logging
import re
from pathlib import Path
from typing import Final

from medprism.core.errors import GeometryError, ImageReadError, WriteError
from medprism.core.image import Image
from medprism.io.dicom import SourceSlices, holds_dicom, read_dicom_slices
from medprism.io.dicom_pixels import Dataset
from medprism.io.recognise import recognise

_NEEDED: Final = ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID", "SOPClassUID")
# Elements that every object must have though they may be empty; what is missing stays empty.
_PATIENT: Final = ("PatientName", "PatientID", "PatientBirthDate", "PatientSex")
_STUDY: Final = ("StudyDate", "StudyTime", "ReferringPhysicianName", "StudyID", "AccessionNumber")
_SEXES: Final = ("M", "F", "O")
# Forms of dates and times in the standard; writers refuse all others.
_TIMES: Final = {
    "StudyDate": r"\d{8}",
    "PatientBirthDate": r"\d{8}",
    "StudyTime": r"\d{2}(\d{2}(\d{2}(\.\d{1,6})?)?)?",
}

_log = logging.getLogger(__name__)


def source_of(image: Image, kind: str) -> SourceSlices:
    """Return the headers of the DICOM files of an image, slice by slice.

    Patient and study elements that must be there but may be empty are filled in; a date or time
    that is none is emptied.

    Args:
        image: an image that was read from DICOM.
        kind: the format that wants to refer to it, for messages.

    Raises:
        WriteError: the image does not come from DICOM, its files are gone, or they lack a UID.
        GeometryError: the files lie on another grid than the image by now.
    """
    path = _dicom_path(image, kind)
    try:
        source = read_dicom_slices(path, image.part)
    except ImageReadError as error:
        raise WriteError(
            f"{kind} refers to the DICOM files of its image, and {path} cannot be read again "
            f"({error}); put them back, or write .nii.gz"
        ) from error
    if not source.geometry.matches(image.geometry):
        raise GeometryError(
            f"{kind} refers to the DICOM files of its image, but {path} now lies on "
            f"{source.geometry.describe()} and the image on {image.geometry.describe()}; "
            "read the image again"
        )
    emptied: set[str] = set()
    for header in source.headers:
        missing = [name for name in _NEEDED if not header.get(name)]
        if missing:
            raise WriteError(
                f"{kind} refers to the DICOM files of its image, and one in {path} has no "
                f"{' and no '.join(missing)}; write .nii.gz, or have it exported again"
            )
        emptied.update(_fill(header))
    if emptied:
        # What stands there instead may name somebody, so it is not quoted.
        _log.warning("%s: no date or time, and left empty in the mask", ", ".join(sorted(emptied)))
    return source


def _dicom_path(image: Image, kind: str) -> Path:
    path = image.source
    if path is None:
        found = "an array without a file"
    elif not path.exists():
        found = f"{path}, which is gone"
    else:
        found = _not_dicom(path)
    if path is None or found:
        raise WriteError(
            f"{kind} refers to the DICOM files of its image, and the image is {found}; choose a "
            "format that stands alone (.nii.gz, .nrrd, .png), or begin with the DICOM files"
        )
    return path


def _not_dicom(path: Path) -> str:
    if path.is_dir():
        return "" if holds_dicom(path) else f"{path}, a folder without DICOM files"
    try:
        return "" if recognise(path) == "dicom" else f"{path.name}, which is not DICOM"
    except ImageReadError as error:
        return f"{path.name} ({error})"


def _fill(header: Dataset) -> list[str]:
    """Make a header one that writers take; return which dates and times were none."""
    for name in (*_PATIENT, *_STUDY):
        if name not in header:
            setattr(header, name, None)
    if header.PatientSex not in _SEXES:
        header.PatientSex = None
    wrong = [
        name
        for name, form in _TIMES.items()
        if header.get(name) and re.fullmatch(form, str(header.get(name))) is None
    ]
    for name in wrong:
        setattr(header, name, None)
    return wrong
