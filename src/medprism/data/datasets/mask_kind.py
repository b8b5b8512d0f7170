"""How a release writes its masks: numbers, black and white, colours, contours, or beside the image.

Every kind is a value with one function: files in, the image and its label numbers out.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol, runtime_checkable

import cv2
import numpy as np
import pydicom
from jaxtyping import Float64, Shaped, UInt8, UInt16

from medprism.core.errors import GeometryError, ImageReadError, LabelError
from medprism.core.geometry import Geometry
from medprism.core.image import Image
from medprism.io.reader import read_image, read_mask

Numbers = UInt8[np.ndarray, "slices height width"] | UInt16[np.ndarray, "slices height width"]


@runtime_checkable
class MaskKind(Protocol):
    """What the kinds below have in common."""

    def read(self, image: Image, masks: Sequence[Path], part: str | None) -> tuple[Image, Numbers]:
        """Return the image (as it is to be used) and its label numbers, 0 for background."""


@dataclass(frozen=True)
class NumberMask:
    """Pixels are label numbers; `ids` gives those on disk other names, such as 63 -> 1.

    A number that `ids` does not list is refused: it would mean another set or version. With
    `resample` a mask on another grid is brought onto that of the image.
    """

    ids: Mapping[int, int]
    resample: bool = False

    def read(self, image: Image, masks: Sequence[Path], part: str | None) -> tuple[Image, Numbers]:
        """Read the first mask, on the image's own grid.

        Raises:
            LabelError: the mask holds a number that the set does not define.
        """
        array = read_mask(masks[0], like=image, part=part, resample=self.resample).array
        return image, _renumber(array.reshape(image.geometry.shape), self.ids, masks[0])


@dataclass(frozen=True)
class BinaryMask:
    """Brighter than half of the brightest is label 1; several masks of an image are united."""

    def read(self, image: Image, masks: Sequence[Path], part: str | None) -> tuple[Image, Numbers]:
        """Read all masks.

        Raises:
            GeometryError: a mask of another size than its image.
        """
        united = np.zeros(image.geometry.shape, np.uint8)
        for path in masks:
            found = read_image(path, part)
            _check_grid(path, found, image)
            values = found.voxels.max(axis=3)
            united[values > float(values.max()) / 2] = 1
        return image, united


@dataclass(frozen=True)
class ColourMask:
    """Every label has a colour (red, green, blue); the nearest one, or black, is taken.

    Nearest, since JPEG and resampling move colours.
    """

    colours: Mapping[int, tuple[int, int, int]]

    def read(self, image: Image, masks: Sequence[Path], part: str | None) -> tuple[Image, Numbers]:
        """Read the first mask.

        Raises:
            ImageReadError: the mask is grey.
            GeometryError: the mask has another size than its image.
        """
        found = read_image(masks[0])
        _check_grid(masks[0], found, image)
        return image, self.numbers(found, masks[0])

    def numbers(self, painted: Image, path: Path) -> Numbers:
        """Return the label number of every pixel of a painted picture.

        Raises:
            ImageReadError: the picture is grey.
        """
        if not painted.is_rgb:
            raise ImageReadError(f"{path} is grey; its masks should be painted in colours")
        ids = (0, *self.colours)
        numbers = np.zeros(painted.geometry.shape, np.uint8)
        nearest = np.full(numbers.shape, np.inf, np.float32)
        for label_id in ids:
            colour = np.asarray(self.colours.get(label_id, (0, 0, 0)), np.float32)
            distance = ((painted.voxels.astype(np.float32) - colour) ** 2).sum(axis=3)
            numbers[distance < nearest] = label_id
            nearest = np.minimum(nearest, distance)
        return numbers


@dataclass(frozen=True)
class BesideMask:
    """The left half of a file is the image, the right half the mask in colours."""

    colours: Mapping[int, tuple[int, int, int]]

    def read(self, image: Image, masks: Sequence[Path], part: str | None) -> tuple[Image, Numbers]:
        """Cut the picture in two.

        Raises:
            ImageReadError: an odd width, or no colours.
        """
        source = image.source or Path("picture")
        width = image.geometry.shape[2]
        if width % 2:
            raise ImageReadError(f"{source} is {width} pixels wide; two equal halves are expected")
        left, right = (
            Image(
                np.ascontiguousarray(half),
                Geometry.pixels((1, int(half.shape[1]), width // 2)),
                is_planar=True,
                modality=image.modality,
            )
            for half in (image.voxels[:, :, : width // 2], image.voxels[:, :, width // 2 :])
        )
        return left, ColourMask(self.colours).numbers(right, source)


@dataclass(frozen=True)
class ContourMask:
    """Text files of points, "x y" a line, that outline label 1; of several the first counts."""

    def read(self, image: Image, masks: Sequence[Path], part: str | None) -> tuple[Image, Numbers]:
        """Fill the outline.

        Raises:
            ImageReadError: the file holds no list of points.
        """
        points = _points(masks[0])
        filled = np.zeros(image.geometry.shape[1:], np.uint8)
        limits = (-1e6, 1e6)
        cv2.fillPoly(filled, [np.rint(np.clip(points, *limits)).astype(np.int32)], 1)
        return image, filled[None]


@dataclass(frozen=True)
class SliceStackMask:
    """A folder of pictures, one a DICOM slice; `ids` maps ranges of grey (low, high) to labels."""

    ids: Mapping[int, tuple[int, int]] = field(default_factory=dict)

    def read(self, image: Image, masks: Sequence[Path], part: str | None) -> tuple[Image, Numbers]:
        """Put every picture on the slice of the DICOM file that has its place in name order.

        Raises:
            ImageReadError: another number of pictures than of DICOM files.
            GeometryError: a picture of another size than its slice.
        """
        folder = image.source or Path()
        files = sorted(path for path in folder.iterdir() if path.is_file())
        pictures = sorted(path for path in masks[0].iterdir() if path.is_file())
        if len(files) != len(pictures):
            raise ImageReadError(
                f"{masks[0]} holds {len(pictures)} masks for {len(files)} slices in {folder}; "
                "there must be one a slice"
            )
        numbers = np.zeros(image.geometry.shape, np.uint8)
        for file, picture in zip(files, pictures, strict=True):
            painted = read_image(picture)
            plane = painted.voxels[0].max(axis=2)
            if plane.shape != numbers.shape[1:]:
                raise GeometryError(
                    f"mask {picture} has shape {plane.shape} but its slice {numbers.shape[1:]}; "
                    "both must lie on the same grid"
                )
            target = numbers[_slice_of(file, image)]
            for label_id, (low, high) in self.ids.items():
                target[(plane >= low) & (plane <= high)] = label_id
        return image, numbers


def _points(path: Path) -> Float64[np.ndarray, "points 2"]:
    try:
        lines = [line.split() for line in path.read_text(encoding="ascii").splitlines()]
        points = np.array([[float(number) for number in line] for line in lines if line])
    except (OSError, ValueError) as error:
        raise ImageReadError(f"{path} holds no contour ({error}); copy it again") from error
    if points.ndim != 2 or points.shape[0] < 3 or points.shape[1] != 2:
        raise ImageReadError(
            f"{path} holds numbers of shape {points.shape}; a contour is 3 or more lines of x and y"
        )
    if not np.isfinite(points).all():
        raise ImageReadError(f"{path} holds a point that is not finite; copy it again")
    return points


def _slice_of(file: Path, image: Image) -> int:
    """Return the slice of a volume that a DICOM file became, by its position."""
    try:
        header = pydicom.dcmread(file, stop_before_pixels=True)
        left, back, up = (float(value) for value in header.ImagePositionPatient)
    except (OSError, AttributeError, ValueError, TypeError, pydicom.errors.InvalidDicomError) as e:
        raise ImageReadError(f"{file} has no position ({e}); copy it again") from e
    # DICOM counts towards left and back, our world towards right and front.
    index = round(image.geometry.world_to_voxel((-left, -back, up))[0])
    if not 0 <= index < image.num_slices:
        raise GeometryError(f"{file} lies outside its series; copy the folder again")
    return index


def _renumber(
    array: Shaped[np.ndarray, "slices height width"], ids: Mapping[int, int], path: Path
) -> Numbers:
    present = np.unique(array).tolist()
    unknown = [number for number in present if number and number not in ids]
    if unknown:
        raise LabelError(
            f"{path} holds the label {unknown[0]}; this set defines {', '.join(map(str, ids))}, "
            "so it may be another set or version"
        )
    numbers = np.zeros(array.shape, np.uint8 if max((0, *ids.values())) < 256 else np.uint16)
    for number in present:
        if number:
            numbers[array == number] = ids[number]
    return numbers


def _check_grid(path: Path, mask: Image, image: Image) -> None:
    if mask.geometry.shape != image.geometry.shape:
        raise GeometryError(
            f"mask {path} has shape {mask.shape} but its image {image.shape}; both must lie on "
            "the same grid"
        )
