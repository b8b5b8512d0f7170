from __future__ import annotations

import struct
import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image as Pillow
from PIL import ImageOps

from medprism.core.errors import ImageReadError
from medprism.io.mask_file import pack_names
from medprism.io.raster import orient, read_raster, read_raster_mask

RNG = np.random.default_rng(3)
GREY = RNG.integers(0, 256, (13, 21), dtype=np.uint8)
COLOUR = RNG.integers(0, 256, (13, 21, 3), dtype=np.uint8)
DEEP = RNG.integers(0, 65536, (13, 21), dtype=np.uint16)
DEEP_COLOUR = RNG.integers(0, 65536, (13, 21, 4), dtype=np.uint16)


def png(pixels: np.ndarray, bits: int, kind: int) -> bytes:
    """Encode a PNG of any depth by hand, since Pillow does not write them all."""

    def chunk(name: bytes, content: bytes) -> bytes:
        crc = struct.pack(">I", zlib.crc32(name + content))
        return struct.pack(">I", len(content)) + name + content + crc

    rows = []
    for row in pixels.reshape(len(pixels), -1):
        text = "".join(f"{int(value):0{bits}b}" for value in row)
        text += "0" * (-len(text) % 8)
        packed = bytes(int(text[at : at + 8], 2) for at in range(0, len(text), 8))
        rows.append(b"\0" + packed)
    header = struct.pack(">IIBBBBB", pixels.shape[1], pixels.shape[0], bits, kind, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(b"".join(rows)))
        + chunk(b"IEND", b"")
    )


@pytest.mark.parametrize("suffix", [".png", ".bmp"])
def test_grey_and_colour_come_back_exactly(tmp_path: Path, suffix: str) -> None:
    for array, channels in ((GREY, 1), (COLOUR, 3)):
        path = tmp_path / f"a{suffix}"
        Pillow.fromarray(array).save(path)
        image = read_raster(path)
        assert image.voxels.shape == (1, 13, 21, channels)
        np.testing.assert_array_equal(image.voxels.squeeze(), array)
        assert image.is_planar
        assert not image.geometry.is_physical


def test_jpeg_equals_another_decoder(tmp_path: Path) -> None:
    smooth = cv2.GaussianBlur(COLOUR, (0, 0), 2)
    Pillow.fromarray(smooth).save(tmp_path / "a.jpg", quality=95)
    image = read_raster(tmp_path / "a.jpg")
    other = cv2.imread(str(tmp_path / "a.jpg"))[..., ::-1]
    assert np.abs(image.voxels[0].astype(int) - other).max() <= 2
    assert np.abs(image.voxels[0].astype(int) - smooth).mean() < 4


def test_16_bit_grey_and_colour_keep_their_depth(tmp_path: Path) -> None:
    for kind, channels, expected in (
        (0, slice(0, 1), DEEP_COLOUR[..., :1]),
        (2, slice(0, 3), DEEP_COLOUR[..., :3]),
        (4, slice(0, 2), DEEP_COLOUR[..., :1]),
        (6, slice(0, 4), DEEP_COLOUR[..., :3]),
    ):
        path = tmp_path / f"{kind}.png"
        path.write_bytes(png(DEEP_COLOUR[..., channels], 16, kind))
        voxels = read_raster(path).voxels[0]
        assert voxels.dtype == np.uint16
        np.testing.assert_array_equal(voxels, expected)


def test_alpha_is_dropped_and_not_composited(tmp_path: Path) -> None:
    alpha = np.zeros((13, 21, 1), np.uint8)
    Pillow.fromarray(np.concatenate([COLOUR, alpha], 2)).save(tmp_path / "a.png")
    np.testing.assert_array_equal(read_raster(tmp_path / "a.png").voxels[0], COLOUR)
    Pillow.merge("LA", [Pillow.fromarray(GREY), Pillow.fromarray(alpha[..., 0])]).save(
        tmp_path / "b.png"
    )
    np.testing.assert_array_equal(read_raster(tmp_path / "b.png").voxels[0, ..., 0], GREY)


def test_a_palette_is_colour_as_an_image_and_indices_as_a_mask(tmp_path: Path) -> None:
    indices = (GREY % 5).astype(np.uint8)
    table = RNG.integers(0, 256, (5, 3), dtype=np.uint8)
    picture = Pillow.fromarray(indices)
    picture.putpalette(table.tobytes())
    for suffix in (".png", ".bmp"):
        picture.save(tmp_path / f"p{suffix}")
        image = read_raster(tmp_path / f"p{suffix}")
        np.testing.assert_array_equal(image.voxels[0], table[indices])
        mask = read_raster_mask(tmp_path / f"p{suffix}")
        np.testing.assert_array_equal(mask.array, indices)


