"""DICOM: one object, or a folder that holds the slices of a series."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from pydicom.errors import BytesLengthException, InvalidDicomError

from medprism.core.errors import ImageReadError
from medprism.core.geometry import Geometry
from medprism.core.image import Image
from medprism.io.dicom_grid import Plane, plane_of, slice_tilt, stack_geometry, stack_order
from medprism.io.dicom_object import read_object
from medprism.io.dicom_pixels import Dataset, Frames, frames_of, num_frames, why_no_image
from medprism.io.foreign import decoding
from medprism.io.isolated_decoder import IsolatedDecoder
from medprism.io.recognise import is_dicom

_DIRECTORY_UID: Final = "1.2.840.10008.1.3.10"
_LISTED: Final = 12
# Degrees; what rounded positions make of straight slices stays below.
_NAMED_TILT: Final = 0.5

_log = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class _Member:
    """One file of a folder: its header, without pixels."""

    path: Path
    header: Dataset

    @property
    def series(self) -> str:
        return str(self.header.get("SeriesInstanceUID", "")) or "(no uid)"

    @property
    def number(self) -> str:
        return str(self.header.get("SeriesNumber") or "")

    @property
    def about(self) -> str:
        number = f"number {self.number}, " if self.number else ""
        return f"{number}{self.header.get('SeriesDescription') or 'no description'}"


@dataclass(frozen=True, eq=False)
class SourceSlices:
    """Where each slice of an image comes from, without pixels.

    `headers` and `frames` (from 0) have one entry a slice; the slices of a multi-frame object share
    one header.
    """

    headers: tuple[Dataset, ...]
    frames: tuple[int, ...]
    planes: tuple[Plane, ...]
    geometry: Geometry


@decoding("DICOM", InvalidDicomError, BytesLengthException, is_private=True)
def read_dicom(path: Path) -> Image:
    """Read one object: a slice, a picture, or all frames of an enhanced or multi-frame object.

    Intensities carry the modality's scale (Hounsfield units for CT). Frames without a position
    (films) become slices of a volume that knows no spacing.

    Raises:
        ImageReadError: damaged, no image, an unknown compression, or frames that form no grid.
    """
    with _decoding(), IsolatedDecoder() as decoder:
        dataset = read_object(path)
        reason = why_no_image(dataset)
        if reason is not None:
            raise ImageReadError(reason)
        order, planes = _frames_in_order(dataset)
        frames = frames_of(dataset, decoder)
    return _image(frames[order], planes, dataset)


@decoding("DICOM", InvalidDicomError, BytesLengthException, is_private=True)
def read_dicom_folder(folder: Path, part: str | None = None) -> Image:
    """Read the series in a folder (not in its subfolders), slices sorted along their normal.

    Files that are not DICOM, and objects without pixels, are passed over.

    Args:
        folder: the folder.
        part: the SeriesInstanceUID or the SeriesNumber, needed where the folder holds several
            series.

    Raises:
        ImageReadError: no series, several and no `part`, or slices that form no grid.
    """
    members = _choose_series(_members(folder), part)
    if len(members) == 1:
        return read_dicom(members[0].path)
    order, planes = _in_order(members)
    with IsolatedDecoder() as decoder:
        stack = [_slice(members[index].path, decoder) for index in order]
    return _image(np.concatenate(stack), planes, members[0].header)


@decoding("DICOM", InvalidDicomError, BytesLengthException, is_private=True)
def read_dicom_slices(path: Path, part: str | None = None) -> SourceSlices:
    """Read the headers alone of what `read_dicom` or `read_dicom_folder` would read, in order.

    Raises:
        ImageReadError: as these two.
    """
    members = _choose_series(_members(path), part) if path.is_dir() else [_member(path)]
    if len(members) > 1:
        order, planes = _in_order(members)
        headers = [members[index].header for index in order]
        frames = [0] * len(order)
    else:
        header = members[0].header
        with _decoding():
            frames, planes = _frames_in_order(header)
        headers = [header] * len(frames)
    shape = _shape(members[0])
    geometry = stack_geometry(planes, shape[0], shape[1])
    return SourceSlices(tuple(headers), tuple(frames), tuple(planes), geometry)


def holds_dicom(folder: Path) -> bool:
    """Say whether any file directly inside a folder is DICOM."""
    with decoding("a folder"):
        return any(_begins_as_dicom(entry) for entry in folder.iterdir() if entry.is_file())


def _begins_as_dicom(path: Path) -> bool:
    with decoding("a file"), path.open("rb") as stream:
        return is_dicom(stream.read(132))


def _frames_in_order(dataset: Dataset) -> tuple[list[int], list[Plane]]:
    """Return the frames of one object along their normal; those of a film as they are."""
    planes = [plane_of(dataset, frame) for frame in range(num_frames(dataset))]
    if planes[0].position is None:
        return list(range(len(planes))), planes
    order = stack_order(planes, [f"frame {number + 1}" for number in range(len(planes))])
    return order, [planes[index] for index in order]


def _in_order(members: Sequence[_Member]) -> tuple[list[int], list[Plane]]:
    """Return the order of the files of a series along their normal, and their planes in it."""
    _check_one_shape(members)
    with _decoding():
        planes = [plane_of(member.header) for member in members]
    order = stack_order(planes, [member.path.name for member in members])
    return order, [planes[index] for index in order]


def _decoding() -> AbstractContextManager[None]:
    return decoding("DICOM", InvalidDicomError, BytesLengthException, is_private=True)


def _image(frames: Frames, planes: Sequence[Plane], header: Dataset) -> Image:
    geometry = stack_geometry(planes, frames.shape[1], frames.shape[2])
    tilt = slice_tilt(geometry)
    if tilt > _NAMED_TILT:
        _log.warning(
            "the slices of a %s series are sheared by %.1f degrees (gantry tilt): every voxel "
            "keeps its place, and masks are written on the same sheared grid, which some viewers "
            "straighten",
            header.get("Modality") or "DICOM",
            tilt,
        )
    modality = str(header.get("Modality") or "") or None
    return Image(frames, geometry, is_planar=frames.shape[0] == 1, modality=modality)


def _slice(path: Path, decoder: IsolatedDecoder) -> Frames:
    try:
        with _decoding():
            return frames_of(read_object(path), decoder)
    except ImageReadError as error:
        raise ImageReadError(f"{path.name}: {error}") from error


def _members(folder: Path) -> list[_Member]:
    """Return the images of a folder; a DICOM file that cannot be read is an error, not left out."""
    with decoding("a folder"):
        entries = sorted(entry for entry in folder.iterdir() if entry.is_file())
    members = []
    for entry in entries:
        if not _begins_as_dicom(entry):
            continue
        try:
            member = _member(entry)
        except ImageReadError as error:
            raise ImageReadError(f"{entry.name}: {error}") from error
        meta = getattr(member.header, "file_meta", {})
        is_directory = meta.get("MediaStorageSOPClassUID") == _DIRECTORY_UID
        if not is_directory and why_no_image(member.header) is None:
            members.append(member)
    if not members:
        raise ImageReadError(_nothing_here(folder, len(entries)))
    return members


def _member(path: Path) -> _Member:
    with _decoding():
        return _Member(path, read_object(path, stop_before_pixels=True))


def _nothing_here(folder: Path, num_files: int) -> str:
    folders = sorted(entry.name for entry in folder.iterdir() if entry.is_dir())
    if folders:
        listed = ", ".join(folders[:_LISTED])
        return f"it holds no DICOM image itself; choose one of its {len(folders)} folders: {listed}"
    return (
        f"it holds no DICOM image ({num_files} other files) and no pictures; pass one image file, "
        "the folder of a DICOM series, or that of numbered pictures"
    )


def _choose_series(members: Sequence[_Member], part: str | None) -> list[_Member]:
    series: dict[str, list[_Member]] = {}
    for member in members:
        series.setdefault(member.series, []).append(member)
    if part is None and len(series) == 1:
        return list(members)
    if part in series:
        return series[part]
    numbered = [found for found in series.values() if part and found[0].number == part]
    if len(numbered) == 1:
        return numbered[0]
    listed = "; ".join(
        f"{uid} ({found[0].about}, {len(found)} files)"
        for uid, found in list(series.items())[:_LISTED]
    )
    wrong = "" if part is None else f" and not one {part!r}"
    raise ImageReadError(
        f"it holds {len(series)} series{wrong}; choose one by its uid or its number, with --series "
        f"(part=): {listed}"
    )


def _check_one_shape(members: Sequence[_Member]) -> None:
    first = members[0]
    for member in members:
        if num_frames(member.header) > 1:
            raise ImageReadError(
                f"{member.path.name} holds {num_frames(member.header)} frames of its own; "
                "read that file instead of the folder"
            )
        here, there = _shape(member), _shape(first)
        if here != there:
            raise ImageReadError(
                f"{member.path.name} has {here[0]} x {here[1]} pixels ({here[2]} samples) but "
                f"{first.path.name} has {there[0]} x {there[1]} ({there[2]}); copy the slices of "
                "one size into a folder of their own"
            )


def _shape(member: _Member) -> tuple[int, int, int]:
    header = member.header
    return int(header.Rows), int(header.Columns), int(header.get("SamplesPerPixel", 1))
