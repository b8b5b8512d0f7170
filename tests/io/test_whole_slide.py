from __future__ import annotations

import math
import warnings
from pathlib import Path

import numpy as np
import pytest
import tifffile

from medprism.core.errors import ConfigError, ImageReadError, MedprismError
from medprism.io import whole_slide
from medprism.io.reader import read_image
from medprism.io.whole_slide import open_slide
from tests.io.damage import mutate
from tests.io.slides import (
    FULL,
    JPEG,
    JPEG_2000,
    LZW,
    MPP,
    TILE,
    WRITERS,
    lend_encoders,
    pyramid,
    scene,
    write_ome,
    write_pyramid,
    write_svs,
)

SHAPES = [(301, 477), (150, 238), (75, 119)]


@pytest.fixture(autouse=True)
def encoders(monkeypatch: pytest.MonkeyPatch) -> None:
    lend_encoders(monkeypatch)


@pytest.mark.parametrize("kind", WRITERS)
@pytest.mark.parametrize("compression", [None, "zlib", "lzma", LZW, JPEG_2000])
def test_every_level_comes_back(tmp_path: Path, kind: str, compression: str | int | None) -> None:
    path, levels = tmp_path / "slide.tif", pyramid()
    WRITERS[kind](path, levels, compression=compression)
    with open_slide(path) as slide:
        assert [level.shape for level in slide.levels] == SHAPES
        assert [level.downsample for level in slide.levels] == [(1, 1), (2, 2), (4, 4)]
        for number, expected in enumerate(levels):
            whole = slide.region(number, (0, 0, *expected.shape[:2]))
            np.testing.assert_array_equal(whole.voxels[0], expected)
            assert whole.modality == "SM" and whole.source == path and whole.is_planar


@pytest.mark.parametrize("kind", WRITERS)
def test_jpeg_tiles_are_rgb_or_ycbcr_as_the_header_says(tmp_path: Path, kind: str) -> None:
    for colours, near in (("RGB", 2), ("YCBCR", 4)):
        path = tmp_path / f"{colours}.tif"
        arguments = {"outcolorspace": colours}
        WRITERS[kind](path, pyramid(), compression=JPEG, compressionargs=arguments)
        with tifffile.TiffFile(path) as file:
            assert file.pages.first.photometric.name == colours
        with open_slide(path) as slide:
            whole = slide.region(0, (0, 0, *FULL)).voxels[0].astype(int)
        assert abs(whole - scene()).mean() < near


def test_jpeg_tiles_with_shared_tables_are_joined(tmp_path: Path) -> None:
    path, levels = tmp_path / "slide.tif", pyramid()
    whole, tables = [], b""
    for number, level in enumerate(levels):
        write_pyramid(tmp_path / "own.tif", [level], compression=JPEG)
        with tifffile.TiffFile(tmp_path / "own.tif") as file:
            page = file.pages.first
            for offset, count in zip(page.dataoffsets, page.databytecounts, strict=True):
                file.filehandle.seek(offset)
                tables, bare = _split_tables(file.filehandle.read(count))
                whole.append((number, bare))
    with tifffile.TiffWriter(path) as file:
        for number, level in enumerate(levels):
            tiles = (bare for own, bare in whole if own == number)
            file.write(
                tiles,
                shape=level.shape,
                dtype=np.uint8,
                tile=TILE,
                compression=JPEG,
                photometric="rgb",
                jpegtables=tables,
                metadata=None,
            )
    with open_slide(path) as slide, open_slide(tmp_path / "own.tif") as own:
        found = slide.region(2, (0, 0, *SHAPES[2])).voxels
        np.testing.assert_array_equal(found, own.region(0, (0, 0, *SHAPES[2])).voxels)
        with tifffile.TiffFile(path) as file:
            assert file.pages.first.jpegtables == tables


def _split_tables(stream: bytes) -> tuple[bytes, bytes]:
    """Return the quantisation and Huffman tables of a JPEG, and the stream without them."""
    tables, rest, at = b"", stream[:2], 2
    while stream[at + 1] != 0xDA:
        end = at + 2 + int.from_bytes(stream[at + 2 : at + 4], "big")
        if stream[at + 1] in (0xDB, 0xC4):
            tables += stream[at:end]
        else:
            rest += stream[at:end]
        at = end
    return b"\xff\xd8" + tables + b"\xff\xd9", rest + stream[at:]


@pytest.mark.parametrize("side", [37, 100, 1024])
def test_tiles_cover_a_level_once(tmp_path: Path, side: int) -> None:
    path = tmp_path / "slide.svs"
    write_svs(path, pyramid())
    for number, expected in enumerate(pyramid()):
        with open_slide(path, side) as slide:
            rows, cols = slide.grid(number)
            tiles = list(slide.tiles(number))
        assert (rows, cols) == tuple(math.ceil(length / side) for length in expected.shape[:2])
        joined = [
            np.concatenate([tile.voxels[0] for tile in tiles[row * cols : (row + 1) * cols]], 1)
            for row in range(rows)
        ]
        np.testing.assert_array_equal(np.concatenate(joined), expected)


