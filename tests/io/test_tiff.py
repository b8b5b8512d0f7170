from __future__ import annotations

import struct
import warnings
from pathlib import Path

import cv2
import numpy as np
import pytest
import tifffile
from PIL import Image as Pillow

from medprism.core.errors import ImageReadError
from medprism.io.mask_file import pack_names
from medprism.io.raster import orient
from medprism.io.tiff import read_tiff, read_tiff_mask

RNG = np.random.default_rng(4)
GREY = RNG.integers(0, 256, (13, 21), dtype=np.uint8)
COLOUR = RNG.integers(0, 256, (13, 21, 3), dtype=np.uint8)
BITS = GREY > 120
COMPRESSIONS = [None, "tiff_lzw", "packbits", "tiff_deflate", "tiff_adobe_deflate"]


@pytest.mark.parametrize(
    "dtype", [np.uint8, np.int8, np.uint16, np.int16, np.uint32, np.int32, np.float32, np.float64]
)
@pytest.mark.parametrize("byteorder", ["<", ">"])
def test_numbers_of_every_type_come_back(tmp_path: Path, dtype: type, byteorder: str) -> None:
    array = (GREY.astype(np.float64) - 100).astype(dtype)
    tifffile.imwrite(tmp_path / "a.tif", array, byteorder=byteorder, photometric="minisblack")
    voxels = read_tiff(tmp_path / "a.tif").voxels
    assert voxels.dtype == np.dtype(dtype)
    np.testing.assert_array_equal(voxels[0, ..., 0], array)


@pytest.mark.parametrize("compression", [None, "zlib", "lzma"])
@pytest.mark.parametrize("shape", [(5, 13, 21), (3, 13, 21), (4, 13, 3), (2, 1, 1)])
def test_pages_are_slices(tmp_path: Path, compression: str | None, shape: tuple[int, ...]) -> None:
    volume = RNG.integers(0, 999, shape, dtype=np.uint16)
    path = tmp_path / "v.tif"
    with tifffile.TiffWriter(path) as file:
        for plane in volume:
            file.write(plane, compression=compression, photometric="minisblack", metadata=None)
    image = read_tiff(path)
    assert image.shape == shape
    assert not image.is_planar
    np.testing.assert_array_equal(image.voxels[..., 0], volume)
    np.testing.assert_array_equal(read_tiff_mask(path).array, volume)


@pytest.mark.parametrize("compression", COMPRESSIONS)
@pytest.mark.parametrize("mode", ["1", "L", "P", "I;16", "F", "RGB", "RGBA"])
def test_every_compression_of_every_kind(
    tmp_path: Path, compression: str | None, mode: str
) -> None:
    path = tmp_path / "a.tif"
    picture, expected = _picture(mode)
    picture.save(path, compression=compression)
    np.testing.assert_array_equal(read_tiff(path).voxels[0].squeeze(), expected)


@pytest.mark.parametrize("compression", COMPRESSIONS)
@pytest.mark.parametrize("mode", ["1", "L", "P", "I;16"])
def test_masks_of_every_compression(tmp_path: Path, compression: str | None, mode: str) -> None:
    path = tmp_path / "a.tif"
    picture, _ = _picture(mode)
    picture.save(path, compression=compression)
    np.testing.assert_array_equal(read_tiff_mask(path).array, np.asarray(picture))


def _picture(mode: str) -> tuple[Pillow.Image, np.ndarray]:
    """Return a picture of a Pillow mode and what we should show of it."""
    if mode == "1":
        return Pillow.fromarray(BITS), BITS * np.uint8(255)
    if mode == "P":
        picture = Pillow.fromarray(GREY % 7)
        table = RNG.integers(0, 256, (7, 3), dtype=np.uint8)
        picture.putpalette(table.tobytes())
        return picture, table[GREY % 7]
    if mode == "RGBA":
        return Pillow.fromarray(np.concatenate([COLOUR, GREY[..., None]], 2)), COLOUR
    array = {
        "L": GREY,
        "I;16": GREY.astype(np.uint16) * 200,
        "F": GREY / np.float32(7),
        "RGB": COLOUR,
    }[mode]
    return Pillow.fromarray(array), array


