"""A DICOM file as a mask: a segmentation, contours, or an image of label numbers."""

from __future__ import annotations

from pathlib import Path

from pydicom.errors import BytesLengthException, InvalidDicomError

from medprism.core.errors import ImageReadError
from medprism.core.image import Image
from medprism.io.dicom import read_dicom
from medprism.io.dicom_object import read_object
from medprism.io.dicom_seg_reader import read_dicom_seg
from medprism.io.foreign import decoding
from medprism.io.mask_file import MaskFile, to_label_numbers
from medprism.io.rtstruct_reader import read_rtstruct


def read_dicom_mask(path: Path, like: Image | None = None) -> MaskFile:
    """Read whatever mask a DICOM file holds; contours need the image they lie on.

    Raises:
        ImageReadError: damaged, fractions, a colour picture, or contours without an image.
        GeometryError: segments or contours that lie on no slice of the image.
    """
    with decoding("DICOM", InvalidDicomError, BytesLengthException, is_private=True):
        modality = read_object(path, stop_before_pixels=True).get("Modality")
    if modality == "SEG":
        return read_dicom_seg(path, like)
    if modality == "RTSTRUCT":
        return read_rtstruct(path, like)
    return as_numbers(read_dicom(path))


def as_numbers(image: Image) -> MaskFile:
    """Take the intensities of an image as label numbers.

    Raises:
        ImageReadError: a colour picture, or values that are no label numbers.
    """
    if image.is_rgb:
        raise ImageReadError("it is a colour picture, a mask holds one label number a pixel")
    array = to_label_numbers(image.from_stack(image.voxels[..., 0]))
    return MaskFile(array, image.geometry, {})