@pytest.mark.parametrize(
    ("kind", "spacing"),
    [("svs", (MPP, MPP)), ("ome", (0.5, 0.25)), ("pyramid", (0.25, 0.5))],
)
def test_spacing_is_told_and_levels_lie_on_one_another(
    tmp_path: Path, kind: str, spacing: tuple[float, float]
) -> None:
    path = tmp_path / "slide.tif"
    WRITERS[kind](path, pyramid())
    with open_slide(path, 50) as slide:
        for number, down in enumerate((1, 2, 4)):
            wanted = tuple(down * side / 1000 for side in spacing)
            assert slide.levels[number].spacing == pytest.approx(wanted)
            geometry = slide.tile(number, 1, 1).geometry
            assert geometry.is_physical
            assert geometry.spacing[1:] == pytest.approx(wanted)
            # The corner of a tile is that of the pixels of the full size which it covers.
            at = geometry.voxel_to_world((0.0, -0.5, -0.5))
            full = (down * 50 - 0.5) * spacing[1] / 1000, (down * 50 - 0.5) * spacing[0] / 1000
            assert at[:2] == pytest.approx((-full[0], -full[1]))


@pytest.mark.parametrize(
    "description",
    ["", "Aperio v1|AppMag = 20", "Aperio v1|MPP = 0", "Aperio v1|MPP = x", "MPP = 0.5"],
)
def test_a_spacing_that_is_not_told_is_not_made_up(tmp_path: Path, description: str) -> None:
    path = tmp_path / "slide.tif"
    with tifffile.TiffWriter(path) as file:
        # The dots of a printer are no pixels of the tissue.
        file.write(
            scene(),
            tile=TILE,
            description=description or None,
            metadata=None,
            resolution=(300, 300),
            resolutionunit="INCH",
        )
    with open_slide(path) as slide:
        assert slide.levels[0].spacing is None
        assert not slide.tile(0, 0, 0).geometry.is_physical


# Half a nanometre is no size of a pixel.
@pytest.mark.parametrize(("unit", "spacing"), [("nm", None), ("mm", (0.5, 0.25))])
def test_units_of_ome_are_converted_and_impossible_sizes_not_taken(
    tmp_path: Path, unit: str, spacing: tuple[float, float] | None
) -> None:
    path = tmp_path / "slide.ome.tif"
    write_ome(path, pyramid())
    content = path.read_bytes()
    assert content.count('Unit="µm"'.encode()) == 2
    path.write_bytes(content.replace('Unit="µm"'.encode(), f'Unit="{unit}" '.encode()))
    with open_slide(path) as slide:
        assert slide.levels[0].spacing == spacing


def test_only_the_tiles_in_reach_are_decoded_one_at_a_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "slide.svs"
    write_svs(path, pyramid())
    decoded: list[int] = []

    def counting(stored: bytes, form: whole_slide.TileFormat) -> np.ndarray:
        decoded.append(len(stored))
        return whole_slide_decode(stored, form)

    whole_slide_decode = whole_slide.decode_tile
    monkeypatch.setattr(whole_slide, "decode_tile", counting)
    with open_slide(path) as slide:
        assert not decoded
        slide.region(0, (64, 48, 128, 96))
        assert len(decoded) == 1
        slide.region(0, (63, 47, 128, 97))
        assert len(decoded) == 1 + 2 * 3


@pytest.mark.parametrize("planarconfig", ["contig", "separate"])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("byteorder", ["<", ">"])
def test_planes_depths_predictors_and_byte_orders(
    tmp_path: Path, planarconfig: str, dtype: type, byteorder: str
) -> None:
    path = tmp_path / "slide.tif"
    expected = scene().astype(dtype) * (1 if dtype == np.uint8 else 251)
    stored = expected if planarconfig == "contig" else np.moveaxis(expected, -1, 0)
    tifffile.imwrite(
        path,
        stored,
        tile=TILE,
        byteorder=byteorder,
        photometric="rgb",
        planarconfig=planarconfig,
        compression="zlib",
        predictor=byteorder == "<",
        bigtiff=byteorder == ">",
    )
    with open_slide(path) as slide:
        region = slide.region(0, (50, 40, 200, 333))
    np.testing.assert_array_equal(region.voxels[0], expected[50:200, 40:333])


@pytest.mark.parametrize("photometric", ["minisblack", "miniswhite"])
def test_grey_slides_are_turned_where_white_is_zero(tmp_path: Path, photometric: str) -> None:
    path, grey = tmp_path / "slide.tif", scene()[..., 0]
    tifffile.imwrite(path, grey, tile=TILE, photometric=photometric)
    with open_slide(path) as slide:
        voxels = slide.region(0, (0, 0, *FULL)).voxels[0, ..., 0]
    np.testing.assert_array_equal(voxels, 255 - grey if photometric == "miniswhite" else grey)


