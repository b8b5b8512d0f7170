"""Read RTSTRUCT as a mask: contours in mm, filled on the slices of the image they belong to."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import numpy as np
from jaxtyping import Bool, Float64

from medprism.core.errors import GeometryError, ImageReadError
from medprism.core.geometry import Geometry
from medprism.core.image import Image
from medprism.io.contour import Points, fill
from medprism.io.dicom_object import read_object
from medprism.io.dicom_pixels import Dataset
from medprism.io.foreign import decoding
from medprism.io.lps import swap_world
from medprism.io.mask_file import Colour, MaskFile, is_colour

_log = logging.getLogger(__name__)

# How far a contour may lie beside its slice, in slices, and reach beyond the image, in pixels.
_BESIDE_SLICES: Final = 0.25
_BEYOND_PIXELS: Final = 1.0
# Both spellings are about.
_CLOSED: Final = ("CLOSED_PLANAR", "CLOSEDPLANAR_XOR", "CLOSED_PLANAR_XOR")


def read_rtstruct(path: Path, like: Image | None) -> MaskFile:
    """Fill the contours of every region; a pixel is inside where its centre is.

    Contours of one region on one slice are combined by parity, so that a contour within another is
    a hole, as keyholes are. Points and open lines enclose nothing; a region of those has its name
    only, which is logged.

    Raises:
        ImageReadError: damaged, or no image is given, whose grid contours need.
        GeometryError: a contour lies between slices or beyond the image.
    """
    if like is None or not like.geometry.is_physical:
        raise ImageReadError(
            "it holds contours, which have no grid of their own; pass the image they belong to, "
            "one with a position and spacing in mm (like=)"
        )
    geometry = like.geometry
    with decoding("RTSTRUCT", is_private=True):
        dataset = read_object(path)
        names = {int(item.ROINumber): str(item.ROIName) for item in dataset.StructureSetROISequence}
        outlines = {
            int(item.ReferencedROINumber): item for item in dataset.get("ROIContourSequence") or []
        }
        colours = {number: colour for number, item in outlines.items() if (colour := _colour(item))}
        planes = {
            number: _filled(item, names.get(number, f"label {number}"), geometry)
            for number, item in outlines.items()
        }
    _check_numbers(planes)
    return MaskFile.from_planes(planes, geometry, names, colours)


def _check_numbers(planes: dict[int, Bool[np.ndarray, "..."]]) -> None:
    odd = [number for number in planes if not 0 < number < 2**32]
    if odd:
        raise ImageReadError(f"its ROI number is {odd[0]}; it must be above 0, renumber it")


def _colour(item: Dataset) -> Colour | None:
    parts = tuple(int(part) for part in item.get("ROIDisplayColor") or ())
    return (parts[0], parts[1], parts[2]) if is_colour(parts) else None


def _filled(
    item: Dataset, name: str, geometry: Geometry
) -> Bool[np.ndarray, "slices height width"]:
    plane = np.zeros(geometry.shape, bool)
    by_slice: dict[int, list[Points]] = {}
    for points in _closed(item, name):
        index, corners = _place(points, name, geometry)
        by_slice.setdefault(index, []).append(corners)
    for index, polygons in by_slice.items():
        plane[index] = fill(polygons, *geometry.shape[1:])
    return plane


def _closed(item: Dataset, name: str) -> Iterator[Float64[np.ndarray, "_ 3"]]:
    """Yield the closed contours of a region in LPS mm."""
    for contour in item.get("ContourSequence") or []:
        kind = str(contour.get("ContourGeometricType"))
        if kind not in _CLOSED:
            _log.warning("the %s contour of %r encloses nothing and is left out", kind, name)
            continue
        points = np.asarray(contour.ContourData, dtype=np.float64)
        if points.size % 3 or points.size < 9 or not np.isfinite(points).all():
            raise ImageReadError(
                f"a contour of {name!r} has {points.size} numbers; it must have three for each of "
                "at least three points, export it again"
            )
        yield points.reshape(-1, 3)


def _place(points: Float64[np.ndarray, "_ 3"], name: str, geometry: Geometry) -> tuple[int, Points]:
    """Return the slice a contour lies on, and its points in (row, col)."""
    to_voxel = np.linalg.inv(swap_world(geometry.affine))
    voxels = points @ to_voxel[:3, :3].T + to_voxel[:3, 3]
    index = round(float(np.clip(np.median(voxels[:, 0]), -1, geometry.shape[0])))
    beside = float(np.abs(voxels[:, 0] - index).max())
    last = np.array(geometry.shape[1:]) - 0.5
    beyond = max(float((-0.5 - voxels[:, 1:]).max()), float((voxels[:, 1:] - last).max()))
    if not 0 <= index < geometry.shape[0] or beside > _BESIDE_SLICES or beyond > _BEYOND_PIXELS:
        x, y, z = (float(value) for value in points[0])
        raise GeometryError(
            f"a contour of {name!r} at ({x:.4g}, {y:.4g}, {z:.4g}) mm (LPS) lies {beside:.3g} "
            f"slices beside a slice, or reaches {max(beyond, 0.0):.3g} pixels beyond the image on "
            f"{geometry.describe()}; {_BESIDE_SLICES:g} and {_BEYOND_PIXELS:g} are allowed, choose "
            "the image it belongs to"
        )
    return index, np.ascontiguousarray(voxels[:, 1:])
