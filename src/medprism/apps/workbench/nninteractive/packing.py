"""Arrays on the wire as nnInteractive's client packs them, in blosc2 frames.

A header (magic, version, codec, number of axes, dtype, shape), the number of chunks, and for every
chunk its unpacked and packed length with the frame. Sizes are checked before anything is unpacked.
"""

from __future__ import annotations

import math
import struct
from typing import Final

import blosc2
import numpy as np

from medprism.apps.workbench.failure import BadRequestError

MAGIC: Final = b"NNIA"
VERSION: Final = 1
_ZSTD, _LZ4 = 1, 2
_CHUNK: Final = 1 << 30
_MOST_AXES: Final = 8
# What the client sends; bool travels as one byte.
DTYPES: Final = frozenset(
    {
        *("bool", "uint8", "int8", "uint16", "int16", "uint32", "int32", "uint64", "int64"),
        *("float16", "float32", "float64"),
    }
)


def pack(array: np.ndarray) -> bytes:
    """Return an array as bytes for the client.

    >>> unpack(pack(np.arange(6, dtype=np.int16).reshape(2, 3)), 100).tolist()
    [[0, 1, 2], [3, 4, 5]]
    """
    stored = np.ascontiguousarray(array)
    name = stored.dtype.name.encode("ascii")
    head = struct.pack(f"<4sBBBB{len(name)}s", MAGIC, VERSION, _ZSTD, stored.ndim, len(name), name)
    shape = struct.pack(f"<{stored.ndim}q", *stored.shape)
    raw = stored.tobytes()
    starts = range(0, len(raw), _CHUNK)
    parts = [head, shape, struct.pack("<I", len(starts))]
    for start in starts:
        piece = raw[start : start + _CHUNK]
        frame = blosc2.compress2(
            piece,
            typesize=stored.dtype.itemsize,
            codec=blosc2.Codec.ZSTD,
            clevel=3,
            filters=[blosc2.Filter.NOFILTER],
            nthreads=1,
        )
        parts += [struct.pack("<QQ", len(piece), len(frame)), frame]
    return b"".join(parts)


def unpack(content: bytes, limit_bytes: int) -> np.ndarray:
    """Return the array that a client packed.

    Raises:
        BadRequestError: not such an array, damaged, or larger than `limit_bytes`.
    """
    try:
        return _unpack(content, limit_bytes)
    except (struct.error, ValueError, RuntimeError, TypeError, OverflowError) as error:
        raise BadRequestError(
            "the body is no array as nnInteractive's client packs it; send it with that client"
        ) from error


def _unpack(content: bytes, limit_bytes: int) -> np.ndarray:
    magic, version, codec, axes, length = struct.unpack_from("<4sBBBB", content)
    if (magic, version) != (MAGIC, VERSION) or codec not in (_ZSTD, _LZ4) or axes > _MOST_AXES:
        raise ValueError("another format or version")
    name = content[8 : 8 + length].decode("ascii")
    if name not in DTYPES:
        raise ValueError("a type that is not taken")
    dtype = np.dtype(name)
    offset = 8 + length
    shape = struct.unpack_from(f"<{axes}q", content, offset)
    offset += 8 * axes
    total = math.prod(shape) * dtype.itemsize
    if any(side < 0 for side in shape) or total > limit_bytes:
        raise BadRequestError(
            f"an array of shape {list(shape)} is larger than {limit_bytes / 2**20:.0f} MiB, the "
            "limit of this server; crop it"
        )
    (chunks,) = struct.unpack_from("<I", content, offset)
    offset += 4
    pieces, held = [], 0
    for _ in range(chunks):
        unpacked, packed = struct.unpack_from("<QQ", content, offset)
        offset += 16
        frame = content[offset : offset + packed]
        held += unpacked
        if held > total or blosc2.get_cbuffer_sizes(frame)[0] != unpacked:
            raise ValueError("a chunk of another size than it says")
        pieces.append(blosc2.decompress2(frame))
        offset += packed
    if held != total:
        raise ValueError("chunks that do not fill the array")
    return np.frombuffer(b"".join(pieces), dtype).reshape(shape)
