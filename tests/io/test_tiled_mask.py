from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image as Pillow

from medprism.core.errors import ConfigError, WriteError
from medprism.io import tiled_mask
from medprism.io.palette import PALETTE
from medprism.io.reader import read_mask
from medprism.io.tiled_mask import MaskGrid, write_tiled_mask

RNG = np.random.default_rng(7)
SHAPE, SIDE = (53, 90), 32


def tiles_of(array: np.ndarray) -> Iterator[np.ndarray]:
    for top in range(0, array.shape[0], SIDE):
        for left in range(0, array.shape[1], SIDE):
            yield array[top : top + SIDE, left : left + SIDE]


@pytest.mark.parametrize(("top", "dtype"), [(3, np.uint8), (255, np.uint8), (300, np.uint16)])
def test_numbers_names_and_colours_come_back(tmp_path: Path, top: int, dtype: type) -> None:
    array = RNG.integers(0, top + 1, SHAPE).astype(dtype)
    names = {number: f"läsion {number}" for number in range(1, top + 1)}
    path = tmp_path / "m.tif"
    write_tiled_mask(path, MaskGrid(SHAPE, SIDE, None), tiles_of(array), names)
    mask = read_mask(path)
    np.testing.assert_array_equal(mask.array, array)
    assert dict(mask.names) == names
    assert mask.colours[2] == tuple(PALETTE[2].tolist())
    # Somebody else's reader sees the same numbers.
    with Pillow.open(path) as other:
        np.testing.assert_array_equal(np.asarray(other), array)
    with tifffile.TiffFile(path) as file:
        assert file.pages.first.dtype == np.dtype(dtype)


def test_the_spacing_is_in_the_tags(tmp_path: Path) -> None:
    path, grid = tmp_path / "m.tif", MaskGrid(SHAPE, SIDE, (0.0005, 0.00025))
    write_tiled_mask(path, grid, tiles_of(np.zeros(SHAPE, np.uint8)), {1: "gland"})
    with tifffile.TiffFile(path) as file:
        tags = file.pages.first.tags
        assert tags["XResolution"].value == (40000, 1)
        assert tags["YResolution"].value == (20000, 1)
        assert tags["ResolutionUnit"].value == 3


@pytest.mark.parametrize("limit", [SHAPE[0] * SHAPE[1] - 1, SHAPE[0] * SHAPE[1]])
def test_large_masks_are_big_tiff(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, limit: int
) -> None:
    monkeypatch.setattr(tiled_mask, "_PLAIN_BYTES", limit)
    path, array = tmp_path / "m.tif", RNG.integers(0, 2, SHAPE).astype(np.uint8)
    write_tiled_mask(path, MaskGrid(SHAPE, SIDE, None), tiles_of(array), {1: "gland"})
    with tifffile.TiffFile(path) as file:
        assert file.is_bigtiff == (limit < SHAPE[0] * SHAPE[1])
    np.testing.assert_array_equal(read_mask(path).array, array)


def test_a_tile_that_fails_leaves_the_older_file(tmp_path: Path) -> None:
    def failing() -> Iterator[np.ndarray]:
        yield np.zeros((SIDE, SIDE), np.uint8)
        raise OSError(28, "No space left on device")

    path = tmp_path / "m.tif"
    path.write_bytes(b"older")
    with pytest.raises(WriteError, match="No space left"):
        write_tiled_mask(path, MaskGrid(SHAPE, SIDE, None), failing(), {1: "gland"})
    assert path.read_bytes() == b"older"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("side", [0, -16, 8, 50])
def test_sides_that_tiff_has_not_are_refused(side: int) -> None:
    with pytest.raises(ConfigError, match="multiple of 16"):
        MaskGrid(SHAPE, side, None)
