"""Which files of a folder belong together: the series in it, by their headers alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pydicom
from pydicom.errors import BytesLengthException, InvalidDicomError

from medprism.core.errors import ImageReadError
from medprism.io.dicom_pixels import Dataset, num_frames, why_no_image
from medprism.io.foreign import decoding


@dataclass(frozen=True)
class SeriesFiles:
    """The files of one image: a series of single slices, or one file.

    `uid` is the SeriesInstanceUID, "" where the file has none or cannot be read; `number` the
    SeriesNumber, "" without one.
    """

    files: tuple[Path, ...]
    uid: str
    number: str


def group_series(files: Sequence[Path]) -> tuple[SeriesFiles, ...]:
    """Group DICOM files of one folder into images, in the order of their first files.

    Objects that are no images (segmentations, structure sets, reports) are left out. A file with
    several frames, and one that cannot be read, is an image of its own: reading it says what is
    wrong.
    """
    series: dict[str, list[Path]] = {}
    numbers: dict[str, str] = {}
    for path in files:
        key, number = str(path), ""
        header = _header(path)
        if header is not None and why_no_image(header) is not None:
            continue
        if header is not None:
            uid = str(header.get("SeriesInstanceUID") or "")
            number = str(header.get("SeriesNumber") or "")
            key = uid if uid and _is_single(header) else key
        series.setdefault(key, []).append(path)
        numbers.setdefault(key, number)
    return tuple(
        SeriesFiles(tuple(members), "" if key == str(members[0]) else key, numbers[key])
        for key, members in series.items()
    )


def _is_single(header: Dataset) -> bool:
    try:
        return num_frames(header) == 1
    except (ImageReadError, ValueError, TypeError):
        return False


def _header(path: Path) -> Dataset | None:
    try:
        with decoding("DICOM", InvalidDicomError, BytesLengthException, is_private=True):
            return pydicom.dcmread(path, force=True, stop_before_pixels=True)
    except ImageReadError:
        return None
