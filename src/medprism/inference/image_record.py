"""Images in a work file: by path and hash, or the pixels themselves, compressed."""

from __future__ import annotations

import base64
import os
import zlib
from pathlib import Path
from typing import Any, Final

import numpy as np

from medprism.core.errors import ImageReadError, MedprismError
from medprism.core.geometry import Geometry
from medprism.core.image import Image
from medprism.inference.event_format import need
from medprism.io.reader import read_image

# A reference read from a file is stored with its pixels up to this size, beyond it by its path.
EMBED_BYTES: Final = 32 * 2**20

Json = dict[str, Any]


def image_to_json(image: Image, folder: Path, *, embed: bool) -> Json:
    """Return an image as plain data; one without a file is always embedded.

    The path is stored twice, from `folder` (so that a whole folder can be moved) and absolute.
    """
    record: Json = {
        "shape": list(image.voxels.shape),
        "dtype": image.voxels.dtype.str,
        "is_planar": image.is_planar,
        "modality": image.modality,
        "affine": image.geometry.affine.tolist(),
        "is_physical": image.geometry.is_physical,
        "path": None,
        "path_from_here": None,
        "part": image.part,
        "pixels": None,
    }
    if image.source is not None:
        absolute = image.source.absolute()
        record["path"] = str(absolute)
        record["path_from_here"] = Path(os.path.relpath(absolute, folder.absolute())).as_posix()
    if embed or image.source is None:
        content = np.ascontiguousarray(image.voxels).tobytes()
        record["pixels"] = base64.b64encode(zlib.compress(content, 6)).decode("ascii")
    return record


def image_from_json(record: Json, digest: str, folder: Path) -> Image:
    """Build an image from plain data, or read it again from its file.

    Raises:
        ImageReadError: its file is missing or no longer holds the same image.
        ValueError, KeyError: the data is not an image record.
    """
    image = _embedded(record) if record["pixels"] is not None else _from_file(record, folder)
    if image.digest != digest:
        where = image.source or "the image in the work file"
        raise ImageReadError(
            f"{where} is not the image that was annotated (its content has changed); "
            "restore it, or pass the right one as image="
        )
    return image


def _embedded(record: Json) -> Image:
    slices, height, width, channels = (need(side, int) for side in need(record["shape"], list))
    dtype = np.dtype(need(record["dtype"], str))
    if dtype.kind not in "uif" or min(slices, height, width, channels) < 1:
        raise ValueError(f"an image of dtype {dtype} and shape {record['shape']}")
    expected = slices * height * width * channels * dtype.itemsize
    packed = base64.b64decode(need(record["pixels"], str), validate=True)
    # The limit keeps a damaged or hostile file from filling the memory.
    content = zlib.decompressobj().decompress(packed, expected + 1)
    voxels = np.frombuffer(content, dtype).reshape(slices, height, width, channels)
    affine = np.asarray(need(record["affine"], list), dtype=np.float64)
    if affine.shape != (4, 4):
        raise ValueError(f"an affine of shape {affine.shape}")
    geometry = Geometry((slices, height, width), affine, need(record["is_physical"], bool))
    modality = record["modality"]
    source = record["path"]
    return Image(
        voxels,
        geometry,
        need(record["is_planar"], bool),
        None if modality is None else need(modality, str),
        None if source is None else Path(need(source, str)),
        _part(record),
    )


def _part(record: Json) -> str | None:
    """Return which of several images of its file it is; older work files do not say."""
    part = record.get("part")
    return None if part is None else need(part, str)


def _from_file(record: Json, folder: Path) -> Image:
    beside = folder / need(record["path_from_here"], str)
    candidates = (beside, Path(need(record["path"], str)))
    found = next((path for path in candidates if path.exists()), None)
    if found is None:
        raise ImageReadError(
            f"the annotated image {candidates[1]} is not there any more; "
            "put it back beside the work file, or pass it as image="
        )
    try:
        return read_image(found, _part(record))
    except MedprismError as error:
        raise ImageReadError(f"the annotated image cannot be read again: {error}") from error
