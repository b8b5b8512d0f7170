"""Label numbers of a whole slide as a tiled, deflated TIFF, written tile by tile."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import tifffile
from jaxtyping import Shaped, UInt8, UInt16

from medprism.core.durable import write_durably
from medprism.core.errors import ConfigError
from medprism.io.mask_file import pack_names
from medprism.io.palette import PALETTE, colour

MaskTile = UInt8[np.ndarray, "height width"] | UInt16[np.ndarray, "height width"]

# TIFF 6.0, section 15: sides of tiles.
TILE_MULTIPLE: Final = 16
# Offsets of plain TIFF have 32 bits; tables and tags need some room as well.
_PLAIN_BYTES: Final = 2**31


@dataclass(frozen=True)
class MaskGrid:
    """The grid of a mask: pixels, side of a tile, and (row, col) spacing in mm if it is known."""

    shape: tuple[int, int]
    tile: int
    spacing: tuple[float, float] | None

    def __post_init__(self) -> None:
        if self.tile < TILE_MULTIPLE or self.tile % TILE_MULTIPLE:
            raise ConfigError(
                f"tiles of {self.tile} pixels cannot be written; the side must be a positive "
                f"multiple of {TILE_MULTIPLE}"
            )


def write_tiled_mask(
    path: Path, grid: MaskGrid, tiles: Iterator[MaskTile], names: Mapping[int, str]
) -> None:
    """Write tiles, row by row, as they come; at the right and lower edge they may be smaller.

    8 bit (indexed, in the labels' colours) up to 255 names, else 16 bit. The names lie in the
    description as in other TIFF masks; the spacing in the resolution tags, in pixels a centimetre.
    Above 2 GB it is a BigTIFF.

    Raises:
        WriteError: the disk refuses; an older file stays as it was.
    """
    dtype = np.dtype(np.uint8 if max(names, default=0) <= 255 else np.uint16)
    is_big = grid.shape[0] * grid.shape[1] * dtype.itemsize > _PLAIN_BYTES
    options: dict[str, Any] = {"photometric": "minisblack"}
    if dtype == np.uint8:
        table = PALETTE.T.astype(np.uint16) * 257
        options = {"photometric": "palette", "colormap": table}
    if grid.spacing is not None:
        row, col = (10 / side for side in grid.spacing)
        options |= {"resolution": (col, row), "resolutionunit": "CENTIMETER"}

    def write(temporary: Path) -> None:
        with tifffile.TiffWriter(temporary, bigtiff=is_big) as file:
            file.write(
                (_padded(tile, grid.tile, dtype) for tile in tiles),
                shape=grid.shape,
                dtype=dtype,
                tile=(grid.tile, grid.tile),
                compression="zlib",
                # More threads would take tiles ahead of their turn.
                maxworkers=1,
                description=pack_names(names, {number: colour(number) for number in names}),
                metadata=None,
                **options,
            )

    write_durably(path, write)


def _padded(tile: MaskTile, side: int, dtype: np.dtype[Any]) -> Shaped[np.ndarray, "square square"]:
    height, width = tile.shape
    filled = tile.astype(dtype, copy=False)
    if (height, width) == (side, side):
        return filled
    return np.pad(filled, ((0, side - height), (0, side - width)))
