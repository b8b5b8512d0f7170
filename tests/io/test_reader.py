from __future__ import annotations

import os
import warnings
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path

import cv2
import nibabel as nib
import numpy as np
import pytest
import SimpleITK
import tifffile
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image as Pillow

from medprism.core.errors import GeometryError, ImageReadError, MedprismError
from medprism.core.image import Image
from medprism.io.mask_file import MaskFile
from medprism.io.reader import FORMATS, read_image, read_mask
from medprism.io.writer import write_mask
from tests.io.phantoms import bundled, image_on, labels, oriented, write_series

RNG = np.random.default_rng(10)
DATA = Path(__file__).resolve().parents[2] / ".." / "shared" / "data"
GREY = RNG.integers(0, 256, (13, 21), dtype=np.uint8)
COLOUR = RNG.integers(0, 256, (13, 21, 3), dtype=np.uint8)
VOLUME = RNG.integers(0, 900, (4, 6, 9)).astype(np.int16)


def _save_each(folder: Path) -> None:
    Pillow.fromarray(COLOUR).save(folder / "colour.png")
    Pillow.fromarray(GREY).convert("P").save(folder / "palette.png")
    Pillow.fromarray(GREY.astype(np.uint16) * 257).save(folder / "deep.png")
    cv2.imwrite(str(folder / "deep colour.png"), COLOUR.astype(np.uint16) * 257)
    Pillow.fromarray(COLOUR).save(folder / "colour.jpg")
    Pillow.fromarray(GREY).save(folder / "grey.bmp")
    Pillow.fromarray(COLOUR).save(folder / "packed.tif", compression="tiff_lzw")
    cv2.imwrite(str(folder / "deep.tif"), COLOUR.astype(np.uint16) * 257)
    tifffile.imwrite(folder / "volume.tif", VOLUME, compression="zlib", photometric="minisblack")
    image = nib.Nifti1Image(VOLUME, np.diag([2.0, 1.0, 3.0, 1.0]))
    image.header.set_slope_inter(2, 1)
    for name in ("volume.nii", "volume.nii.gz"):
        nib.save(image, folder / name)
    nib.save(nib.Nifti2Image(VOLUME, np.eye(4)), folder / "second.nii")
    for name in ("volume.nrrd", "volume.mha"):
        SimpleITK.WriteImage(SimpleITK.GetImageFromArray(VOLUME), str(folder / name), True)
    for name in ("CT_small.dcm", "MR_small_RLE.dcm", "MR_small_jp2klossless.dcm"):
        (folder / name).write_bytes(bundled(name).read_bytes())


@lru_cache
def samples() -> dict[str, bytes]:
    """Return one valid file of every kind, by name."""
    import tempfile

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            _save_each(folder)
        return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def sentence(path: Path | str, read: Callable[[Path | str], object] = read_image) -> str:
    """Return the message of the one error that reading this may raise."""
    with pytest.raises(ImageReadError) as caught:
        read(path)
    message = str(caught.value)
    assert "\n" not in message
    assert message.startswith(f"{path}: ")
    return message


