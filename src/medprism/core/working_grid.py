"""The grid a volume is worked on: one orientation, one spacing, and the way there and back.

Axes of the working grid run along those of the source, turned to point to S, P and L; a tilted
volume stays tilted. So resampling is one small matrix an axis, and the world position of every
voxel is known on both sides.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Final

import numpy as np
from jaxtyping import Bool, Float32, Float64, Integer, Shaped, UInt8

from medprism.core.errors import GeometryError
from medprism.core.geometry import Geometry

AXES: Final = (("S", "I"), ("P", "A"), ("L", "R"))
# More voxels than a computer of today works on: the header or the spacing is not meant.
LARGEST: Final = 2**31
MOST_LABELS: Final = 255

Weights = Float32[np.ndarray, "there here"]
Map = Float32[np.ndarray, "_ _ _"]


@dataclass(frozen=True, eq=False)
class WorkingGrid:
    """Where the voxels of a source lie on a grid of `spacing` mm along S, P and L.

    The field of view of the working grid has the centre of the source's and covers it wholly.

    Raises:
        GeometryError: a source without spacing, or a working grid that nothing could hold.

    >>> source = Geometry((4, 6, 8), np.diag([-3.0, 1.0, 1.0, 1.0]))
    >>> grid = WorkingGrid(source, 1.5)
    >>> source.orientation, grid.geometry.orientation, grid.shape
    ('LAS', 'SPL', (6, 4, 8))
    """

    source: Geometry
    spacing: float

    def __post_init__(self) -> None:
        if not self.source.is_physical:
            raise GeometryError(
                f"a volume on {self.source.describe()} knows no spacing in mm, so it cannot be "
                "brought to a working grid; save it in a format that does (NIfTI, NRRD, MetaImage)"
            )
        if not (math.isfinite(self.spacing) and self.spacing > 0):
            raise GeometryError(f"a working spacing must be above 0 mm, got {self.spacing}")
        voxels = math.prod(
            n * s / self.spacing
            for n, s in zip(self.source.shape, self.source.spacing, strict=True)
        )
        if voxels > LARGEST:
            raise GeometryError(
                f"{self.source.describe()} would be {voxels:.3g} voxels of {self.spacing:g} mm; "
                "mend the spacing in its header, or choose a larger working spacing"
            )

    @cached_property
    def axes(self) -> tuple[int, int, int]:
        """The axis of the source that becomes each axis of the working grid."""
        letters = self.source.orientation
        found = [next(i for i, letter in enumerate(letters) if letter in two) for two in AXES]
        return found[0], found[1], found[2]

    @cached_property
    def flips(self) -> tuple[bool, bool, bool]:
        """Which axes of the working grid run against those of the source."""
        letters = self.source.orientation
        turned = [letters[axis] != two[0] for axis, two in zip(self.axes, AXES, strict=True)]
        return turned[0], turned[1], turned[2]

    @cached_property
    def ratios(self) -> tuple[float, float, float]:
        """Voxels of the source to one working voxel, along the axes of the working grid."""
        one, two, three = (self.spacing / self.source.spacing[axis] for axis in self.axes)
        return one, two, three

    @cached_property
    def shape(self) -> tuple[int, int, int]:
        """Size of the working grid."""
        one, two, three = (
            # Ten millionths less, so that rounding of a header does not add a voxel.
            max(1, math.ceil(self.source.shape[axis] / ratio - 1e-5))
            for axis, ratio in zip(self.axes, self.ratios, strict=True)
        )
        return one, two, three

    @cached_property
    def geometry(self) -> Geometry:
        """Where the working voxels lie in the world."""
        affine = np.eye(4)
        first = np.zeros(3)
        for working, axis in enumerate(self.axes):
            step = self.ratios[working] * (-1 if self.flips[working] else 1)
            affine[:3, working] = self.source.affine[:3, axis] * step
            first[axis] = self._places(working)[0]
        affine[:3, 3] = self.source.affine[:3, :3] @ first + self.source.affine[:3, 3]
        return Geometry(self.shape, affine)

    def bring(self, image: Shaped[np.ndarray, "slices height width"]) -> Map:
        """Resample intensities: linear, with a wider filter where voxels become larger."""
        return self._there(image.astype(np.float32, copy=False), is_area=False)

    def bring_mask(self, mask: Bool[np.ndarray, "slices height width"]) -> Map:
        """Return which share of each working voxel a mask covers, 0..1."""
        return self._there(mask.astype(np.float32), is_area=True)

    def bring_labels(
        self, labels: Integer[np.ndarray, "slices height width"]
    ) -> UInt8[np.ndarray, "_ _ _"]:
        """Return the label that covers most of each working voxel; of equals the lowest.

        Raises:
            GeometryError: a label above 255.
        """
        numbers = np.unique(labels)
        if numbers[-1] > MOST_LABELS:
            raise GeometryError(
                f"label {numbers[-1]} is above {MOST_LABELS}; renumber the labels of the mask"
            )
        best = np.zeros(self.shape, np.float32)
        chosen = np.zeros(self.shape, np.uint8)
        for number in numbers:
            share = self.bring_mask(np.asarray(labels == number))
            # A share that is larger by rounding alone is not larger.
            larger = share > best + 1e-5
            chosen[larger] = number
            best[larger] = share[larger]
        return chosen

    def take_back(self, working: Map) -> Map:
        """Resample a map, such as logits, onto the source's grid.

        Linear where voxels become smaller, the mean over areas where they become larger.
        """
        self._check(working.shape, self.shape)
        back = working
        for axis in range(3):
            ratio = 1 / self.ratios[axis]
            places = self._places_back(axis)
            weights = _weights(places, self.shape[axis], ratio, is_area=ratio > 1)
            back = _apply(weights, back, axis)
        order = [self.axes.index(axis) for axis in range(3)]
        return np.ascontiguousarray(back.transpose(order))

    def to_working(self, voxel: tuple[float, float, float]) -> tuple[float, float, float]:
        """Return the fractional index on the working grid of an index of the source."""
        return self.geometry.world_to_voxel(self.source.voxel_to_world(voxel))

    def _there(self, volume: Map, *, is_area: bool) -> Map:
        self._check(volume.shape, self.source.shape)
        there = volume.transpose(self.axes)
        for axis in range(3):
            length = self.source.shape[self.axes[axis]]
            weights = _weights(self._places(axis), length, self.ratios[axis], is_area=is_area)
            there = _apply(weights, there, axis)
        return np.ascontiguousarray(there)

    def _places(self, axis: int) -> Float64[np.ndarray, " working"]:
        """Return where the centres of working voxels lie, as indices of the source's axis."""
        length, ratio = self.source.shape[self.axes[axis]], self.ratios[axis]
        steps = np.arange(self.shape[axis]) + 0.5 - self.shape[axis] / 2
        places = steps * ratio + (length - 1) / 2
        return np.asarray(length - 1 - places if self.flips[axis] else places)

    def _places_back(self, axis: int) -> Float64[np.ndarray, " source"]:
        """Return where the centres of the source's voxels lie, as indices of a working axis."""
        length = self.source.shape[self.axes[axis]]
        steps = (np.arange(length) - (length - 1) / 2) / self.ratios[axis]
        places = (-steps if self.flips[axis] else steps) + (self.shape[axis] - 1) / 2
        return np.asarray(places)

    @staticmethod
    def _check(found: tuple[int, ...], wanted: tuple[int, int, int]) -> None:
        if found != wanted:
            raise GeometryError(f"an array of {found} voxels does not lie on a grid of {wanted}")


