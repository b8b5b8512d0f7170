"""Read any image or mask: the content decides the format; a folder is one volume."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from medprism.core.errors import GeometryError, ImageReadError
from medprism.core.geometry import TOLERANCE_VOXELS, Geometry
from medprism.core.image import Image
from medprism.io.coco_reader import read_coco
from medprism.io.dicom import holds_dicom, read_dicom, read_dicom_folder
from medprism.io.dicom_mask import as_numbers, read_dicom_mask
from medprism.io.foreign import naming
from medprism.io.itk_volume import read_itk, read_itk_mask
from medprism.io.mask_file import MaskFile
from medprism.io.nifti import read_nifti, read_nifti_mask
from medprism.io.picture_folder import (
    list_pictures,
    read_picture_folder,
    read_picture_folder_mask,
)
from medprism.io.raster import read_raster, read_raster_mask
from medprism.io.recognise import recognise
from medprism.io.resample import resample_mask
from medprism.io.tiff import read_tiff, read_tiff_mask


@dataclass(frozen=True)
class Format:
    """How one format is read: as an image and as label numbers, by path and part.

    A mask reader is also given the image that the mask belongs to, where it is known: contours need
    its grid, segments of some slices find their place on it.
    """

    read: Callable[[Path, str | None], Image]
    read_mask: Callable[[Path, str | None, Image | None], MaskFile]


def _whole(read: Callable[[Path], Image]) -> Callable[[Path, str | None], Image]:
    """Let a reader of files with one image refuse a part."""

    def read_whole(path: Path, part: str | None) -> Image:
        _refuse_part(part)
        return read(path)

    return read_whole


def _whole_mask(
    read: Callable[[Path], MaskFile],
) -> Callable[[Path, str | None, Image | None], MaskFile]:
    def read_whole(path: Path, part: str | None, like: Image | None) -> MaskFile:
        _refuse_part(part)
        return read(path)

    return read_whole


def _on_its_own(
    read: Callable[[Path, str | None], MaskFile],
) -> Callable[[Path, str | None, Image | None], MaskFile]:
    """Let a reader of masks that know their grid do without the image."""
    return lambda path, part, like: read(path, part)


def _refuse_part(part: str | None) -> None:
    if part is not None:
        raise ImageReadError(f"it holds one image, so there is no part {part!r}; leave it out")


def _dicom_mask(path: Path, part: str | None, like: Image | None) -> MaskFile:
    _refuse_part(part)
    return read_dicom_mask(path, like)


def _no_image(path: Path, part: str | None) -> Image:
    raise ImageReadError("it is a COCO file, which holds masks; choose the image it belongs to")


FORMATS: Final[dict[str, Format]] = {
    "raster": Format(_whole(read_raster), _whole_mask(read_raster_mask)),
    "tiff": Format(_whole(read_tiff), _whole_mask(read_tiff_mask)),
    "nifti": Format(read_nifti, _on_its_own(read_nifti_mask)),
    "nrrd": Format(read_itk, _on_its_own(read_itk_mask)),
    "meta": Format(read_itk, _on_its_own(read_itk_mask)),
    "dicom": Format(_whole(read_dicom), _dicom_mask),
    "dicom folder": Format(
        read_dicom_folder, lambda path, part, like: as_numbers(read_dicom_folder(path, part))
    ),
    "picture folder": Format(_whole(read_picture_folder), _whole_mask(read_picture_folder_mask)),
    "coco": Format(_no_image, read_coco),
}


def read_image(path: Path | str, part: str | None = None) -> Image:
    """Read an image file, the folder of a DICOM series, or a folder of numbered pictures.

    PNG, JPEG, BMP, TIFF, NIfTI, NRRD, MHA, MHD and DICOM are told apart by their content, so a
    wrong suffix does not matter; the pictures of a folder are the slices of one volume. An image
    with one slice is planar, whatever the format.

    Args:
        path: the file or folder.
        part: which image, where there are several: the number of a volume (from "0"), or the
            SeriesInstanceUID or SeriesNumber in a DICOM folder.

    Raises:
        ImageReadError: missing, empty, damaged or of no known format; the message says which.
        GeometryError: the header's affine does not span three dimensions.
    """
    path = Path(path)
    with naming(path):
        return FORMATS[_format_of(path)].read(path, part).replace(source=path, part=part)


def read_mask(
    path: Path | str,
    like: Image | None = None,
    part: str | None = None,
    *,
    resample: bool = False,
) -> MaskFile:
    """Read label numbers, on the grid of `like` where it is given.

    The grids are compared in world millimetres where both files know them, else by shape. A mask
    of one slice fits a planar image. With `resample` a mask on another grid is brought onto that
    of the image, as `resample.resample_mask` does. Contours (RTSTRUCT) are filled on the image's
    slices, so it must be given.

    Raises:
        ImageReadError: unreadable, or values that are no label numbers.
        GeometryError: the mask lies on another grid than `like` and is not to be resampled, or
            cannot be.
    """
    path = Path(path)
    with naming(path):
        found = _read_mask_file(path, like, part, resample=resample)
    if like is None:
        return found
    here, there = found.geometry, like.geometry
    both_know = here.is_physical and there.is_physical
    if here.shape != there.shape or (both_know and not here.matches(there)):
        if not resample:
            raise GeometryError(_two_grids(path, here, like))
        with naming(path):
            found = resample_mask(found, there)
    array = like.from_stack(found.array.reshape(there.shape))
    covered = {
        number: like.from_stack(plane.reshape(there.shape))
        for number, plane in found.covered.items()
    }
    return replace(found, array=array, geometry=there, covered=covered)


def _read_mask_file(
    path: Path, like: Image | None, part: str | None, *, resample: bool
) -> MaskFile:
    read = FORMATS[_format_of(path)].read_mask
    try:
        return read(path, part, like)
    except GeometryError as refusal:
        if not resample:
            raise
        try:
            return read(path, part, None)
        except ImageReadError:
            # Contours have no grid of their own to be resampled from.
            raise refusal from None


def _two_grids(path: Path, here: Geometry, like: Image) -> str:
    there = like.geometry
    image = "its image" if like.source is None else f"its image {like.source}"
    if not (here.is_physical and there.is_physical):
        return (
            f"mask {path} lies on {here.describe()} but {image} on {there.describe()}, and without "
            "a spacing in both files there is no way to resample the mask; choose the mask that "
            "belongs to the image"
        )
    return (
        f"mask {path} lies on {here.describe()} but {image} on {there.describe()}; they may differ "
        f"by {TOLERANCE_VOXELS:g} voxels at the corners, so resample the mask onto the image with "
        "--resample (resample=True), or choose the one that belongs to it"
    )


def _format_of(path: Path) -> str:
    if not path.is_dir():
        return recognise(path)
    is_stack = list_pictures(path) and not holds_dicom(path)
    return "picture folder" if is_stack else "dicom folder"
