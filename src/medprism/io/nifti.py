"""NIfTI-1 and NIfTI-2, gzipped or not: volumes with any affine, sheared ones too."""

from __future__ import annotations

import gzip
import io
import itertools
import logging
import math
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, TypeAlias

import nibabel as nib
import numpy as np
from jaxtyping import Shaped
from nibabel.filebasedimages import ImageFileError
from nibabel.fileholders import FileHolder
from nibabel.spatialimages import HeaderDataError, HeaderTypeError, ImageDataError
from nibabel.wrapstruct import WrapStructError

from medprism.core.errors import ImageReadError
from medprism.core.geometry import TOLERANCE_VOXELS, Affine, Geometry
from medprism.core.image import Image
from medprism.io.bounded_file import BoundedFile
from medprism.io.foreign import check_promise, decoding
from medprism.io.lps import swap_index_order
from medprism.io.mask_file import MaskFile, to_label_numbers, unpack_colours, unpack_names
from medprism.io.part import choose_volume

# nibabel annotates only part of its image classes.
Stored: TypeAlias = Any

_FAILURES: Final = (
    HeaderDataError,
    HeaderTypeError,
    ImageDataError,
    ImageFileError,
    WrapStructError,
)
_GZIP: Final = b"\x1f\x8b"
_CHUNK: Final = 1 << 20
# Bytes that may follow the pixels.
_TRAILING: Final = 1 << 24
_MAGIC: Final = slice(344, 347)
# What a unit of the header's length code is in mm; code 0 says nothing and means mm in practice.
_MILLIMETRES: Final = {"unknown": 1.0, "meter": 1000.0, "mm": 1.0, "micron": 0.001}

_log = logging.getLogger(__name__)


def read_nifti(path: Path, part: str | None = None) -> Image:
    """Read a 2-D or 3-D NIfTI, or one volume of a 4-D one.

    Our axes (slice, row, col) are NIfTI's (k, j, i). The header's scale is applied. One slice
    along k makes a planar image. RGB keeps its colours, RGBA loses its alpha. The sform says where
    voxels lie, the qform where there is none; that both are there and disagree is logged.

    Raises:
        ImageReadError: damaged, complex, more than four axes, or several volumes and no `part`.
        GeometryError: the affine does not span three dimensions.
    """
    with _opened(path) as image:
        voxels = _voxels(image, part)
        affine = _affine(image)
        _report_two_places(image, path)
    shape = (voxels.shape[0], voxels.shape[1], voxels.shape[2])
    return Image(voxels, Geometry(shape, affine), is_planar=shape[0] == 1)


def read_nifti_mask(path: Path, part: str | None = None) -> MaskFile:
    """Read label numbers, with names where a medprism extension holds them.

    Raises:
        ImageReadError: as `read_nifti`, or values that are no label numbers.
    """
    with _opened(path) as image:
        voxels = _voxels(image, part)
        affine = _affine(image)
        texts = [_text(extension.get_content()) for extension in image.header.extensions]
    if voxels.shape[3] != 1:
        raise ImageReadError("it is a colour volume, a mask holds one label number a voxel")
    numbers = to_label_numbers(voxels[..., 0])
    shape = (numbers.shape[0], numbers.shape[1], numbers.shape[2])
    tables = [table for table in map(unpack_names, texts) if table]
    names = tables[0] if tables else unpack_names(None)
    colours = next((found for found in map(unpack_colours, texts) if found), {})
    array = numbers[0] if shape[0] == 1 else numbers
    return MaskFile(array, Geometry(shape, affine), names, colours)


@contextmanager
def _opened(path: Path) -> Iterator[Stored]:
    """Open by content, whatever the suffix says, and check that the pixels can be there."""
    with (
        decoding("NIfTI", *_FAILURES),
        # nibabel prints what it thinks of a header on stderr.
        nib.imageglobals.LoggingOutputSuppressor(),
        _stream(path) as stream,
    ):
        magic = stream.read(_MAGIC.stop)[_MAGIC]
        stream.seek(0)
        header = FileHolder(fileobj=stream)
        if magic == b"ni1":
            data_path = path.with_suffix(".img")
            with BoundedFile(data_path) as data:
                holders = {"header": header, "image": FileHolder(fileobj=data)}
                kind: Stored = nib.Nifti1Pair
                yield _checked(kind.from_file_map(holders), data_path)
            needed = 0
        else:
            kind = nib.Nifti1Image if magic == b"n+1" else nib.Nifti2Image
            image = _checked(kind.from_file_map({"header": header, "image": header}), path)
            yield image
            needed = _end_of_pixels(image)
        if isinstance(stream, gzip.GzipFile):
            _read_to_end(stream, needed)


