"""One tile of a tiled TIFF: the stored bytes in, pixels out.

Uncompressed, deflated and LZMA tiles are unpacked here, up to the size they must have. JPEG, JPEG
2000, and as pictures of their own LZW and PackBits, go to the decoders that come with Pillow, so
that no further package is needed.
"""

from __future__ import annotations

import io
import lzma
import struct
import zlib
from dataclasses import dataclass
from typing import Final

import numpy as np
import tifffile
from jaxtyping import Shaped
from PIL import Image as Pillow
from PIL import Jpeg2KImagePlugin, JpegImagePlugin, TiffImagePlugin

from medprism.core.errors import ImageReadError
from medprism.io.jpeg_stream import stream_size

Tile = Shaped[np.ndarray, "height width samples"]

_LONG: Final = 4
_SHORT: Final = 3
_NONE, _LZW, _JPEG, _PACKBITS = 1, 5, 7, 32773
_DEFLATE: Final = (8, 32946)
_LZMA: Final = 34925
_BY_LIBTIFF: Final = (_LZW, _PACKBITS)
# Aperio's numbers for YCbCr and RGB, and the registered one.
_JPEG_2000_YCBCR: Final = 33003
_JPEG_2000: Final = (_JPEG_2000_YCBCR, 33005, 34712)
_KNOWN: Final = (_NONE, *_DEFLATE, _LZMA, _JPEG, *_BY_LIBTIFF, *_JPEG_2000)
_START_OF_SCAN: Final = 0xDA
# JFIF and Adobe.
_COLOUR_MARKERS: Final = (0xE0, 0xEE)
_HORIZONTAL: Final = 2
_SYCC: Final = 18
_YCBCR: Final = 6
# 4096 x 4096 pixels of 16-bit RGB; scanners write tiles of 256 to 1024.
LARGEST_TILE: Final = 4096 * 4096 * 6


@dataclass(frozen=True)
class TileFormat:
    """How the tiles of one level are stored; numbers are those of TIFF 6.0.

    `samples` is how many one stored tile holds: 1 where colours lie in planes of their own.
    """

    height: int
    width: int
    samples: int
    bits: int
    byteorder: str
    compression: int
    predictor: int
    photometric: int
    jpeg_tables: bytes | None

    @property
    def size(self) -> int:
        """Bytes of a decoded tile."""
        return self.height * self.width * self.samples * self.bits // 8


def tile_format(page: tifffile.TiffPage) -> TileFormat:
    """Return how a page stores its tiles, refusing what cannot be decoded before any is.

    Raises:
        ImageReadError: a compression, depth or size of tiles that is not supported.
    """
    is_separate = page.planarconfig == tifffile.PLANARCONFIG.SEPARATE
    found = TileFormat(
        height=int(page.tilelength),
        width=int(page.tilewidth),
        samples=1 if is_separate else int(page.samplesperpixel),
        bits=int(page.bitspersample),
        byteorder=page.parent.byteorder,
        compression=int(page.compression),
        predictor=int(page.predictor),
        photometric=int(page.photometric),
        jpeg_tables=page.jpegtables,
    )
    if page.dtype is None or page.dtype.kind != "u" or found.bits not in (8, 16):
        raise ImageReadError(
            f"its tiles hold {found.bits} bits of {page.dtype}; 8 and 16 bit without sign can be "
            "read, convert it"
        )
    if found.compression not in _KNOWN:
        name = getattr(page.compression, "name", page.compression)
        raise ImageReadError(
            f"its tiles are compressed by {name}; none, deflate, LZMA, LZW, PackBits, JPEG and "
            "JPEG 2000 can be read, convert it"
        )
    _check_depth(found)
    if not 0 < found.size <= LARGEST_TILE:
        raise ImageReadError(
            f"its tiles of {found.height} x {found.width} pixels take {found.size} bytes each; up "
            f"to {LARGEST_TILE} can be read, save it with smaller tiles"
        )
    return found