@pytest.mark.parametrize("channels", [3, 4])
def test_16_bit_colour_keeps_its_depth_under_lzw(tmp_path: Path, channels: int) -> None:
    array = RNG.integers(0, 65536, (13, 21, channels), dtype=np.uint16)
    order = [2, 1, 0, 3][:channels]
    path = tmp_path / "c.tif"
    cv2.imwrite(str(path), array[..., order], [cv2.IMWRITE_TIFF_COMPRESSION, 5])
    voxels = read_tiff(path).voxels[0]
    assert voxels.dtype == np.uint16
    np.testing.assert_array_equal(voxels, array[..., :3])


def test_float_with_the_floating_predictor(tmp_path: Path) -> None:
    array = RNG.random((13, 21), dtype=np.float32)
    cv2.imwrite(str(tmp_path / "f.tif"), array, [cv2.IMWRITE_TIFF_COMPRESSION, 5])
    np.testing.assert_array_equal(read_tiff(tmp_path / "f.tif").voxels[0, ..., 0], array)


def test_jpeg_inside_tiff_equals_pillow(tmp_path: Path) -> None:
    path = tmp_path / "j.tif"
    Pillow.fromarray(cv2.GaussianBlur(COLOUR, (0, 0), 2)).save(path, compression="jpeg")
    expected = np.asarray(Pillow.open(path).convert("RGB"))
    np.testing.assert_array_equal(read_tiff(path).voxels[0], expected)


def test_planes_of_colour_become_channels(tmp_path: Path) -> None:
    path = tmp_path / "p.tif"
    planes = np.moveaxis(COLOUR, -1, 0)
    tifffile.imwrite(path, planes, photometric="rgb", planarconfig="separate")
    np.testing.assert_array_equal(read_tiff(path).voxels[0], COLOUR)


def test_pages_of_colour_are_a_colour_volume(tmp_path: Path) -> None:
    volume = RNG.integers(0, 256, (4, 13, 21, 3), dtype=np.uint8)
    tifffile.imwrite(tmp_path / "v.tif", volume, photometric="rgb")
    np.testing.assert_array_equal(read_tiff(tmp_path / "v.tif").voxels, volume)


@pytest.mark.parametrize("array", [GREY, BITS, GREY.astype(np.uint16) * 250])
def test_white_is_zero_is_turned_for_images_and_kept_for_masks(
    tmp_path: Path, array: np.ndarray
) -> None:
    path = tmp_path / "w.tif"
    tifffile.imwrite(path, array, photometric="miniswhite")
    top = 255 if array.dtype != np.uint16 else 65535
    expected = (~array) * top if array.dtype == bool else top - array.astype(int)
    np.testing.assert_array_equal(read_tiff(path).voxels[0, ..., 0], expected)
    np.testing.assert_array_equal(read_tiff_mask(path).array, array)


@pytest.mark.parametrize("compression", ["group4", "tiff_lzw"])
def test_white_is_zero_where_pillow_decodes(tmp_path: Path, compression: str) -> None:
    path = tmp_path / "w.tif"
    Pillow.fromarray(BITS).save(path, compression=compression, tiffinfo={262: 0})
    with tifffile.TiffFile(path) as file:
        assert file.pages.first.photometric == 0
    np.testing.assert_array_equal(read_tiff(path).voxels[0, ..., 0], BITS * 255)
    np.testing.assert_array_equal(read_tiff_mask(path).array, ~BITS)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_the_orientation_tag_is_applied(tmp_path: Path, orientation: int) -> None:
    path = tmp_path / "o.tif"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        tifffile.imwrite(path, GREY, extratags=[(274, 3, 1, orientation, True)])
    np.testing.assert_array_equal(read_tiff(path).voxels[0, ..., 0], orient(GREY, orientation))


def test_names_come_back(tmp_path: Path) -> None:
    path = tmp_path / "m.tif"
    tifffile.imwrite(path, GREY % 3, description=pack_names({2: "lésion"}), metadata=None)
    assert dict(read_tiff_mask(path).names) == {2: "lésion"}


