"""Read any image or mask: the content decides the format, a folder is a DICOM series."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, TypeVar

from medprism.core.errors import FormatVersionError, GeometryError, ImageReadError
from medprism.core.geometry import TOLERANCE_VOXELS, Geometry
from medprism.core.image import Image
from medprism.io.dicom import read_dicom, read_dicom_folder
from medprism.io.itk_volume import read_itk, read_itk_mask
from medprism.io.mask_file import MaskFile, to_label_numbers
from medprism.io.nifti import read_nifti, read_nifti_mask
from medprism.io.raster import read_raster, read_raster_mask
from medprism.io.recognise import recognise
from medprism.io.resample import resample_mask
from medprism.io.tiff import read_tiff, read_tiff_mask

_Read = TypeVar("_Read", Image, MaskFile)


@dataclass(frozen=True)
class Format:
    """How one format is read: as an image and as label numbers, by path and part."""

    read: Callable[[Path, str | None], Image]
    read_mask: Callable[[Path, str | None], MaskFile]


def _whole(read: Callable[[Path], _Read]) -> Callable[[Path, str | None], _Read]:
    """Let a reader of files with one image refuse a part."""

    def read_whole(path: Path, part: str | None) -> _Read:
        if part is not None:
            raise ImageReadError(f"it holds one image, so there is no part {part!r}; leave it out")
        return read(path)

    return read_whole


def _numbers(read: Callable[[Path, str | None], Image]) -> Callable[[Path, str | None], MaskFile]:
    """Take the intensities of an image as label numbers."""

    def read_numbers(path: Path, part: str | None) -> MaskFile:
        image = read(path, part)
        if image.is_rgb:
            raise ImageReadError("it is a colour picture, a mask holds one label number a pixel")
        array = to_label_numbers(image.from_stack(image.voxels[..., 0]))
        return MaskFile(array, image.geometry, {})

    return read_numbers


FORMATS: Final[dict[str, Format]] = {
    "raster": Format(_whole(read_raster), _whole(read_raster_mask)),
    "tiff": Format(_whole(read_tiff), _whole(read_tiff_mask)),
    "nifti": Format(read_nifti, read_nifti_mask),
    "nrrd": Format(read_itk, read_itk_mask),
    "meta": Format(read_itk, read_itk_mask),
    "dicom": Format(_whole(read_dicom), _numbers(_whole(read_dicom))),
    "dicom folder": Format(read_dicom_folder, _numbers(read_dicom_folder)),
}


def read_image(path: Path | str, part: str | None = None) -> Image:
    """Read an image file or the folder of a DICOM series.

    PNG, JPEG, BMP, TIFF, NIfTI, NRRD, MHA, MHD and DICOM are told apart by their content, so a
    wrong suffix does not matter. An image with one slice is planar, whatever the format.

    Args:
        path: the file or folder.
        part: which image, where there are several: the number of a volume (from "0"), or the
            SeriesInstanceUID in a DICOM folder.

    Raises:
        ImageReadError: missing, empty, damaged or of no known format; the message says which.
        GeometryError: the header's affine does not span three dimensions.
    """
    path = Path(path)
    with _named(path):
        return FORMATS[_format_of(path)].read(path, part).replace(source=path)


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
    of the image, as `resample.resample_mask` does.

    Raises:
        ImageReadError: unreadable, or values that are no label numbers.
        GeometryError: the mask lies on another grid than `like` and is not to be resampled, or
            cannot be.
    """
    path = Path(path)
    with _named(path):
        found = FORMATS[_format_of(path)].read_mask(path, part)
    if like is None:
        return found
    here, there = found.geometry, like.geometry
    both_know = here.is_physical and there.is_physical
    if here.shape != there.shape or (both_know and not here.matches(there)):
        if not resample:
            raise GeometryError(_two_grids(path, here, like))
        with _named(path):
            found = resample_mask(found, there)
    array = like.from_stack(found.array.reshape(there.shape))
    return replace(found, array=array, geometry=there)


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
    return "dicom folder" if path.is_dir() else recognise(path)


@contextmanager
def _named(path: Path) -> Iterator[None]:
    """Put the path before the reason that a reader gives."""
    try:
        yield
    except (ImageReadError, GeometryError, FormatVersionError) as error:
        raise type(error)(f"{path}: {error}") from error
