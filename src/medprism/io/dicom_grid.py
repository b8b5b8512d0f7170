"""Where DICOM slices lie: planes in patient space, stacked into one grid without gaps."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from jaxtyping import Float64

from medprism.core.errors import ImageReadError
from medprism.core.geometry import Geometry
from medprism.io.dicom_pixels import Dataset, functional_group
from medprism.io.lps import swap_world

Vector = Float64[np.ndarray, "3"]

# Slices nearer than this share of the usual step lie at the same position.
_SAME: Final = 0.05
# A step longer than this many usual ones means that slices are missing.
_GAP: Final = 1.5
# How far a slice may lie beside the even grid: a share of the step, twice that where positions are
# written with one decimal (0.05 mm at the slice and at an end of the grid).
_IRREGULAR: Final = 0.1
_ROUNDING_MM: Final = 0.1
_TURN: Final = 1e-3


@dataclass(frozen=True, eq=False)
class Plane:
    """One slice in LPS millimetres.

    `along_rows` points to growing row numbers, `along_cols` to growing column numbers; both are
    unit vectors. `spacing` is (between rows, between columns), `thickness` the header's distance
    between slices. `position` is None where the header gives none (X-ray, ultrasound).
    """

    position: Vector | None
    along_rows: Vector
    along_cols: Vector
    spacing: tuple[float, float] | None
    thickness: float

    @property
    def normal(self) -> Vector:
        """Direction in which slices are ordered."""
        return np.cross(self.along_cols, self.along_rows)


def plane_of(dataset: Dataset, frame: int = 0) -> Plane:
    """Read the plane of one frame from its functional groups or from the object itself.

    Raises:
        ImageReadError: a direction or spacing that cannot be one.
    """
    placed = functional_group(dataset, frame, "PlanePositionSequence")
    turned = functional_group(dataset, frame, "PlaneOrientationSequence")
    measured = functional_group(dataset, frame, "PixelMeasuresSequence")
    position = _numbers(dataset if placed is None else placed, "ImagePositionPatient", 3)
    orientation = _numbers(dataset if turned is None else turned, "ImageOrientationPatient", 6)
    measures = dataset if measured is None else measured
    spacing = _numbers(measures, "PixelSpacing", 2)
    if spacing is None and position is None:
        # Measured on the detector: the only scale that plain X-ray images know.
        spacing = _numbers(measures, "ImagerPixelSpacing", 2)
    if spacing is not None and not (spacing > 0).all():
        raise ImageReadError(f"its PixelSpacing is {spacing.tolist()} mm; it must be above 0")
    if orientation is None or position is None:
        position, orientation = None, np.array([1.0, 0.0, 0.0, 0.0, 1.0, 0.0])
    return Plane(
        position,
        _unit(orientation[3:]),
        _unit(orientation[:3]),
        None if spacing is None else (float(spacing[0]), float(spacing[1])),
        _thickness(measures),
    )


def stack_order(planes: Sequence[Plane], names: Sequence[str]) -> list[int]:
    """Return the order of the planes along their normal.

    Raises:
        ImageReadError: planes without position, turned against each other, of different spacing,
            at the same place, irregular or with a gap; the message names the slices.
    """
    _check_alike(planes, names)
    depths = np.array([_depth(plane, planes[0].normal) for plane in planes])
    order = [int(index) for index in np.argsort(depths, kind="stable")]
    steps = np.diff(depths[order])
    if steps.size == 0:
        return order
    usual = float(np.median(steps))
    here, there = _worst(steps, order, names)
    if steps.min() <= max(_SAME * usual, 1e-6):
        twice = int((steps <= max(_SAME * usual, 1e-6)).sum())
        first = int(np.argmin(steps))
        raise ImageReadError(
            f"{twice} slices lie where another one does ({names[order[first]]} and "
            f"{names[order[first + 1]]}); the series holds several passes (time points, echoes, "
            "phases), copy one of them into a folder of its own"
        )
    if steps.max() > _GAP * usual:
        missing = max(1, round(float(steps.max()) / usual) - 1)
        raise ImageReadError(
            f"{here} and {there} are {steps.max():.4g} mm apart where the other slices are "
            f"{usual:.4g} mm apart: about {missing} missing; add the missing files, or copy one "
            "gapless part into a folder of its own"
        )
    return order


def stack_geometry(planes: Sequence[Plane], height: int, width: int) -> Geometry:
    """Return the grid of planes in order, RAS; a gantry tilt stays in the slice axis.

    Without positions the grid has the file's pixel spacing if it has one, else none.

    Raises:
        ImageReadError: the slices do not lie on a straight line at even steps.
    """
    first, last = planes[0], planes[-1]
    shape = (len(planes), height, width)
    if first.position is None or last.position is None:
        return _placeless(first, shape)
    rows, cols = first.spacing or (1.0, 1.0)
    step = first.normal * first.thickness
    if len(planes) > 1:
        step = (last.position - first.position) / (len(planes) - 1)
        _check_even(planes, step)
    affine = np.eye(4)
    affine[:3, 0] = step
    affine[:3, 1] = first.along_rows * rows
    affine[:3, 2] = first.along_cols * cols
    affine[:3, 3] = first.position
    return Geometry(shape, swap_world(affine), is_physical=first.spacing is not None)


def slice_tilt(geometry: Geometry) -> float:
    """Return the angle in degrees between the slice axis and the normal of the slices.

    >>> sheared = np.array([[0.0, 0, 1, 0], [1, 1, 0, 0], [1, 0, 0, 0], [0, 0, 0, 1]])
    >>> round(slice_tilt(Geometry((4, 5, 6), sheared)), 6)
    45.0
    """
    step, rows, cols = geometry.affine[:3, :3].T
    normal = np.cross(rows, cols)
    across = abs(float(step @ normal)) / float(np.linalg.norm(normal))
    along = float(np.linalg.norm(step - (step @ normal) * normal / (normal @ normal)))
    return float(np.degrees(np.arctan2(along, across)))


def _placeless(plane: Plane, shape: tuple[int, int, int]) -> Geometry:
    unit = Geometry.pixels(shape)
    if plane.spacing is None:
        return unit
    affine = unit.affine @ np.diag([plane.thickness, *plane.spacing, 1.0])
    # Frames without a place are moments of a film; only a single one has a size in mm.
    return Geometry(shape, affine, is_physical=shape[0] == 1)


def _check_alike(planes: Sequence[Plane], names: Sequence[str]) -> None:
    first = planes[0]
    for plane, name in zip(planes, names, strict=True):
        if plane.position is None and len(planes) > 1:
            raise ImageReadError(
                f"{name} has no slice position, so its {len(planes)} images form no volume; "
                "choose one file"
            )
        turn = max(
            float(np.abs(plane.along_rows - first.along_rows).max()),
            float(np.abs(plane.along_cols - first.along_cols).max()),
        )
        if turn > _TURN:
            raise ImageReadError(
                f"{name} lies in another direction than {names[0]} (a localiser?); "
                "copy the slices of one direction into a folder of their own"
            )
        if not _same_spacing(plane.spacing, first.spacing):
            raise ImageReadError(
                f"{name} has pixel spacing {plane.spacing} mm but {names[0]} has {first.spacing}; "
                "copy the slices of one spacing into a folder of their own"
            )


def _same_spacing(here: tuple[float, float] | None, there: tuple[float, float] | None) -> bool:
    if here is None or there is None:
        return here is there
    return bool(np.allclose(here, there, rtol=1e-3))


def _check_even(planes: Sequence[Plane], step: Vector) -> None:
    start = planes[0].position
    share = _IRREGULAR * float(np.linalg.norm(step))
    allowed = max(share, min(2 * share, _ROUNDING_MM))
    for number, plane in enumerate(planes):
        if plane.position is None or start is None:
            continue
        beside = float(np.linalg.norm(plane.position - (start + number * step)))
        if beside > allowed:
            raise ImageReadError(
                f"slice {number} of {len(planes)} lies {beside:.3g} mm beside the even grid of "
                "the others; the slice distance varies, resample the series first"
            )


def _worst(
    steps: Float64[np.ndarray, " steps"], order: Sequence[int], names: Sequence[str]
) -> tuple[str, str]:
    widest = int(np.argmax(steps))
    return names[order[widest]], names[order[widest + 1]]


def _depth(plane: Plane, normal: Vector) -> float:
    return 0.0 if plane.position is None else float(plane.position @ normal)


def _numbers(dataset: Dataset, name: str, count: int) -> Float64[np.ndarray, " count"] | None:
    value = dataset.get(name)
    if value is None or value == "":
        return None
    numbers = np.atleast_1d(np.asarray(value, dtype=np.float64))
    if numbers.shape != (count,) or not np.isfinite(numbers).all():
        raise ImageReadError(f"its {name} is {value!r}; it must be {count} numbers")
    return numbers


def _unit(vector: Vector) -> Vector:
    length = float(np.linalg.norm(vector))
    if abs(length - 1.0) > 0.1:
        raise ImageReadError(
            f"its ImageOrientationPatient holds a direction of length {length:.3g}; it must be 1"
        )
    return np.asarray(vector / length)


def _thickness(measures: Dataset) -> float:
    for name in ("SpacingBetweenSlices", "SliceThickness"):
        number = _numbers(measures, name, 1)
        if number is not None and abs(number[0]) > 0:
            return float(abs(number[0]))
    return 1.0