def choose_spacing(volumes: Sequence[Geometry], side: int, coarse: float) -> float:
    """Return the spacing in mm on which volumes of one kind are worked.

    `coarse`, unless such volumes would be smaller than a window of `side` voxels: then so fine
    that the longest axis of the middle volume fills it, but not finer than they were taken.

    Raises:
        GeometryError: there is no volume, or none that knows its spacing.

    >>> small = Geometry((36, 50, 36), np.eye(4))
    >>> large = Geometry((160, 210, 170), np.eye(4))
    >>> choose_spacing([small], 64, 1.5), choose_spacing([large], 64, 1.5)
    (1.0, 1.5)
    """
    known = [volume for volume in volumes if volume.is_physical]
    if not known:
        raise GeometryError(
            f"none of {len(volumes)} volumes knows its spacing in mm; save them in a format that "
            "does (NIfTI, NRRD, MetaImage)"
        )
    longest = [max(np.multiply(volume.shape, volume.spacing)) for volume in known]
    fills = float(np.median(longest)) / side
    finest = float(np.median([min(volume.spacing) for volume in known]))
    return round(min(coarse, max(fills, finest)), 4)


def _weights(
    places: Float64[np.ndarray, " there"], length: int, ratio: float, *, is_area: bool
) -> Weights:
    """Return the weights of `length` voxels in new ones at `places`, each `ratio` voxels wide.

    By area: the overlap of old and new voxel. Else a triangle over the neighbours, wider where the
    new voxels are larger, so that nothing between them is skipped. Rows add up to 1.
    """
    # Rounded, so that a voxel edge that meets another one does so on both sides.
    offset = np.round(np.arange(length)[None] - places[:, None], 9)
    if is_area:
        high = np.minimum(offset + 0.5, ratio / 2)
        weights = np.clip(high - np.maximum(offset - 0.5, -ratio / 2), 0, None)
    else:
        weights = np.clip(1 - np.abs(offset) / max(1.0, ratio), 0, None)
    return np.asarray(weights / weights.sum(1, keepdims=True), np.float32)


def _apply(weights: Weights, volume: Map, axis: int) -> Map:
    if weights.shape[0] == weights.shape[1] and bool((weights == np.eye(len(weights))).all()):
        return volume
    return np.moveaxis(np.tensordot(weights, volume, axes=(1, axis)), 0, axis)