def _check_depth(found: TileFormat) -> None:
    is_ours = found.compression in (_NONE, *_DEFLATE, _LZMA)
    is_jpeg = found.compression in (_JPEG, *_JPEG_2000)
    if found.predictor not in (1, _HORIZONTAL) or (found.photometric == _YCBCR and not is_jpeg):
        raise ImageReadError(
            f"its tiles are stored by predictor {found.predictor} and photometric "
            f"{found.photometric}, which cannot be read together; save it as RGB"
        )
    if not is_ours and found.bits == 16 and found.samples > 1:
        raise ImageReadError(
            "its tiles hold 16-bit colour under a compression that is read at 8 bit only; save it "
            "as 8 bit, or by deflate"
        )


def decode_tile(stored: bytes, form: TileFormat) -> Tile:
    """Return the pixels of one stored tile. Call it inside `foreign.decoding`.

    Raises:
        ValueError: the bytes are not a tile of this form; Pillow may raise others.
    """
    if form.compression == _JPEG:
        pixels = _by_libjpeg(stored, form)
    elif form.compression in _BY_LIBTIFF:
        pixels = _by_libtiff(stored, form)
    elif form.compression in _JPEG_2000:
        pixels = _by_openjpeg(stored, form)
    else:
        pixels = _unpacked(stored, form)
    if pixels.shape != (form.height, form.width, form.samples):
        raise ValueError(
            f"a tile is {pixels.shape} where its header says {form.height} x {form.width}"
        )
    return pixels


def _unpacked(stored: bytes, form: TileFormat) -> Tile:
    if form.compression in _DEFLATE:
        stored = zlib.decompressobj().decompress(stored, form.size)
    elif form.compression == _LZMA:
        stored = lzma.LZMADecompressor().decompress(stored, form.size)
    if len(stored) < form.size:
        raise ValueError(f"a tile has {len(stored)} of its {form.size} bytes")
    dtype = np.dtype(f"{form.byteorder}u{form.bits // 8}")
    pixels = np.frombuffer(stored, dtype, count=form.size // dtype.itemsize)
    tile = pixels.reshape(form.height, form.width, form.samples)
    tile = tile.astype(dtype.newbyteorder("="))
    if form.predictor == _HORIZONTAL:
        np.cumsum(tile, axis=1, dtype=tile.dtype, out=tile)
    return tile


def _by_libjpeg(stored: bytes, form: TileFormat) -> Tile:
    stream = _whole_jpeg(stored, form)
    _check_stream(stream, form, "JPEG")
    name = JpegImagePlugin.JpegImageFile.format
    with Pillow.open(io.BytesIO(stream), formats=(name,)) as picture:
        return _with_samples(np.array(picture))


def _whole_jpeg(stored: bytes, form: TileFormat) -> bytes:
    """Join a tile with the tables that all tiles share, and say what its colours are.

    What the TIFF says of the colours holds, not markers of the tile: Aperio stores plain RGB, which
    libjpeg would take for YCbCr (TIFF Technical Note 2).
    """
    is_ycbcr = form.photometric == _YCBCR
    adobe = b"Adobe" + struct.pack(">HHHB", 100, 0, 0, int(is_ycbcr))
    said = b"\xff\xee" + struct.pack(">H", len(adobe) + 2) + adobe
    tables = b"" if form.jpeg_tables is None else _without_ends(form.jpeg_tables)
    return b"\xff\xd8" + said + tables + _without_colours(stored)


def _without_ends(tables: bytes) -> bytes:
    if not (tables.startswith(b"\xff\xd8") and tables.endswith(b"\xff\xd9")):
        raise ValueError("the shared tables are no JPEG stream")
    return tables[2:-2]


def _without_colours(stored: bytes) -> bytes:
    """Return a JPEG stream without its start and the markers that say what its colours are."""
    kept, at = bytearray(), 2
    while stored[at] == 0xFF and stored[at + 1] != _START_OF_SCAN:
        end = at + 2 + int.from_bytes(stored[at + 2 : at + 4], "big")
        if stored[at + 1] not in _COLOUR_MARKERS:
            kept += stored[at:end]
        at = end
    return bytes(kept + stored[at:])


def _by_libtiff(stored: bytes, form: TileFormat) -> Tile:
    tiff = io.BytesIO(_as_tiff(stored, form))
    with Pillow.open(tiff, formats=(TiffImagePlugin.TiffImageFile.format,)) as picture:
        return _with_samples(np.array(picture))


def _by_openjpeg(stored: bytes, form: TileFormat) -> Tile:
    _check_stream(stored, form, "JPEG 2000")
    if form.compression == _JPEG_2000_YCBCR and form.samples == 3:
        stored = _as_sycc(stored, form)
    name = Jpeg2KImagePlugin.Jpeg2KImageFile.format
    with Pillow.open(io.BytesIO(stored), formats=(name,)) as picture:
        return _with_samples(np.array(picture.convert("RGB") if form.samples == 3 else picture))


def _as_sycc(stored: bytes, form: TileFormat) -> bytes:
    """Put a bare codestream into a JP2 file that says YCbCr (ITU-T T.800, annex I)."""
    size = struct.pack(">IIHBBBB", form.height, form.width, form.samples, form.bits - 1, 7, 0, 0)
    colour = struct.pack(">BBBI", 1, 0, 0, _SYCC)
    boxes = (
        (b"jP  ", b"\r\n\x87\n"),
        (b"ftyp", b"jp2 \0\0\0\0jp2 "),
        (b"jp2h", _box(b"ihdr", size) + _box(b"colr", colour)),
        (b"jp2c", stored),
    )
    return b"".join(_box(kind, content) for kind, content in boxes)


def _box(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content) + 8) + kind + content


