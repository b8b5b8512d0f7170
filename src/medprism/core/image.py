"""Image: an array with its geometry, the value that all floors pass."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Shaped

from medprism.core.errors import GeometryError, ImageReadError
from medprism.core.geometry import Affine, Geometry

Voxels = Shaped[np.ndarray, "slices height width channels"]
PlaneStack = Bool[np.ndarray, "slices height width"]


@dataclass(frozen=True, eq=False)
class Image:
    """Intensities on a grid: `voxels` is (slices, height, width, channels), channels 1 or 3.

    A 2-D picture is a volume with one slice and `is_planar` set: masks and probabilities are then
    handed out as (height, width). `modality` is a DICOM-style code where known ("CT", "MR", ...).
    `source` is the file or folder it was read from, `part` which of several images there.
    """

    voxels: Voxels
    geometry: Geometry
    is_planar: bool
    modality: str | None = None
    source: Path | None = None
    part: str | None = None

    def __post_init__(self) -> None:
        if self.voxels.shape[3] not in (1, 3):
            raise ImageReadError(
                f"image has {self.voxels.shape[3]} channels; 1 (grey) or 3 (RGB) are supported, "
                "convert it first"
            )
        if 0 in self.voxels.shape:
            raise ImageReadError(f"image has no pixels (shape {self.shape}); it must not be empty")
        if self.voxels.shape[:3] != self.geometry.shape:
            raise GeometryError(
                f"array of shape {self.voxels.shape[:3]} does not fit geometry "
                f"{self.geometry.describe()}"
            )
        if self.voxels.dtype.kind == "f" and not np.isfinite(self.voxels).any():
            raise ImageReadError("image has no finite value (all NaN or infinite); check the file")

    @classmethod
    def from_array(
        cls,
        array: Shaped[np.ndarray, "..."],
        *,
        affine: Affine | None = None,
        modality: str | None = None,
    ) -> Image:
        """Wrap a plain array: (H, W), (H, W, 3), (S, H, W) or (S, H, W, 3).

        A three-axis array whose last axis is 3 long is taken as RGB.

        Raises:
            ImageReadError: the array has another number of axes, or a dtype that is no number.

        >>> Image.from_array(np.zeros((4, 6), np.uint8)).shape
        (4, 6)
        >>> Image.from_array(np.zeros((5, 4, 6), np.uint8)).shape
        (5, 4, 6)
        """
        if array.dtype.kind not in "buif":
            raise ImageReadError(f"image of dtype {array.dtype}; it must hold real numbers")
        if array.dtype.kind == "b":
            array = array.astype(np.uint8)
        is_rgb = array.ndim in (3, 4) and array.shape[-1] == 3
        space = array.ndim - int(is_rgb)
        if space not in (2, 3):
            raise ImageReadError(
                f"array of shape {array.shape}; expected (H, W), (H, W, 3), (S, H, W) "
                "or (S, H, W, 3)"
            )
        voxels = array if is_rgb else array[..., None]
        voxels = voxels if space == 3 else voxels[None]
        shape = (int(voxels.shape[0]), int(voxels.shape[1]), int(voxels.shape[2]))
        geometry = Geometry.pixels(shape) if affine is None else Geometry(shape, affine)
        return cls(voxels, geometry, is_planar=space == 2, modality=modality)

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of a mask of this image: (height, width) if planar, else (slices, ...)."""
        return self.geometry.shape[1:] if self.is_planar else self.geometry.shape

    @property
    def num_slices(self) -> int:
        """Number of slices; 1 for a picture."""
        return self.geometry.shape[0]

    @property
    def is_rgb(self) -> bool:
        """Whether the image has three colour channels."""
        return bool(self.voxels.shape[3] == 3)

    @cached_property
    def digest(self) -> str:
        """SHA-256 of the content (intensities, dtype, shape), for caches and prompt logs."""
        sha = hashlib.sha256()
        sha.update(repr((self.voxels.shape, self.voxels.dtype.str)).encode())
        sha.update(np.ascontiguousarray(self.voxels).tobytes())
        return sha.hexdigest()

    def replace(self, **changes: object) -> Image:
        """Return a copy with some fields replaced."""
        return replace(self, **changes)  # type: ignore[arg-type]

    def to_stack(self, mask: Bool[np.ndarray, "..."]) -> PlaneStack:
        """Return a mask of this image's shape as (slices, height, width).

        Raises:
            GeometryError: the mask has another shape than the image.
        """
        if mask.shape != self.shape:
            raise GeometryError(
                f"mask has shape {mask.shape} but its image has shape {self.shape}; "
                "both must lie on the same grid, resample the mask first"
            )
        return mask[None] if self.is_planar else mask

    def from_stack(
        self, stack: Shaped[np.ndarray, "slices height width"]
    ) -> Shaped[np.ndarray, "..."]:
        """Return a (slices, height, width) array in the shape users see."""
        return stack[0] if self.is_planar else stack
