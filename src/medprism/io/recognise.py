"""What a file is, by its first bytes; the suffix is only asked where there are none to go by."""

from __future__ import annotations

import re
import zlib
from pathlib import Path
from typing import Final

from medprism.core.errors import ImageReadError
from medprism.io.foreign import decoding

_HEAD: Final = 1024
_MAGIC: Final[dict[bytes, str]] = {
    b"\x89PNG\r\n\x1a\n": "raster",
    b"\xff\xd8\xff": "raster",
    b"II*\x00": "tiff",
    b"MM\x00*": "tiff",
    b"II+\x00": "tiff",
    b"MM\x00+": "tiff",
    b"NRRD000": "nrrd",
}
_REFUSED: Final[dict[bytes, str]] = {
    b"PK\x03\x04": "a ZIP archive; unpack it first",
    b"%PDF": "a PDF document; save its picture as PNG",
    b"GIF8": "a GIF; save it as PNG",
    b"RIFF": "a WebP or other RIFF file; save it as PNG",
    b"\x89HDF": "an HDF5 file; export its array as NIfTI",
    b"CDF\x01": "a NetCDF or MINC file; export it as NIfTI",
    b"<svg": "a vector drawing; save it as PNG",
}
_META: Final = re.compile(rb"^(\s*[A-Za-z]+\s*=[^\n]*\n)*\s*NDims\s*=\s*\d", re.ASCII)
# An object with a name, so that a text that only begins with a brace is none.
_JSON: Final = re.compile(rb'^(\xef\xbb\xbf)?\s*\{\s*"')
_NIFTI: Final = {(344, b"n+1\x00"), (344, b"ni1\x00"), (4, b"n+2\x00")}
# Sizes of the second header of a bitmap; "BM" alone also begins ordinary text.
_BITMAP_HEADERS: Final = (12, 40, 52, 56, 64, 108, 124)


def recognise(path: Path) -> str:
    """Return the format of a file: a key of `reader.FORMATS`.

    Raises:
        ImageReadError: missing, not a file, empty, or none of these.
    """
    if not path.exists():
        raise ImageReadError("there is no such file")
    if not path.is_file():
        raise ImageReadError("it is not a regular file; pass a file or a DICOM folder")
    with decoding("a file"), path.open("rb") as stream:
        head = stream.read(_HEAD)
    if not head:
        raise ImageReadError("it is empty (0 bytes); copy it again")
    found = of_content(head)
    if found is None:
        raise ImageReadError(_refusal(path, head))
    return found


def of_content(head: bytes) -> str | None:
    """Return the format that the first 1024 bytes of a file show, None if none.

    >>> of_content(b"NRRD0004"), of_content(b"hello")
    ('nrrd', None)
    """
    if head.startswith(b"\x1f\x8b"):
        head = _unpacked(head)
        return "nifti" if _is_nifti(head) else None
    # A DICOM preamble may hold the beginning of a TIFF, so that viewers of both can open it.
    if head[128:132] == b"DICM":
        return "dicom"
    for magic, name in _MAGIC.items():
        if head.startswith(magic):
            return name
    if _is_nifti(head):
        return "nifti"
    if _is_bitmap(head):
        return "raster"
    if _META.match(head):
        return "meta"
    if is_dicom(head):
        return "dicom"
    return "coco" if _JSON.match(head) else None


def is_dicom(head: bytes) -> bool:
    """Say whether the bytes begin a DICOM file, with the preamble or (as old ones) without.

    >>> is_dicom(bytes(128) + b"DICM")
    True
    """
    if head[128:132] == b"DICM":
        return True
    # Without the preamble: a small element of group 2 or 8, with a VR or a plausible length.
    is_first_group = head[:2] in (b"\x02\x00", b"\x08\x00") and head[3:4] == b"\x00"
    has_type = re.fullmatch(rb"[A-Z]{2}", head[4:6]) is not None
    is_short = len(head) >= 8 and int.from_bytes(head[4:8], "little") <= 64
    return is_first_group and (has_type or is_short)


def _unpacked(head: bytes) -> bytes:
    try:
        return zlib.decompressobj(wbits=31).decompress(head, _HEAD)
    except zlib.error:
        return b""


def _is_nifti(head: bytes) -> bool:
    return any(head[start : start + 4] == magic for start, magic in _NIFTI)


def _is_bitmap(head: bytes) -> bool:
    return head.startswith(b"BM") and int.from_bytes(head[14:18], "little") in _BITMAP_HEADERS


def _refusal(path: Path, head: bytes) -> str:
    for magic, name in _REFUSED.items():
        if head.startswith(magic):
            return f"it is {name}"
    if path.suffix.lower() == ".img" and path.with_suffix(".hdr").exists():
        return f"it is the data of a pair; pass {path.with_suffix('.hdr').name}"
    return (
        f"it begins with {head[:8]!r}, which no supported format does (PNG, JPEG, BMP, TIFF, "
        "NIfTI, NRRD, MetaImage, DICOM); convert it"
    )
