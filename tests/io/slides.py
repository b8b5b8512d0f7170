"""Small whole slides: a chiral scene on three levels, in every way that scanners store them."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image as Pillow

# Neither side is a multiple of a tile, nor of four.
FULL = (301, 477)
TILE = (64, 48)
MPP = 0.4990
APERIO = f"Aperio Image Library v12\n477x301 (48x64) JPEG/RGB Q=70|AppMag = 20|MPP = {MPP}|Left = 1"
JPEG, JPEG_2000, LZW = 7, 33005, 5


def scene(shape: tuple[int, int] = FULL) -> np.ndarray:
    """Return a smooth RGB scene that no flip or swap of axes maps onto itself."""
    rows, cols = np.mgrid[: shape[0], : shape[1]] / max(shape)
    red = 40 + 200 * ((rows - 0.2) ** 2 + (cols - 0.3) ** 2 < 0.02)
    green = 30 + 180 * cols * (1 - 0.5 * rows)
    blue = 220 - 150 * rows - 40 * ((cols > 0.7) & (rows < 0.25))
    return np.stack([red, green, blue], axis=-1).clip(0, 255).astype(np.uint8)


def pyramid(full: np.ndarray | None = None) -> list[np.ndarray]:
    """Return the scene at full, half and a quarter of the size, the part of a pixel cut off."""
    full = scene() if full is None else full
    levels = [full]
    for down in (2, 4):
        height, width = full.shape[0] // down, full.shape[1] // down
        part = full[: height * down, : width * down].astype(np.float64)
        mean = part.reshape(height, down, width, down, -1).mean((1, 3)).round()
        levels.append(mean.astype(full.dtype).reshape(height, width, *full.shape[2:]))
    return levels


def write_svs(path: Path, levels: list[np.ndarray], **options: object) -> None:
    """Write as Aperio does: levels as pages, a thumbnail in strips between, a label at the end."""
    settings = {"tile": TILE, "photometric": "rgb", "metadata": None, **options}
    with tifffile.TiffWriter(path) as file:
        file.write(levels[0], description=APERIO, **settings)
        file.write(levels[-1], photometric="rgb", metadata=None, rowsperstrip=16)
        for level in levels[1:]:
            file.write(level, description=APERIO.replace("|MPP", "|Old"), **settings)
        file.write(np.zeros((50, 40, 3), np.uint8), photometric="rgb", metadata=None)


def write_ome(path: Path, levels: list[np.ndarray], **options: object) -> None:
    """Write as QuPath and Bio-Formats do: smaller levels as SubIFDs, sizes in the XML."""
    size = {"PhysicalSizeX": 0.25, "PhysicalSizeY": 0.5, "PhysicalSizeXUnit": "µm"}
    metadata = {"axes": "YXS", **size, "PhysicalSizeYUnit": "µm"}
    settings = {"tile": TILE, "photometric": "rgb", **options}
    with tifffile.TiffWriter(path, ome=True) as file:
        file.write(levels[0], subifds=len(levels) - 1, metadata=metadata, **settings)
        for level in levels[1:]:
            file.write(level, subfiletype=1, **settings)


def write_pyramid(path: Path, levels: list[np.ndarray], **options: object) -> None:
    """Write as libvips does: levels as pages, pixels a centimetre in the tags."""
    settings = {"tile": TILE, "photometric": "rgb", "metadata": None, **options}
    with tifffile.TiffWriter(path) as file:
        for number, level in enumerate(levels):
            dense = 20000 / 2**number
            resolution = {"resolution": (dense, 2 * dense), "resolutionunit": "CENTIMETER"}
            file.write(level, subfiletype=int(number > 0), **resolution, **settings)


WRITERS = {"svs": write_svs, "ome": write_ome, "pyramid": write_pyramid}


def lend_encoders(patch: pytest.MonkeyPatch) -> None:
    """Let tifffile write JPEG and JPEG 2000 tiles by Pillow, without the package it asks for."""
    codecs = tifffile.TIFF.COMPRESSORS._codecs
    patch.setitem(codecs, JPEG, _jpeg)
    patch.setitem(codecs, JPEG_2000, lambda tile, **_: _encode(tile, "JPEG2000", no_jp2=True))
    patch.setitem(codecs, LZW, _lzw)


def _jpeg(tile: np.ndarray, outcolorspace: str = "YCBCR", **_: object) -> bytes:
    if outcolorspace == "RGB":
        return _encode(tile, "JPEG", quality=95, keep_rgb=True, subsampling=0)
    return _encode(tile, "JPEG", quality=95, subsampling="4:2:0")


def _encode(tile: np.ndarray, form: str, **options: object) -> bytes:
    stream = io.BytesIO()
    Pillow.fromarray(tile.squeeze()).save(stream, form, **options)
    return stream.getvalue()


def _lzw(tile: np.ndarray) -> bytes:
    stream = io.BytesIO()
    Pillow.fromarray(tile.squeeze()).save(
        stream, "TIFF", compression="tiff_lzw", strip_size=tile.nbytes
    )
    stream.seek(0)
    with tifffile.TiffFile(stream) as file:
        page = file.pages.first
        stream.seek(page.dataoffsets[0])
        return stream.read(page.databytecounts[0])