def _check_stream(stream: bytes, form: TileFormat, kind: str) -> None:
    size = stream_size(stream)
    if (size.height, size.width, size.samples) != (form.height, form.width, form.samples):
        raise ValueError(
            f"a tile is a {kind} of {size.height} x {size.width} pixels, {size.samples} samples, "
            f"where its header says {form.height} x {form.width}, {form.samples}"
        )


def _with_samples(pixels: np.ndarray) -> Tile:
    return pixels[..., None] if pixels.ndim == 2 else pixels


def _as_tiff(stored: bytes, form: TileFormat) -> bytes:
    """Return a TIFF of one strip, which is the tile."""
    order = form.byteorder
    tags: dict[int, tuple[int, list[int]]] = {
        256: (_LONG, [form.width]),
        257: (_LONG, [form.height]),
        258: (_SHORT, [form.bits] * form.samples),
        259: (_SHORT, [form.compression]),
        # The turn of white-is-zero is ours to make, for every compression alike.
        262: (_SHORT, [2 if form.samples > 1 else 1]),
        273: (_LONG, [0]),
        277: (_SHORT, [form.samples]),
        278: (_LONG, [form.height]),
        279: (_LONG, [len(stored)]),
        284: (_SHORT, [1]),
    }
    if form.samples == 4:
        tags[338] = (_SHORT, [2])
    if form.predictor != 1:
        tags[317] = (_SHORT, [form.predictor])
    return _assemble(tags, stored, order)


def _assemble(tags: dict[int, tuple[int, list[int]]], stored: bytes, order: str) -> bytes:
    sizes = {_LONG: "I", _SHORT: "H"}
    packed = {
        tag: struct.pack(f"{order}{len(value)}{sizes[kind]}", *value)
        for tag, (kind, value) in sorted(tags.items())
    }
    at = 8 + 2 + 12 * len(tags) + 4
    outside = b"".join(value for value in packed.values() if len(value) > 4)
    packed[273] = struct.pack(f"{order}I", at + len(outside))
    directory = struct.pack(f"{order}H", len(tags))
    for tag, field in packed.items():
        kind, value = tags[tag]
        if len(field) > 4:
            field, at = struct.pack(f"{order}I", at), at + len(field)
        directory += struct.pack(f"{order}HHI", tag, kind, len(value)) + field.ljust(4, b"\0")
    magic = b"II*\0" if order == "<" else b"MM\0*"
    return magic + struct.pack(f"{order}I", 8) + directory + bytes(4) + outside + stored