@pytest.mark.parametrize(
    ("shape", "axes", "reason"),
    [
        ((4, 13, 21), "CYX", "4 along C"),
        ((4, 13, 21), "TYX", "4 along T"),
        ((2, 3, 13, 21), "ZCYX", "2 along Z, 3 along C"),
    ],
)
def test_channels_and_time_are_refused(
    tmp_path: Path, shape: tuple[int, ...], axes: str, reason: str
) -> None:
    path = tmp_path / "c.tif"
    array = np.zeros(shape, np.uint16)
    tifffile.imwrite(path, array, imagej=True, metadata={"axes": axes})
    with pytest.raises(ImageReadError, match=reason):
        read_tiff(path)


def test_cmyk_is_refused_by_name(tmp_path: Path) -> None:
    Pillow.fromarray(COLOUR).convert("CMYK").save(tmp_path / "c.tif")
    with pytest.raises(ImageReadError, match="stores SEPARATED pixels; save it as grey or RGB"):
        read_tiff(tmp_path / "c.tif")


def test_a_colour_mask_is_refused(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "c.tif", COLOUR, photometric="rgb")
    with pytest.raises(ImageReadError, match="3 channels, a mask holds one label number"):
        read_tiff_mask(tmp_path / "c.tif")


def test_a_header_that_promises_too_much_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "b.tif"
    tifffile.imwrite(path, GREY)
    content = bytearray(path.read_bytes())
    with tifffile.TiffFile(path) as file:
        at = file.pages.first.tags["ImageLength"].valueoffset
    content[at : at + 4] = (10**9).to_bytes(4, "little")
    path.write_bytes(content)
    with pytest.raises(ImageReadError, match="cannot be read as TIFF|promises"):
        read_tiff(path)


@pytest.mark.parametrize("is_big", [True, False])
@pytest.mark.parametrize("byteorder", ["<", ">"])
def test_a_volume_that_ends_early_is_refused_wherever_it_ends(
    tmp_path: Path, is_big: bool, byteorder: str
) -> None:
    path = tmp_path / "v.tif"
    volume = RNG.integers(0, 999, (4, 6, 9), dtype=np.uint16)
    tifffile.imwrite(
        path,
        volume,
        bigtiff=is_big,
        byteorder=byteorder,
        compression="zlib",
        photometric="minisblack",
    )
    assert read_tiff(path).shape == (4, 6, 9)
    content = path.read_bytes()
    for cut in range(1, len(content), 13):
        path.write_bytes(content[:cut])
        with pytest.raises(ImageReadError):
            read_tiff(path)
    with tifffile.TiffFile(path) as file:
        last = file.pages[len(file.pages) - 1]
    path.write_bytes(content[: last.offset + 4])
    with pytest.raises(ImageReadError, match="truncated"):
        read_tiff(path)


def shallow(numbers: np.ndarray, bits: int) -> bytes:
    """Encode grey of 2 or 4 bits by hand, since neither library writes it."""
    rows = []
    for row in numbers:
        text = "".join(f"{int(value):0{bits}b}" for value in row)
        text += "0" * (-len(text) % 8)
        rows.append(bytes(int(text[at : at + 8], 2) for at in range(0, len(text), 8)))
    pixels = b"".join(rows)
    height, width = numbers.shape
    tags = {256: width, 257: height, 258: bits, 259: 1, 262: 1, 273: 8, 277: 1, 278: height}
    tags[279] = len(pixels)
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags.items())
    directory = struct.pack("<H", len(tags)) + entries + bytes(4)
    return b"II*\0" + struct.pack("<I", 8 + len(pixels)) + pixels + directory


@pytest.mark.parametrize("bits", [2, 4])
def test_shallow_grey_is_brightness_as_an_image_and_numbers_as_a_mask(
    tmp_path: Path, bits: int
) -> None:
    numbers = GREY & (2**bits - 1)
    path = tmp_path / "s.tif"
    path.write_bytes(shallow(numbers, bits))
    np.testing.assert_array_equal(read_tiff_mask(path).array, numbers)
    shown = read_tiff(path).voxels[0, ..., 0]
    np.testing.assert_array_equal(shown, numbers * (255 // (2**bits - 1)))
