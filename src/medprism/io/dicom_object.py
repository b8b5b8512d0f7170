"""One DICOM object from its file, with bounds on what a damaged or hostile one may take."""

from __future__ import annotations

import zlib
from pathlib import Path
from typing import Final

import pydicom
from pydicom.filereader import read_dataset, read_preamble
from pydicom.uid import DeflatedExplicitVRLittleEndian

from medprism.io.bounded_file import BoundedFile
from medprism.io.dicom_pixels import Dataset
from medprism.io.memory_budget import check_unpacked

_CHUNK: Final = 1 << 20
_META_GROUP: Final = 2


def read_object(path: Path, *, stop_before_pixels: bool = False) -> Dataset:
    """Read an object, with or without the preamble; call it inside `decoding`.

    Raises:
        ImageReadError: it is deflated as a whole and unpacks to more than is allowed.
    """
    with BoundedFile(path) as file:
        _check_deflated(file, path.stat().st_size)
        file.seek(0)
        return pydicom.dcmread(file, force=True, stop_before_pixels=stop_before_pixels)


def _check_deflated(file: BoundedFile, size: int) -> None:
    """Count what a deflated object unpacks to, since pydicom unpacks it in one go."""
    if read_preamble(file, force=True) is None:
        return
    meta = read_dataset(
        file,
        is_implicit_VR=False,
        is_little_endian=True,
        stop_when=lambda tag, _type, _length: tag.group != _META_GROUP,
    )
    if meta.get("TransferSyntaxUID") != DeflatedExplicitVRLittleEndian:
        return
    unpacker, total = zlib.decompressobj(-zlib.MAX_WBITS), 0
    while chunk := unpacker.unconsumed_tail or file.read(_CHUNK):
        total += len(unpacker.decompress(chunk, _CHUNK))
        check_unpacked(total, size)