def _read_to_end(stream: gzip.GzipFile, needed: int) -> None:
    """Let gzip compare its checksum, which it does only at the very end."""
    while stream.read(_CHUNK):
        if stream.tell() > needed + _TRAILING:
            raise ImageReadError(
                f"it unpacks to more than {needed + _TRAILING} bytes where its header needs "
                f"{needed}; it is damaged, export it again"
            )


def _end_of_pixels(image: Stored) -> int:
    """Return the number of the byte after the last one of the pixels."""
    size = math.prod(image.shape) * image.get_data_dtype().itemsize
    return int(size + image.dataobj.offset)


def _stream(path: Path) -> io.BufferedIOBase:
    with path.open("rb") as stream:
        is_compressed = stream.read(2) == _GZIP
    return gzip.GzipFile(path) if is_compressed else BoundedFile(path)


def _checked(image: Stored, data_path: Path) -> Stored:
    with data_path.open("rb") as stream:
        is_compressed = stream.read(2) == _GZIP
    # What lies before the pixels is unpacked, too.
    promised = _end_of_pixels(image)
    check_promise(promised, data_path.stat().st_size, is_compressed=is_compressed)
    return image


def _voxels(image: Stored, part: str | None) -> Shaped[np.ndarray, "slices height width channels"]:
    shape = image.shape
    while len(shape) > 3 and shape[-1] == 1:
        shape = shape[:-1]
    if len(shape) not in (2, 3, 4) or 0 in shape:
        raise ImageReadError(
            f"it has shape {image.shape}; a picture, a volume or a row of volumes without empty "
            "axes can be read"
        )
    count = shape[3] if len(shape) == 4 else 1
    index = choose_volume(part, count)
    # The proxy applies the header's scale, and reads no more than the volume asked for.
    everything = slice(None)
    where = (everything, everything, everything, index) if len(shape) == 4 else ...
    stored = np.asanyarray(image.dataobj[where]).reshape((*shape[:2], -1))
    return _channels(stored).transpose(2, 1, 0, 3)


def _channels(stored: Shaped[np.ndarray, "i j k"]) -> Shaped[np.ndarray, "i j k channels"]:
    """Return real native numbers with their colour channels last."""
    if stored.dtype.names is not None:
        return np.stack([stored[name] for name in stored.dtype.names[:3]], axis=-1)
    if stored.dtype.kind not in "iuf":
        raise ImageReadError(f"it holds {stored.dtype} values; real numbers can be read")
    if stored.dtype.kind == "f" and stored.dtype.itemsize > 4:
        stored = stored.astype(np.float32)
    return stored.astype(stored.dtype.newbyteorder("="), copy=False)[..., None]


def _affine(image: Stored) -> Affine:
    """Return the affine in mm with columns (slice, row, col)."""
    length, _ = image.header.get_xyzt_units()
    affine = np.array(image.affine, dtype=np.float64)
    affine[:3] *= _MILLIMETRES[length]
    return swap_index_order(affine)


def _report_two_places(image: Stored, path: Path) -> None:
    """Log that qform and sform put a corner of the grid to different places."""
    header = image.header
    if not (header["sform_code"] and header["qform_code"]):
        return
    try:
        qform = header.get_qform()
    except (HeaderDataError, ValueError):
        # A damaged quaternion places nothing, in other programs neither.
        return
    shape = (*image.shape, 1)[:3]
    corners = np.array([(*c, 1) for c in itertools.product(*((0, n - 1) for n in shape))]).T
    shift = float(np.linalg.norm((image.affine - qform)[:3] @ corners, axis=0).max())
    spacing = float(np.linalg.norm(image.affine[:3, :3], axis=0).min())
    if not shift <= TOLERANCE_VOXELS * spacing:
        _log.warning(
            "%s has a qform and an sform that lie %.3g voxels apart: the sform is used, as nibabel "
            "does, and other programs may use the qform and show image and mask elsewhere",
            path.name,
            shift / spacing,
        )


def _text(content: object) -> str | None:
    return content.decode("ascii", "replace").rstrip("\0") if isinstance(content, bytes) else None