def test_alpha_is_dropped_and_tiles_that_were_not_stored_are_white(tmp_path: Path) -> None:
    path = tmp_path / "slide.tif"
    alpha = np.concatenate([scene(), np.full((*FULL, 1), 7, np.uint8)], -1)
    tifffile.imwrite(path, alpha, tile=TILE, photometric="rgb", extrasamples=["unassalpha"])
    with tifffile.TiffFile(path) as file:
        tag = file.pages.first.tags["TileByteCounts"]
    content = bytearray(path.read_bytes())
    content[tag.valueoffset : tag.valueoffset + 4] = bytes(4)
    path.write_bytes(content)
    with open_slide(path) as slide:
        voxels = slide.region(0, (0, 0, *FULL)).voxels[0]
    assert (voxels[: TILE[0], : TILE[1]] == 255).all()
    np.testing.assert_array_equal(voxels[TILE[0] :], scene()[TILE[0] :])


def test_levels_tiles_and_regions_that_are_not_there_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "slide.svs"
    write_svs(path, pyramid())
    with open_slide(path, 64) as slide:
        with pytest.raises(ConfigError, match=r"no level 3; .*0: 301 x 477 .* 2: 75 x 119"):
            slide.region(3, (0, 0, 1, 1))
        with pytest.raises(ConfigError, match=r"no tile \(5, 0\) at level 0; there are 5 x 8"):
            slide.tile(0, 5, 0)
        for box in ((0, 0, 302, 10), (-1, 0, 5, 5), (5, 5, 5, 9)):
            with pytest.raises(ConfigError, match="outside level 0"):
                slide.region(0, box)
    with pytest.raises(ConfigError, match="at least 1"):
        open_slide(path, 0)


def test_what_is_no_slide_is_refused_by_name(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, scene(), photometric="rgb")
    with pytest.raises(ImageReadError, match=r"a.tif: its pixels are not stored in tiles"):
        open_slide(path)
    tifffile.imwrite(path, np.stack([scene()] * 3), tile=TILE, photometric="rgb")
    with pytest.raises(ImageReadError, match="3 pictures of its full size"):
        open_slide(path)
    tifffile.imwrite(path, scene().astype(np.float32), tile=TILE, photometric="rgb")
    with pytest.raises(ImageReadError, match="32 bits of float32"):
        open_slide(path)
    tifffile.imwrite(path, scene()[..., 0], tile=TILE, extratags=[(274, 3, 1, 6, True)])
    with pytest.raises(ImageReadError, match="orientation 6"):
        open_slide(path)
    path.write_bytes(b"\x89PNG\r\n\x1a\n")
    with pytest.raises(ImageReadError, match="no TIFF"):
        open_slide(path)
    with pytest.raises(ImageReadError, match="no such file"):
        open_slide(tmp_path / "none.svs")


def test_a_region_larger_than_the_memory_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "slide.svs"
    write_svs(path, pyramid())
    monkeypatch.setattr(whole_slide, "memory_bytes", lambda: 4 * 100 * 100 * 3)
    with open_slide(path) as slide:
        slide.region(0, (0, 0, 100, 100))
        with pytest.raises(ImageReadError, match="takes 30300 bytes, more than a quarter"):
            slide.region(0, (0, 0, 100, 101))


def test_a_large_slide_is_not_read_as_one_picture(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "slide.svs"
    write_svs(path, pyramid())
    np.testing.assert_array_equal(read_image(path).voxels[0], scene())
    monkeypatch.setattr("medprism.io.slide_level.LARGEST_PICTURE", 100_000)
    with pytest.raises(ImageReadError, match=r"--level: 0: 301 x 477 .*, 2: 75 x 119 pixels"):
        read_image(path)
    tifffile.imwrite(path, scene(), tile=TILE, photometric="rgb")
    assert read_image(path).shape == FULL


@pytest.mark.parametrize("compression", [JPEG, "zlib"])
def test_damaged_slides_are_read_or_one_sentence(tmp_path: Path, compression: str | int) -> None:
    path = tmp_path / "slide.svs"
    write_svs(path, pyramid(), compression=compression)
    content, refused = path.read_bytes(), 0
    for number in range(50):
        path.write_bytes(mutate(content, number))
        refused += not _reads(path)
    assert refused > 5


def _reads(path: Path) -> bool:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        try:
            with open_slide(path) as slide:
                for number in range(len(slide.levels)):
                    for image in slide.tiles(number):
                        assert image.voxels.dtype in (np.uint8, np.uint16)
        except MedprismError as error:
            assert "\n" not in str(error) and path.name in str(error)
            return False
    return True


def test_a_table_of_tiles_that_does_not_fit_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "slide.tif"
    tifffile.imwrite(path, scene(), tile=TILE, photometric="rgb", compression="zlib")
    content = bytearray(path.read_bytes())
    with tifffile.TiffFile(path) as file:
        at = file.pages.first.tags["ImageLength"].valueoffset
    for length in (10_000, 2**31 - 1):
        content[at : at + 4] = length.to_bytes(4, "little")
        path.write_bytes(content)
        with pytest.raises(ImageReadError, match="promises|cannot be read"):
            open_slide(path)
