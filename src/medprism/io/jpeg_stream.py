"""What the header of a JPEG, JPEG-LS or JPEG 2000 stream says about its own size.

Compared with the DICOM header around it before any decoder sees the stream: a damaged size is
named, and nobody allocates memory for it.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Final

# Start of frame: baseline to lossless (ITU-T T.81, table B.1), and JPEG-LS (T.87).
_FRAME_MARKERS: Final = frozenset({*range(0xC0, 0xD0), 0xF7} - {0xC4, 0xC8, 0xCC})
_STANDALONE: Final = frozenset({0x01, *range(0xD0, 0xD9)})
# Start of codestream followed by its size; a JP2 file has boxes before that.
_JPEG_2000: Final = b"\xff\x4f\xff\x51"
_JP2_BOX: Final = b"\x00\x00\x00\x0cjP  "


@dataclass(frozen=True)
class StreamSize:
    """Size of a compressed picture; `precision` is its bits a sample."""

    height: int
    width: int
    samples: int
    precision: int


def stream_size(stream: bytes) -> StreamSize:
    """Return the size that a compressed stream states.

    Raises:
        ValueError: it is no JPEG, JPEG-LS or JPEG 2000 stream, or ends before its size.

    >>> stream_size(bytes.fromhex("ffd8fff7000b100032000a01011100"))
    StreamSize(height=50, width=10, samples=1, precision=16)
    """
    try:
        if stream.startswith((_JPEG_2000, _JP2_BOX)):
            return _jpeg_2000_size(stream[stream.index(_JPEG_2000) :])
        if stream.startswith(b"\xff\xd8"):
            return _jpeg_size(stream)
    except (struct.error, IndexError) as error:
        raise ValueError("the compressed stream ends before its size") from error
    raise ValueError(f"a compressed stream cannot begin with {stream[:4].hex()}")


def _jpeg_size(stream: bytes) -> StreamSize:
    at = 2
    while True:
        while stream[at] == 0xFF and stream[at + 1] == 0xFF:
            at += 1
        fill, marker = stream[at], stream[at + 1]
        if fill != 0xFF:
            raise ValueError(f"no marker at byte {at} of the compressed stream")
        if marker in _FRAME_MARKERS:
            precision, height, width, samples = struct.unpack_from(">BHHB", stream, at + 4)
            return StreamSize(height, width, samples, precision)
        length = 0 if marker in _STANDALONE else struct.unpack_from(">H", stream, at + 2)[0]
        at += 2 + length


def _jpeg_2000_size(stream: bytes) -> StreamSize:
    right, bottom, left, top = struct.unpack_from(">IIII", stream, 8)
    samples = struct.unpack_from(">H", stream, 40)[0]
    precision = (stream[42] & 0x7F) + 1
    return StreamSize(bottom - top, right - left, samples, precision)
