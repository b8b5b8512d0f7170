"""Where the pixels of an NRRD or MetaImage file are, found before ITK acts on its header.

A header is text of anybody: it may name any file of the machine as its pixels, in spellings that
ITK understands, or sizes that no file has. What is read here must be what ITK will read, so a
spelling that could be taken in two ways is refused.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from medprism.core.errors import ImageReadError

HEADER_BYTES: Final = 1 << 20

_NRRD_END: Final = re.compile(rb"\n\r?\n")
_NRRD_DATA: Final = re.compile(rb"^\s*data ?file\s*:(?!=)[ \t]*(.*?)[ \t\r]*$", re.M | re.I)
_NRRD_PACKED: Final = re.compile(rb"^encoding:\s*(?!raw)", re.M | re.I)
_META_FIELD: Final = b"ElementDataFile"
_META_DATA: Final = re.compile(rb"ElementDataFile[ \t]*=[ \t]*([^\r\n]*?)[ \t]*(?:\r?\n|\Z)")
_META_PACKED: Final = re.compile(rb"^(CompressedData\s*=\s*True|BinaryData\s*=\s*False)", re.M)
_META_AXES: Final = re.compile(rb"NDims\s*[=:]\s*([^\r\n]*)")
_META_PACKED_SIZE: Final = re.compile(rb"CompressedDataSize\s*[=:]\s*([^\r\n]*)")
# Other names of these two formats stand for lists and patterns of files.
_PLAIN_NAME: Final = re.compile(r"(?!LIST\b)[^%/\\\x00]+", re.I)


@dataclass(frozen=True)
class PixelSource:
    """The file that holds the pixels, and whether they are packed in any way."""

    path: Path
    is_packed: bool


def find_pixels(path: Path, head: bytes) -> PixelSource:
    """Return where the pixels are: in the file itself, or in one beside it.

    Args:
        path: the file.
        head: its first `HEADER_BYTES` bytes.

    Raises:
        ImageReadError: a header without end, in an ambiguous spelling, that names a file elsewhere,
            or with a packed size that the file does not have.
    """
    if head.startswith(b"NRRD"):
        header = _nrrd_header(head)
        return PixelSource(_nrrd_data(path, header), _NRRD_PACKED.search(header) is not None)
    at = head.find(_META_FIELD)
    found = _META_DATA.match(head, at) if at >= 0 else None
    if found is None or (at > 0 and head[at - 1 : at] != b"\n"):
        raise ImageReadError(
            "its header has no plain line 'ElementDataFile = ...'; it is truncated or damaged, "
            "export it again"
        )
    header = head[: found.end()]
    data = _beside(path, found.group(1))
    _check_axes(header)
    _check_packed_size(header, data)
    return PixelSource(data, _META_PACKED.search(header) is not None)


def _nrrd_header(head: bytes) -> bytes:
    end = _NRRD_END.search(head)
    header = head if end is None else head[: end.start() + 1]
    is_open = end is None and len(head) >= HEADER_BYTES
    if is_open or b"\0" in header or re.search(rb"\r(?!\n)", header):
        raise ImageReadError(
            f"its header does not end within {HEADER_BYTES} bytes or holds control characters; it "
            "is damaged, export it again"
        )
    return header


def _nrrd_data(path: Path, header: bytes) -> Path:
    named = _NRRD_DATA.findall(header)
    if len(named) > 1:
        raise ImageReadError(
            f"its header names {len(named)} data files where one is meant; save it as one .nrrd"
        )
    return _beside(path, named[0]) if named else path


def _beside(path: Path, stored: bytes) -> Path:
    """Return the file that a header names; only one in its own folder is read."""
    name = stored.decode("utf-8", "replace")
    if name == "LOCAL":
        return path
    data = path.parent / name
    if not _PLAIN_NAME.fullmatch(name) or Path(name).name != name or not data.is_file():
        raise ImageReadError(
            f"its header names the data file {name!r}, which is not a file in the same folder; "
            "put both in one folder or save it as one .nrrd or .mha"
        )
    return data


def _check_axes(header: bytes) -> None:
    """Refuse a number of axes that ITK sets aside memory for, and ends the process over."""
    for stored in _META_AXES.findall(header):
        if stored.strip() not in (b"2", b"3", b"4"):
            shown = stored[:20].decode("ascii", "replace").strip()
            raise ImageReadError(f"its header says NDims = {shown}; 2, 3 or 4 axes can be read")


def _check_packed_size(header: bytes, data: Path) -> None:
    size = data.stat().st_size
    for stored in _META_PACKED_SIZE.findall(header):
        text = stored.strip().decode("ascii", "replace")
        if not text.isdecimal() or int(text[:20]) > size:
            raise ImageReadError(
                f"its header says that its packed pixels have {text[:20]} bytes but the file has "
                f"{size}; it is truncated or damaged, export it again"
            )