@pytest.mark.parametrize("name", samples())
def test_every_kind_is_read_and_remembers_its_source(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.write_bytes(samples()[name])
    image = read_image(path)
    assert image.source == path
    assert image.digest == read_image(str(path)).digest


@pytest.mark.parametrize("name", samples())
@pytest.mark.parametrize("suffix", [".png", ".nii.gz", ".dcm", ".txt", ""])
def test_a_wrong_suffix_does_not_matter(tmp_path: Path, name: str, suffix: str) -> None:
    right, wrong = tmp_path / name, tmp_path / f"wrong{suffix}"
    right.write_bytes(samples()[name])
    wrong.write_bytes(samples()[name])
    here, there = read_image(right), read_image(wrong)
    assert here.digest == there.digest
    np.testing.assert_array_equal(here.geometry.affine, there.geometry.affine)


@pytest.mark.parametrize("name", samples())
def test_empty_truncated_and_text_files_are_one_sentence(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.write_bytes(b"")
    assert "it is empty (0 bytes)" in sentence(path)
    path.write_text("This is a letter, not an image.\n" * 40)
    assert "no supported format" in sentence(path)
    content = samples()[name]
    path.write_bytes(content[: len(content) * 2 // 3])
    for read in (read_image, read_mask):
        assert len(sentence(path, read)) < 500


@pytest.mark.parametrize("name", samples())
def test_a_cut_file_never_gives_other_pixels(tmp_path: Path, name: str) -> None:
    path, content = tmp_path / name, samples()[name]
    path.write_bytes(content)
    whole = read_image(path).digest
    refused = 0
    for cut in range(1, len(content), len(content) // 25):
        path.write_bytes(content[:cut])
        try:
            assert read_image(path).digest == whole
        except ImageReadError:
            refused += 1
    assert refused > 20


def test_folders_and_missing_files_are_one_sentence(tmp_path: Path) -> None:
    assert "no such file" in sentence(tmp_path / "missing.png")
    assert "holds no DICOM image" in sentence(tmp_path)
    (tmp_path / "a.txt").write_text("text")
    assert "(1 other files) and no pictures" in sentence(tmp_path)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_without_permission_is_one_sentence(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(samples()["colour.png"])
    path.chmod(0)
    assert "Permission denied" in sentence(path)


def test_an_image_of_nan_is_refused_and_one_pixel_is_an_image(tmp_path: Path) -> None:
    nothing = np.full((6, 5, 4), np.nan, np.float32)
    nib.save(nib.Nifti1Image(nothing, np.eye(4)), tmp_path / "a.nii")
    SimpleITK.WriteImage(SimpleITK.GetImageFromArray(nothing), str(tmp_path / "a.mha"))
    tifffile.imwrite(tmp_path / "a.tif", nothing[0])
    for name in ("a.nii", "a.mha", "a.tif"):
        path = tmp_path / name
        assert "no finite value (all NaN or infinite)" in sentence(path)
        assert "NaN" in sentence(path, read_mask)
    nib.save(nib.Nifti1Image(np.ones((1, 1, 1), np.int16), np.eye(4)), tmp_path / "one.nii")
    assert read_image(tmp_path / "one.nii").shape == (1, 1)


def test_an_image_without_pixels_is_refused(tmp_path: Path) -> None:
    nib.save(nib.Nifti1Image(np.ones((5, 0, 4), np.int16), np.eye(4)), tmp_path / "a.nii")
    assert "empty axes" in sentence(tmp_path / "a.nii")


def test_an_unusable_affine_names_the_file(tmp_path: Path) -> None:
    image = nib.Nifti1Image(VOLUME, np.eye(4))
    image.header["srow_z"] = np.nan
    nib.save(nib.Nifti1Image(VOLUME, None, image.header), tmp_path / "a.nii")
    with pytest.raises(GeometryError, match="a.nii: affine .* does not span"):
        read_image(tmp_path / "a.nii")


def test_a_part_of_a_whole_image_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(samples()["colour.png"])
    with pytest.raises(ImageReadError, match="holds one image, so there is no part '3'"):
        read_image(tmp_path / "a.png", "3")


def test_a_folder_is_read_as_a_series_and_as_a_mask(tmp_path: Path) -> None:
    write_series(tmp_path, np.abs(VOLUME).astype(np.uint16) + 1024)
    image = read_image(tmp_path)
    assert image.source == tmp_path
    assert image.modality == "CT"
    mask = read_mask(tmp_path, image)
    np.testing.assert_array_equal(mask.array, VOLUME)


def test_a_colour_dicom_is_no_mask() -> None:
    assert "colour picture" in sentence(bundled("SC_rgb_rle.dcm"), read_mask)


def test_a_mask_on_another_grid_names_both(tmp_path: Path) -> None:
    image = image_on(oriented((0, 1, 2), (1.0, 1.0, 1.0)))
    path = tmp_path / "m.nii.gz"
    write_mask(path, labels(), image)
    others = [
        oriented((0, 1, 2), (1.0, 1.0, 1.0), spacing=(2.5, 0.7, 1.4)),
        oriented((0, 1, 2), (1.0, 1.0, -1.0)),
        oriented((0, 1, 2), (1.0, 1.0, 1.0), turn=0.1),
        oriented((0, 1, 2), (1.0, 1.0, 1.0), shape=(4, 9, 6)),
    ]
    for geometry in others:
        with pytest.raises(GeometryError) as caught:
            read_mask(path, image_on(geometry))
        message = str(caught.value)
        assert image.geometry.describe() in message
        assert geometry.describe() in message
        assert "resample the mask" in message
    assert read_mask(path, image).geometry is image.geometry


def test_where_a_grid_is_not_known_the_shape_decides(tmp_path: Path) -> None:
    picture = Image.from_array(GREY)
    slice_of_ct = Image.from_array(GREY, affine=np.diag([5.0, 0.6, 0.6, 1.0]))
    path = tmp_path / "m.png"
    write_mask(path, labels(GREY.shape), picture)
    for image in (picture, slice_of_ct):
        found = read_mask(path, image)
        assert found.array.shape == GREY.shape
        np.testing.assert_array_equal(found.to_labels()["Tümor"], labels(GREY.shape)["Tümor"])
    with pytest.raises(GeometryError, match="pixels"):
        read_mask(path, Image.from_array(GREY.T.copy()))


def test_a_one_slice_mask_fits_a_volume_of_one_slice(tmp_path: Path) -> None:
    volume = Image.from_array(GREY[None])
    assert volume.shape == (1, 13, 21)
    write_mask(tmp_path / "m.nii", labels((1, 13, 21)), volume)
    assert read_mask(tmp_path / "m.nii").array.shape == (13, 21)
    assert read_mask(tmp_path / "m.nii", volume).array.shape == (1, 13, 21)


def test_every_written_format_has_a_reader(tmp_path: Path) -> None:
    formats = {"raster", "tiff", "nifti", "nrrd", "meta", "dicom", "dicom folder", "coco"}
    formats.add("picture folder")
    assert set(FORMATS) == formats
    picture = Image.from_array(GREY)
    for suffix in (".png", ".tif", ".nii", ".nii.gz", ".nrrd", ".mha", ".json"):
        write_mask(tmp_path / f"m{suffix}", labels(GREY.shape), picture)
        assert dict(read_mask(tmp_path / f"m{suffix}").names) == {1: "left lung", 2: "Tümor"}


def check_bytes(path: Path, content: bytes) -> None:
    """Read any bytes as an image and as a mask: a value, or one sentence."""
    path.write_bytes(content)
    for read, kind in ((read_image, Image), (read_mask, MaskFile)):
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            try:
                found = read(path)
            except MedprismError as error:
                assert "\n" not in str(error)
                assert str(path) in str(error)
            else:
                assert isinstance(found, kind)


@st.composite
def damaged(draw: st.DrawFn) -> tuple[str, bytes]:
    """Draw a file that is cut, changed in some bytes, or spliced."""
    name = draw(st.sampled_from(sorted(samples())))
    content = bytearray(samples()[name])
    how = draw(st.sampled_from(["cut", "change", "change the header", "splice"]))
    if how == "cut":
        return name, bytes(content[: draw(st.integers(0, len(content) - 1))])
    if how == "splice":
        at = draw(st.integers(0, len(content) - 1))
        content[at : at + draw(st.integers(0, 40))] = draw(st.binary(max_size=40))
        return name, bytes(content)
    end = min(len(content), 700) if how == "change the header" else len(content)
    for _ in range(draw(st.integers(1, 12))):
        content[draw(st.integers(0, end - 1))] = draw(st.integers(0, 255))
    return name, bytes(content)


HEADS = [content[:16] for content in samples().values()]
QUIET = [HealthCheck.function_scoped_fixture, HealthCheck.too_slow]


@settings(max_examples=60, deadline=None, suppress_health_check=QUIET)
@given(content=st.binary(max_size=400), head=st.sampled_from([b"", *HEADS]))
def test_random_bytes_are_an_image_or_one_sentence(
    tmp_path: Path, content: bytes, head: bytes
) -> None:
    check_bytes(tmp_path / "any.png", head + content)


@settings(max_examples=150, deadline=None, suppress_health_check=QUIET)
@given(file=damaged())
def test_damaged_files_are_an_image_or_one_sentence(
    tmp_path: Path, file: tuple[str, bytes]
) -> None:
    check_bytes(tmp_path / file[0], file[1])


@pytest.mark.slow
@settings(max_examples=6000, deadline=None, suppress_health_check=QUIET)
@given(file=damaged())
def test_many_damaged_files_are_an_image_or_one_sentence(
    tmp_path: Path, file: tuple[str, bytes]
) -> None:
    check_bytes(tmp_path / file[0], file[1])


@settings(max_examples=2, deadline=None, suppress_health_check=QUIET)
@given(at=st.integers(1500, 4000), value=st.integers(0, 255))
def test_damaged_jpeg_ls_is_an_image_or_one_sentence(tmp_path: Path, at: int, value: int) -> None:
    content = bytearray(bundled("MR_small_jpeg_ls_lossless.dcm").read_bytes())
    content[at] = value
    check_bytes(tmp_path / "a.dcm", bytes(content))


@pytest.mark.realdata
@pytest.mark.skipif(not DATA.is_dir(), reason="the real images are not beside the checkout")
def test_real_images_and_their_masks_lie_on_one_grid() -> None:
    volumes = sorted(DATA.glob("3d/*/volumes/*_seg.nii.gz"))[::20]
    pictures = [path for folder in DATA.glob("2d/*/masks") for path in sorted(folder.iterdir())[:2]]
    for mask_path in volumes:
        image = read_image(mask_path.with_name(mask_path.name.replace("_seg", "_img")))
        mask = read_mask(mask_path, image)
        assert mask.array.shape == image.shape
        assert mask.array.any()
    for mask_path in pictures:
        found = sorted((mask_path.parents[1] / "images").glob(f"{mask_path.stem}.*"))
        image = read_image(found[0])
        assert image.is_planar
        assert read_mask(mask_path, image).array.shape == image.shape
    assert len(volumes) > 3
    assert len(pictures) > 100
