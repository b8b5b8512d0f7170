"""NRRD and MetaImage (MHA, MHD) through SimpleITK; world axes change from LPS to RAS once."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, TypeAlias

import numpy as np
import SimpleITK
from jaxtyping import Shaped

from medprism.core.errors import ImageReadError
from medprism.core.geometry import Affine, Geometry
from medprism.core.image import Image
from medprism.io.foreign import check_promise, decoding
from medprism.io.itk_header import HEADER_BYTES, find_pixels
from medprism.io.lps import swap_index_order, swap_world
from medprism.io.mask_file import (
    KEY,
    Colour,
    MaskFile,
    is_colour,
    to_label_numbers,
    unpack_colours,
    unpack_names,
)
from medprism.io.part import choose_volume

# SimpleITK's functions carry no annotations.
sitk: Final[Any] = SimpleITK
Stored: TypeAlias = Any


def read_itk(path: Path, part: str | None = None) -> Image:
    """Read a picture or a volume; three whole-number components are RGB, alpha is dropped.

    Raises:
        ImageReadError: damaged, complex, or several volumes and no `part`.
        GeometryError: the axes do not span three dimensions.
    """
    stored, geometry = _read(path)
    voxels = _voxels(stored, part)
    return Image(voxels, geometry, is_planar=geometry.shape[0] == 1)


def read_itk_mask(path: Path, part: str | None = None) -> MaskFile:
    """Read label numbers, with names that medprism or 3D Slicer stored.

    Raises:
        ImageReadError: as `read_itk`, or values that are no label numbers.
    """
    stored, geometry = _read(path)
    voxels = _voxels(stored, part)
    if voxels.shape[3] != 1:
        raise ImageReadError("it is a colour volume, a mask holds one label number a voxel")
    numbers = to_label_numbers(voxels[..., 0])
    with decoding("NRRD or MetaImage"):
        fields = {key: stored.GetMetaData(key) for key in stored.GetMetaDataKeys()}
    names = unpack_names(fields.get(KEY)) or _slicer_names(fields)
    colours = unpack_colours(fields.get(KEY)) or _slicer_colours(fields)
    return MaskFile(numbers[0] if geometry.shape[0] == 1 else numbers, geometry, names, colours)


def _read(path: Path) -> tuple[Stored, Geometry]:
    reader = sitk.ImageFileReader()
    with decoding("NRRD or MetaImage"):
        with path.open("rb") as stream:
            head = stream.read(HEADER_BYTES)
        source = find_pixels(path, head)
        is_nrrd = head.startswith(b"NRRD")
        # Named, so that a wrong suffix does not matter.
        reader.SetImageIO("NrrdImageIO" if is_nrrd else "MetaImageIO")
        reader.SetFileName(str(path))
        reader.ReadImageInformation()
        check_promise(_bytes_of(reader), source.path.stat().st_size, is_compressed=source.is_packed)
        if 0 in reader.GetSize():
            raise ImageReadError(
                f"its header gives it {' x '.join(map(str, reader.GetSize()))} pixels; it is "
                "damaged, export it again"
            )
        stored = reader.Execute()
    return stored, _geometry(stored)


def _bytes_of(reader: Stored) -> int:
    sample = sitk.Image([1, 1], reader.GetPixelID()).GetSizeOfPixelComponent()
    return int(math.prod(reader.GetSize()) * reader.GetNumberOfComponents() * sample)


def _voxels(stored: Stored, part: str | None) -> Shaped[np.ndarray, "slices height width channels"]:
    array = sitk.GetArrayFromImage(stored)
    components = stored.GetNumberOfComponentsPerPixel()
    space = array if components > 1 else array[..., None]
    if space.dtype.kind not in "iuf":
        raise ImageReadError(f"it holds {space.dtype} values; real numbers can be read")
    if space.ndim == 5:
        space = space[choose_volume(part, space.shape[0])]
    if space.ndim == 3:
        space = space[None]
    if components in (3, 4) and space.dtype.kind == "u":
        return np.ascontiguousarray(space[..., :3])
    if components > 1:
        index = choose_volume(part, components)
        return np.ascontiguousarray(space[..., index : index + 1])
    return np.asarray(space)


def _geometry(stored: Stored) -> Geometry:
    """Return the grid; a picture gets a slice axis across it, 1 mm long."""
    size = stored.GetSize()
    dimension = len(size)
    used = min(dimension, 3)
    direction = np.asarray(stored.GetDirection(), dtype=np.float64).reshape(dimension, dimension)
    affine: Affine = np.eye(4)
    affine[:used, :used] = direction[:used, :used] * np.asarray(stored.GetSpacing()[:used])
    affine[:used, 3] = stored.GetOrigin()[:used]
    slices = int(size[2]) if dimension > 2 else 1
    shape = (slices, int(size[1]), int(size[0]))
    return Geometry(shape, swap_index_order(swap_world(affine)))


def _slicer_names(fields: Mapping[str, str]) -> Mapping[int, str]:
    """Return the segment names that 3D Slicer writes into .seg.nrrd files."""
    return _slicer_fields(fields, "Name")


def _slicer_colours(fields: Mapping[str, str]) -> Mapping[int, Colour]:
    """Return the segment colours of 3D Slicer, which are three shares of 1."""
    found: dict[int, Colour] = {}
    for number, text in _slicer_fields(fields, "Color").items():
        try:
            colour = tuple(round(255 * float(part)) for part in text.split())
        except (ValueError, OverflowError):
            continue
        if is_colour(colour):
            found[number] = (colour[0], colour[1], colour[2])
    return found


def _slicer_fields(fields: Mapping[str, str], name: str) -> dict[int, str]:
    found: dict[int, str] = {}
    for key, value in fields.items():
        match = re.fullmatch(r"Segment(\d+)_LabelValue", key)
        text = fields.get(f"Segment{match.group(1)}_{name}") if match else None
        if text is not None and value.isdecimal() and value.isascii():
            found[int(value)] = text
    return found
