"""Read DICOM-SEG as a mask: on its image's grid where that is given, else on its own."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import numpy as np
from jaxtyping import Bool, Shaped

from medprism.core.errors import GeometryError, ImageReadError
from medprism.core.geometry import TOLERANCE_VOXELS, Geometry
from medprism.core.image import Image
from medprism.io.dicom_grid import Plane, plane_of, stack_geometry
from medprism.io.dicom_object import read_object
from medprism.io.dicom_pixels import Dataset, functional_group, num_frames, stored_frames
from medprism.io.foreign import decoding
from medprism.io.isolated_decoder import IsolatedDecoder
from medprism.io.mask_file import Colour, MaskFile

# How far a frame may lie beside its slice: along the slices as the reader of images allows, in the
# plane what one decimal of a position leaves open.
_BESIDE_SLICES: Final = 0.2
_ROUNDING_MM: Final = 0.1
# A mask of more voxels than this is damage.
_MOST_VOXELS: Final = 1 << 29


@dataclass(frozen=True, eq=False)
class _Segments:
    names: Mapping[int, str]
    colours: Mapping[int, Colour] = field(default_factory=dict)


def read_dicom_seg(path: Path, like: Image | None = None) -> MaskFile:
    """Read binary segments and label maps, with names and colours.

    With an image every frame goes to the slice where it lies; slices without a frame are
    background. Without one the grid reaches from the first frame to the last.

    Raises:
        ImageReadError: damaged, or fractions.
        GeometryError: a frame lies on no slice of the image.
    """
    with decoding("DICOM-SEG", is_private=True), IsolatedDecoder() as decoder:
        dataset = read_object(path)
        kind = str(dataset.get("SegmentationType"))
        if kind not in ("BINARY", "LABELMAP"):
            raise ImageReadError(
                f"its SegmentationType is {kind!r}, and a mask is BINARY or LABELMAP; "
                "threshold it first"
            )
        segments = _segments(dataset)
        planes = [plane_of(dataset, frame) for frame in range(num_frames(dataset))]
        size = int(dataset.Rows), int(dataset.Columns)
        geometry, slices = _places(planes, size, like)
        frames = stored_frames(dataset, decoder)[..., 0]
        found = _collect(_labelled(dataset, frames), slices, geometry)
    return MaskFile.from_planes(found, geometry, segments.names, segments.colours)


def _segments(dataset: Dataset) -> _Segments:
    names, colours = {}, {}
    for item in dataset.SegmentSequence:
        number = int(item.SegmentNumber)
        # Label maps describe their background.
        if number == 0:
            continue
        names[number] = str(item.SegmentLabel)
        if item.get("RecommendedDisplayCIELabValue"):
            colours[number] = _colour(item.RecommendedDisplayCIELabValue)
    return _Segments(names, colours)


def _colour(value: Sequence[int]) -> Colour:
    # 0.7 s to import: only those who read colours of DICOM wait.
    from highdicom.color import CIELabColor

    red, green, blue = CIELabColor.from_dicom_value(tuple(value)).to_rgb()
    return int(red), int(green), int(blue)


def _labelled(
    dataset: Dataset, frames: Shaped[np.ndarray, "frames height width"]
) -> Iterator[tuple[int, int, Bool[np.ndarray, "height width"]]]:
    """Yield frame, label number and the pixels of it."""
    is_map = str(dataset.SegmentationType) == "LABELMAP"
    for index, frame in enumerate(frames):
        if is_map:
            for number in np.unique(frame[frame > 0]).tolist():
                yield index, number, np.asarray(frame == number)
        else:
            group = functional_group(dataset, index, "SegmentIdentificationSequence")
            if group is None:
                raise ImageReadError(f"its frame {index + 1} names no segment; export it again")
            yield index, int(group.ReferencedSegmentNumber), np.asarray(frame > 0)


def _collect(
    labelled: Iterator[tuple[int, int, Bool[np.ndarray, "height width"]]],
    slices: Sequence[int],
    geometry: Geometry,
) -> dict[int, Bool[np.ndarray, "slices height width"]]:
    found: dict[int, Bool[np.ndarray, "slices height width"]] = {}
    for frame, number, inside in labelled:
        if number not in found:
            found[number] = np.zeros(geometry.shape, bool)
        found[number][slices[frame]] |= inside
    return found


def _places(
    planes: Sequence[Plane], size: tuple[int, int], like: Image | None
) -> tuple[Geometry, list[int]]:
    """Return the grid and the slice of each frame."""
    if like is not None and like.geometry.shape[1:] != size:
        raise GeometryError(
            f"its frames have {size[0]} x {size[1]} pixels and its image lies on "
            f"{like.geometry.describe()}; choose the image it belongs to"
        )
    if planes[0].position is None:
        return _placeless(planes, size, like)
    if like is None:
        return _own_grid(planes, size)
    geometry = like.geometry
    return geometry, [_slice_of(plane, geometry, n) for n, plane in enumerate(planes, start=1)]


def _placeless(
    planes: Sequence[Plane], size: tuple[int, int], like: Image | None
) -> tuple[Geometry, list[int]]:
    geometry = stack_geometry(planes[:1], *size) if like is None else like.geometry
    if geometry.shape[0] != 1:
        raise GeometryError(
            f"its frames have no position and its image has {geometry.shape[0]} slices; choose the "
            "image it belongs to"
        )
    return geometry, [0] * len(planes)


def _slice_of(plane: Plane, geometry: Geometry, number: int) -> int:
    """Return the slice of a grid in which a frame lies, corner on corner."""
    height, width = geometry.shape[1:]
    frame = stack_geometry([plane], height, width)
    corners = [(0.0, 0.0), (0.0, width - 1.0), (height - 1.0, 0.0), (height - 1.0, width - 1.0)]
    there = np.array(
        [geometry.world_to_voxel(frame.voxel_to_world((0.0, *corner))) for corner in corners]
    )
    index = round(float(there[0, 0]))
    beside = there - np.array([(index, *corner) for corner in corners])
    limits = [max(TOLERANCE_VOXELS, _ROUNDING_MM / step) for step in geometry.spacing]
    limits[0] = max(_BESIDE_SLICES, TOLERANCE_VOXELS)
    if not 0 <= index < geometry.shape[0] or (np.abs(beside) > np.minimum(limits, 0.4)).any():
        raise GeometryError(
            f"its frame {number} lies on {frame.describe()}, which is no slice of the image on "
            f"{geometry.describe()} (within {limits[0]:g} slices and {limits[1]:.3g} pixels); "
            "choose the image it belongs to, or resample the mask"
        )
    return index


def _own_grid(planes: Sequence[Plane], size: tuple[int, int]) -> tuple[Geometry, list[int]]:
    """Return the grid from the first frame to the last, gaps filled."""
    normal = planes[0].normal
    depths = np.array([_depth(plane, normal) for plane in planes])
    order = np.argsort(depths, kind="stable")
    gaps = np.diff(depths[order])
    steps = gaps[gaps > 1e-3]
    if steps.size == 0:
        return stack_geometry(planes[:1], *size), [0] * len(planes)
    # The nearest two frames are one step apart, unless the header knows a smaller one.
    step = min(float(steps.min()), planes[0].thickness)
    places = (depths - depths[order[0]]) / step
    if np.abs(places - np.rint(places)).max() > _BESIDE_SLICES:
        step = float(steps.min())
        places = (depths - depths[order[0]]) / step
    slices = np.rint(places).astype(int)
    count = int(slices.max()) + 1
    if np.abs(places - slices).max() > _BESIDE_SLICES or count * size[0] * size[1] > _MOST_VOXELS:
        raise ImageReadError(
            "its frames do not lie at even steps, so they form no grid; read it with its image "
            "(like=)"
        )
    first, last = planes[int(order[0])], planes[int(order[-1])]
    if first.position is None or last.position is None:
        raise ImageReadError("some of its frames have no position; read it with its image (like=)")
    along = (last.position - first.position) / (count - 1)
    affine = stack_geometry([first], *size).affine.copy()
    # LPS to RAS.
    affine[:3, 0] = along * (-1.0, -1.0, 1.0)
    return Geometry((count, *size), affine), slices.tolist()


def _depth(plane: Plane, normal: np.ndarray) -> float:
    if plane.position is None:
        raise ImageReadError("some of its frames have no position; read it with its image (like=)")
    return float(plane.position @ normal)