@pytest.mark.parametrize("bits", [1, 2, 4, 8])
def test_shallow_grey_is_brightness_as_an_image_and_numbers_as_a_mask(
    tmp_path: Path, bits: int
) -> None:
    numbers = GREY & (2**bits - 1)
    (tmp_path / "m.png").write_bytes(png(numbers, bits, 0))
    np.testing.assert_array_equal(read_raster_mask(tmp_path / "m.png").array, numbers)
    shown = read_raster(tmp_path / "m.png").voxels[0, ..., 0]
    np.testing.assert_array_equal(shown, numbers * (255 // (2**bits - 1)))


def test_a_16_bit_mask_keeps_its_numbers(tmp_path: Path) -> None:
    Pillow.fromarray(DEEP).save(tmp_path / "m.png")
    mask = read_raster_mask(tmp_path / "m.png")
    assert mask.array.dtype == np.uint16
    np.testing.assert_array_equal(mask.array, DEEP)


def test_a_grey_mask_saved_as_colour_is_read_and_a_coloured_one_refused(tmp_path: Path) -> None:
    Pillow.fromarray(np.repeat(GREY[..., None], 3, 2)).save(tmp_path / "m.png")
    np.testing.assert_array_equal(read_raster_mask(tmp_path / "m.png").array, GREY)
    Pillow.fromarray(COLOUR).save(tmp_path / "c.png")
    with pytest.raises(ImageReadError, match=r"colour picture, [^\n]* as an indexed or grey PNG"):
        read_raster_mask(tmp_path / "c.png")


def test_a_jpeg_mask_must_be_black_and_white(tmp_path: Path) -> None:
    mask = np.zeros((60, 90), np.uint8)
    mask[10:40, 20:35] = 255
    Pillow.fromarray(mask).save(tmp_path / "m.jpg", quality=90)
    assert len(np.unique(np.asarray(Pillow.open(tmp_path / "m.jpg")))) > 2
    np.testing.assert_array_equal(read_raster_mask(tmp_path / "m.jpg").array, mask)
    mask[41:50, 50:80] = 120
    Pillow.fromarray(mask).save(tmp_path / "m.jpg", quality=90)
    with pytest.raises(ImageReadError, match="JPEG does not keep label numbers"):
        read_raster_mask(tmp_path / "m.jpg")


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("suffix", [".jpg", ".png"])
def test_exif_orientation_equals_pillow(tmp_path: Path, orientation: int, suffix: str) -> None:
    exif = Pillow.Exif()
    exif[0x0112] = orientation
    path = tmp_path / f"o{suffix}"
    Pillow.fromarray(GREY).save(path, exif=exif)
    upright = np.asarray(ImageOps.exif_transpose(Pillow.open(path)))
    np.testing.assert_array_equal(read_raster(path).voxels[0, ..., 0], upright)
    if suffix == ".png":
        np.testing.assert_array_equal(read_raster_mask(path).array, upright)
    stored = np.asarray(Pillow.open(path))
    np.testing.assert_array_equal(orient(stored, orientation), upright)


def test_names_in_a_png_come_back(tmp_path: Path) -> None:
    from PIL.PngImagePlugin import PngInfo

    text = PngInfo()
    text.add_text("medprism", pack_names({1: "lésion"}))
    Pillow.fromarray(GREY % 2).save(tmp_path / "m.png", pnginfo=text)
    assert dict(read_raster_mask(tmp_path / "m.png").names) == {1: "lésion"}


def test_one_pixel_is_an_image(tmp_path: Path) -> None:
    Pillow.fromarray(GREY[:1, :1]).save(tmp_path / "one.png")
    assert read_raster(tmp_path / "one.png").shape == (1, 1)
    assert read_raster_mask(tmp_path / "one.png").array.shape == (1, 1)


def test_an_animation_is_refused(tmp_path: Path) -> None:
    frames = [Pillow.fromarray(GREY), Pillow.fromarray(255 - GREY)]
    frames[0].save(tmp_path / "a.png", save_all=True, append_images=frames[1:])
    with pytest.raises(ImageReadError, match="animation of 2 frames"):
        read_raster(tmp_path / "a.png")
    with pytest.raises(ImageReadError, match="animation of 2 frames"):
        read_raster_mask(tmp_path / "a.png")


def test_a_picture_too_large_for_memory_is_refused(tmp_path: Path) -> None:
    content = bytearray(png(GREY, 8, 0))
    content[16:24] = struct.pack(">II", 60000, 60000)
    content[29:33] = struct.pack(">I", zlib.crc32(bytes(content[12:29])))
    (tmp_path / "bomb.png").write_bytes(content)
    with pytest.raises(ImageReadError, match="cannot be read as a picture .*exceeds limit"):
        read_raster(tmp_path / "bomb.png")


def test_the_first_picture_of_a_photograph_with_previews_is_read(tmp_path: Path) -> None:
    preview = Pillow.fromarray(GREY[:5, :7])
    Pillow.fromarray(GREY).save(
        tmp_path / "a.jpg", format="MPO", save_all=True, append_images=[preview]
    )
    assert read_raster(tmp_path / "a.jpg").shape == GREY.shape
