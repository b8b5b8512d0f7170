"""Where voxels lie in the world: affine, spacing, orientation."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64

from medprism.core.errors import GeometryError

Affine = Float64[np.ndarray, "4 4"]

# Two grids are the same when no corner voxel moves by more than this share of a voxel.
# Header round trips (float32 quaternions, DICOM decimal strings) stay far below it.
TOLERANCE_VOXELS = 1e-2

# Share of a unit cube below which three axis directions count as lying in one plane.
MINIMUM_VOLUME = 1e-6
# A picometre and a thousand kilometres: what lies beyond is a damaged header.
MINIMUM_MM = 1e-9
MAXIMUM_MM = 1e9

_AXIS_CODES = (("L", "R"), ("P", "A"), ("I", "S"))


@dataclass(frozen=True, eq=False)
class Geometry:
    """Map voxel indices (slice, row, col) to world millimetres (RAS+).

    `affine[:3, :3]` has one column per array axis in the order slice, row, col. `is_physical` is
    False where the file knew no spacing (PNG, JPEG): lengths are then in pixels, not millimetres.
    """

    shape: tuple[int, int, int]
    affine: Affine
    is_physical: bool = True

    def __post_init__(self) -> None:
        matrix = self.affine[:3, :3]
        largest = np.abs(self.affine).max()
        lengths = np.linalg.norm(matrix, axis=0) if largest < MAXIMUM_MM else np.zeros(3)
        is_usable = bool((lengths > MINIMUM_MM).all())
        if not is_usable or abs(np.linalg.det(matrix / lengths)) < MINIMUM_VOLUME:
            rows = "; ".join(" ".join(f"{value:.4g}" for value in row) for row in self.affine[:3])
            raise GeometryError(
                f"affine ({rows}) does not span three dimensions; mend the orientation and spacing "
                "in the header"
            )

    @classmethod
    def pixels(cls, shape: tuple[int, int, int]) -> Geometry:
        """Return the unit grid of an image that knows no spacing.

        >>> Geometry.pixels((1, 4, 6)).spacing
        (1.0, 1.0, 1.0)
        """
        # Rows run towards posterior and columns towards left, as pictures are shown.
        affine = np.zeros((4, 4))
        affine[2, 0] = 1.0
        affine[1, 1] = -1.0
        affine[0, 2] = -1.0
        affine[3, 3] = 1.0
        return cls(shape, affine, is_physical=False)

    @property
    def spacing(self) -> tuple[float, float, float]:
        """Distance between voxel centres along slice, row and col, in mm."""
        lengths = np.linalg.norm(self.affine[:3, :3], axis=0)
        return (float(lengths[0]), float(lengths[1]), float(lengths[2]))

    @property
    def orientation(self) -> str:
        """Anatomical direction each array axis points to, one letter an axis (such as 'SPL').

        Taken from the rotation nearest to the affine, as nibabel does.

        >>> Geometry.pixels((1, 4, 6)).orientation
        'SPL'
        """
        left, _, right = np.linalg.svd(self.affine[:3, :3] / np.asarray(self.spacing))
        rotation = left @ right
        remaining = [0, 1, 2]
        codes = ["", "", ""]
        # The axis nearest to a world direction chooses first, so that no oblique axis takes it.
        for axis in np.argsort(-np.abs(rotation).max(axis=0), kind="stable").tolist():
            world = max(remaining, key=lambda w: abs(rotation[w, axis]))
            remaining.remove(world)
            codes[axis] = _AXIS_CODES[world][int(rotation[world, axis] > 0)]
        return "".join(codes)

    def voxel_to_world(self, voxel: tuple[float, float, float]) -> tuple[float, float, float]:
        """Return the world position in mm of a voxel index (slice, row, col)."""
        world = self.affine[:3, :3] @ np.asarray(voxel, dtype=np.float64) + self.affine[:3, 3]
        return (float(world[0]), float(world[1]), float(world[2]))

    def world_to_voxel(self, world: tuple[float, float, float]) -> tuple[float, float, float]:
        """Return the fractional voxel index (slice, row, col) of a world position in mm."""
        offset = np.asarray(world, dtype=np.float64) - self.affine[:3, 3]
        voxel = np.linalg.solve(self.affine[:3, :3], offset)
        return (float(voxel[0]), float(voxel[1]), float(voxel[2]))

    def matches(self, other: Geometry, tolerance_voxels: float = TOLERANCE_VOXELS) -> bool:
        """Say whether both describe the same grid, corner by corner, within the tolerance."""
        if self.shape != other.shape:
            return False
        last = np.asarray(self.shape, dtype=np.float64) - 1
        corners = np.array(np.meshgrid(*[(0.0, n) for n in last], indexing="ij")).reshape(3, -1)
        here = self.affine[:3, :3] @ corners + self.affine[:3, 3:]
        there = other.affine[:3, :3] @ corners + other.affine[:3, 3:]
        shift = np.linalg.norm(here - there, axis=0).max()
        return bool(shift <= tolerance_voxels * min(self.spacing))

    def describe(self) -> str:
        """Return one line for error messages: shape, spacing, orientation and origin."""
        spacing = " x ".join(f"{s:.4g}" for s in self.spacing)
        origin = ", ".join(f"{o:.4g}" for o in self.affine[:3, 3])
        unit = "mm" if self.is_physical else "pixels"
        return f"{self.shape} voxels of {spacing} {unit}, {self.orientation}, origin ({origin})"
