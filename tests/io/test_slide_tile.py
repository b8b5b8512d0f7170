from __future__ import annotations

import io
import zlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image as Pillow

from medprism.core.errors import ImageReadError
from medprism.io.slide_tile import LARGEST_TILE, TileFormat, decode_tile, tile_format
from tests.io.slides import scene

TILE = scene((64, 48))
PLAIN = TileFormat(64, 48, 3, 8, "<", 1, 1, 2, None)
RGB, YCBCR = 2, 6


def jpeg(tile: np.ndarray, **options: object) -> bytes:
    stream = io.BytesIO()
    Pillow.fromarray(tile).save(stream, "JPEG", quality=95, **options)
    return stream.getvalue()


def test_a_deflated_tile_is_unpacked_no_further_than_it_may() -> None:
    packed = zlib.compress(TILE.tobytes() + bytes(10**7))
    deflated = replace(PLAIN, compression=8)
    np.testing.assert_array_equal(decode_tile(packed, deflated), TILE)
    with pytest.raises(ValueError, match="100 of its 9216 bytes"):
        decode_tile(zlib.compress(TILE.tobytes()[:100]), deflated)


def test_the_header_decides_on_the_colours_of_a_jpeg_and_its_markers_do_not() -> None:
    plain = jpeg(TILE, keep_rgb=True, subsampling=0)
    turned = jpeg(TILE, subsampling=0)
    for stream, photometric in ((plain, RGB), (turned, YCBCR)):
        form = replace(PLAIN, compression=7, photometric=photometric)
        assert abs(decode_tile(stream, form).astype(int) - TILE).mean() < 2
        other = replace(form, photometric=RGB + YCBCR - photometric)
        assert abs(decode_tile(stream, other).astype(int) - TILE).mean() > 20


def test_aperios_ycbcr_under_jpeg_2000_is_turned_into_rgb() -> None:
    stream = io.BytesIO()
    stored = np.asarray(Pillow.fromarray(TILE).convert("YCbCr"))
    Pillow.fromarray(stored).save(stream, "JPEG2000", no_jp2=True, mct=0)
    form = replace(PLAIN, compression=33003)
    assert abs(decode_tile(stream.getvalue(), form).astype(int) - TILE).max() <= 3
    raw = decode_tile(stream.getvalue(), replace(form, compression=33005))
    np.testing.assert_array_equal(raw, stored)


@pytest.mark.parametrize("compression", [7, 33005])
def test_a_stream_of_another_size_is_refused_before_it_is_decoded(compression: int) -> None:
    stream = io.BytesIO()
    form = "JPEG" if compression == 7 else "JPEG2000"
    Pillow.fromarray(scene((80, 48))).save(stream, form)
    with pytest.raises(ValueError, match="80 x 48 pixels, 3 samples, where its header says 64"):
        decode_tile(stream.getvalue(), replace(PLAIN, compression=compression))


def test_shared_tables_that_are_none_are_refused() -> None:
    form = replace(PLAIN, compression=7, jpeg_tables=b"nonsense")
    with pytest.raises(ValueError, match="shared tables"):
        decode_tile(jpeg(TILE), form)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"compression": 34712, "bitspersample": 16, "dtype": np.dtype("u2")}, "8 bit only"),
        ({"compression": 34887}, "compressed by 34887"),
        ({"predictor": 3}, "predictor 3"),
        ({"photometric": YCBCR}, "save it as RGB"),
        ({"dtype": np.dtype("i1")}, "8 bits of int8"),
        ({"tilelength": 10**6}, f"up to {LARGEST_TILE}"),
        ({"tilewidth": 0}, "take 0 bytes each"),
    ],
)
def test_what_cannot_be_decoded_is_refused_by_its_header(
    tmp_path: Path, changes: dict[str, object], reason: str
) -> None:
    tifffile.imwrite(tmp_path / "a.tif", scene(), tile=(64, 48), photometric="rgb", byteorder="<")
    with tifffile.TiffFile(tmp_path / "a.tif") as file:
        page = file.pages.first
    assert tile_format(page) == PLAIN
    for name, value in changes.items():
        setattr(page, name, value)
    with pytest.raises(ImageReadError, match=reason):
        tile_format(page)
