from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image as Pillow

from medprism.core.errors import GeometryError, ImageReadError, WriteError
from medprism.core.image import Image
from medprism.core.labels import Labels
from medprism.io.reader import read_image, read_mask
from medprism.io.writer import default_mask_suffix, write_mask
from tests.io.phantoms import holed, write_series

GREY = np.random.default_rng(31).integers(0, 256, (12, 7, 9), dtype=np.uint8)


def save(folder: Path, stack: np.ndarray = GREY, name: str = "slice{}.png") -> Path:
    """Save slices under numbers without leading zeros, so that sorting by letters is wrong."""
    folder.mkdir(exist_ok=True)
    for number, plane in enumerate(stack, start=1):
        Pillow.fromarray(plane).save(folder / name.format(number))
    return folder


@pytest.mark.parametrize("suffix", ["png", "bmp", "tif"])
def test_slices_are_in_the_order_of_their_numbers(tmp_path: Path, suffix: str) -> None:
    save(tmp_path / "a", name="ct2 {} of 12." + suffix)
    image = read_image(tmp_path / "a")
    np.testing.assert_array_equal(image.voxels[..., 0], GREY)
    assert image.source == tmp_path / "a"
    assert not image.geometry.is_physical
    assert default_mask_suffix(image) == ".tif"


def test_jpeg_colour_deep_tiff_and_steps_of_five(tmp_path: Path) -> None:
    colour = GREY[..., None].repeat(3, 3)
    for number, plane in enumerate(colour[:3]):
        (tmp_path / "jpg").mkdir(exist_ok=True)
        Pillow.fromarray(plane).save(tmp_path / "jpg" / f"{5 * number:03d}.jpeg", quality=95)
    assert read_image(tmp_path / "jpg").voxels.shape == (3, 7, 9, 3)
    deep = GREY.astype(np.uint16) * 200
    (tmp_path / "tif").mkdir()
    for number, plane in enumerate(deep):
        tifffile.imwrite(tmp_path / "tif" / f"z{number}.tif", plane)
    np.testing.assert_array_equal(read_image(tmp_path / "tif").voxels[..., 0], deep)


def test_one_picture_is_a_picture_and_hidden_files_are_none(tmp_path: Path) -> None:
    save(tmp_path / "a", GREY[:1])
    (tmp_path / "a" / ".slice2.png").write_bytes(b"")
    (tmp_path / "a" / "notes 7.txt").write_text("text")
    assert read_image(tmp_path / "a").shape == (7, 9)


def test_a_folder_of_masks_lies_on_a_folder_of_pictures(tmp_path: Path) -> None:
    labels = holed()
    image = read_image(save(tmp_path / "image", np.zeros((5, 23, 31), np.uint8)))
    planes = [Image.from_array(np.zeros((23, 31), np.uint8))] * 5
    (tmp_path / "mask").mkdir()
    for index, plane in enumerate(planes):
        cut = Labels({name: whole[index] for name, whole in labels})
        write_mask(tmp_path / "mask" / f"slice{index + 1}.png", cut, plane)
    found = read_mask(tmp_path / "mask", image)
    np.testing.assert_array_equal(found.array, labels.to_map().array)
    assert list(found.names.values()) == ["left lung", "Tümor"]
    (tmp_path / "mask" / "slice5.png").unlink()
    with pytest.raises(GeometryError):
        read_mask(tmp_path / "mask", image)
    write_mask(tmp_path / "mask" / "slice5.png", Labels({"liver": labels["Tümor"][4]}), planes[0])
    with pytest.raises(ImageReadError, match="slice5.png names its labels otherwise than slice1"):
        read_mask(tmp_path / "mask", image)


def test_masks_of_a_folder_of_pictures_come_back_and_dicom_formats_refuse(tmp_path: Path) -> None:
    labels = holed()
    image = read_image(save(tmp_path / "image", np.zeros((5, 23, 31), np.uint8)))
    for suffix in (".tif", ".nii.gz", ".json"):
        write_mask(tmp_path / f"m{suffix}", labels.to_map(), image)
        found = read_mask(tmp_path / f"m{suffix}", image)
        np.testing.assert_array_equal(found.array, labels.to_map().array)
    with pytest.raises(WriteError, match="a folder without DICOM files; choose a format that"):
        write_mask(tmp_path / "m.dcm", labels, image)


@pytest.mark.parametrize(
    ("names", "reason"),
    [
        (("a1.png", "a2.png", "a4.png"), "a2.png and a4.png the number grows by 2 .* by 1"),
        (("a1.png", "a01.png", "a2.png"), "a01.png and a1.png have the same number|a1.png and"),
        (("a1.png", "b2.png"), "do not differ in one number alone"),
        (("a1 2.png", "a2 3.png"), "do not differ in one number alone"),
        (("left.png", "right.png"), "do not differ in one number alone"),
    ],
)
def test_names_without_an_order_and_gaps_are_refused(
    tmp_path: Path, names: tuple[str, ...], reason: str
) -> None:
    for plane, name in zip(GREY, names, strict=False):
        Pillow.fromarray(plane).save(tmp_path / name)
    with pytest.raises(ImageReadError, match=reason):
        read_image(tmp_path)


def test_slices_that_differ_are_named(tmp_path: Path) -> None:
    save(tmp_path / "a")
    Pillow.fromarray(GREY[0, :5]).save(tmp_path / "a" / "slice7.png")
    with pytest.raises(ImageReadError, match="slice7.png is 1 x 5 x 9 x 1 of uint8 but slice1.png"):
        read_image(tmp_path / "a")
    (tmp_path / "a" / "slice7.png").write_bytes(b"\x89PNG\r\n\x1a\n cut")
    with pytest.raises(ImageReadError, match=r"a: slice7.png: cannot be read as a picture"):
        read_image(tmp_path / "a")
    tifffile.imwrite(tmp_path / "a" / "slice7.png", GREY, photometric="minisblack")
    with pytest.raises(ImageReadError, match="slice7.png holds 12 slices of its own; read that"):
        read_image(tmp_path / "a")


def test_dicom_beside_pictures_is_what_is_read(tmp_path: Path) -> None:
    write_series(tmp_path, GREY.astype(np.uint16))
    save(tmp_path)
    assert read_image(tmp_path).modality == "CT"
