from __future__ import annotations

import gzip
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from nibabel.nifti1 import Nifti1Extension

from medprism.core.errors import FormatVersionError, GeometryError, ImageReadError
from medprism.io.mask_file import pack_names
from medprism.io.nifti import read_nifti, read_nifti_mask

RNG = np.random.default_rng(6)
# NIfTI order (i, j, k), chiral, sheared.
AFFINE = np.array(
    [[0.7, 0.2, -0.1, -30.0], [0.1, -1.3, 0.4, 12.5], [0.05, 0.3, 2.5, 190.0], [0, 0, 0, 1.0]]
)
VOLUME = RNG.integers(-900, 3000, (9, 6, 4)).astype(np.int16)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "scan.nii.gz"


def test_axes_are_turned_and_every_voxel_keeps_its_place(path: Path) -> None:
    nib.save(nib.Nifti1Image(VOLUME, AFFINE), path)
    image = read_nifti(path)
    assert image.shape == (4, 6, 9)
    assert image.voxels.dtype == np.int16
    assert image.geometry.is_physical
    for i, j, k in [(0, 0, 0), (8, 0, 0), (0, 5, 0), (0, 0, 3), (3, 2, 1)]:
        assert image.voxels[k, j, i, 0] == VOLUME[i, j, k]
        world = (AFFINE @ [i, j, k, 1.0])[:3]
        np.testing.assert_allclose(
            image.geometry.voxel_to_world((float(k), float(j), float(i))), world, atol=1e-4
        )


@pytest.mark.parametrize(
    "dtype",
    [np.uint8, np.int8, np.int16, np.uint16, np.int32, np.uint32, np.float32, np.float64, np.int64],
)
@pytest.mark.parametrize("byteorder", ["<", ">"])
@pytest.mark.parametrize("kind", [nib.Nifti1Image, nib.Nifti2Image])
def test_every_type_and_byte_order(tmp_path: Path, dtype: type, byteorder: str, kind: type) -> None:
    array = (VOLUME // 40).astype(dtype)
    header = kind.header_class(endianness=byteorder)
    header.set_data_dtype(dtype)
    nib.save(kind(array, AFFINE, header), tmp_path / "a.nii")
    voxels = read_nifti(tmp_path / "a.nii").voxels
    wanted = np.float32 if dtype is np.float64 else dtype
    assert voxels.dtype == np.dtype(wanted)
    np.testing.assert_array_equal(voxels[..., 0], array.transpose(2, 1, 0))


def test_the_scale_of_the_header_is_applied(path: Path) -> None:
    image = nib.Nifti1Image(VOLUME, AFFINE)
    image.header.set_slope_inter(0.5, -10)
    nib.save(image, path)
    stored = nib.load(path)
    assert stored.dataobj.slope == 0.5
    voxels = read_nifti(path).voxels
    assert voxels.dtype == np.float32
    np.testing.assert_allclose(voxels[..., 0], stored.get_fdata().transpose(2, 1, 0), rtol=1e-6)


@pytest.mark.parametrize("shape", [(9, 6), (9, 6, 1), (9, 6, 1, 1)])
def test_one_slice_is_planar(path: Path, shape: tuple[int, ...]) -> None:
    nib.save(nib.Nifti1Image(VOLUME[:, :, :1].reshape(shape), AFFINE), path)
    image = read_nifti(path)
    assert image.is_planar
    assert image.shape == (6, 9)
    np.testing.assert_array_equal(image.voxels[0, ..., 0], VOLUME[:, :, 0].T)


def test_a_row_of_volumes_needs_a_part(path: Path) -> None:
    series = np.stack([VOLUME, VOLUME + 1, VOLUME + 2], axis=-1)
    nib.save(nib.Nifti1Image(series, AFFINE), path)
    with pytest.raises(ImageReadError, match='holds 3 volumes .* part="0" to part="2"'):
        read_nifti(path)
    voxels = read_nifti(path, "1").voxels
    np.testing.assert_array_equal(voxels[..., 0], (VOLUME + 1).transpose(2, 1, 0))
    nib.save(nib.Nifti1Image(VOLUME[..., None, None], AFFINE), path)
    assert read_nifti(path).shape == (4, 6, 9)
    nib.save(nib.Nifti1Image(series[:, :, :, :, None], AFFINE), path)
    np.testing.assert_array_equal(read_nifti(path, "1").voxels, voxels)


@pytest.mark.parametrize("shape", [(9,), (9, 6, 4, 2, 2), (9, 0, 4)])
def test_other_shapes_are_refused(path: Path, shape: tuple[int, ...]) -> None:
    nib.save(nib.Nifti1Image(np.zeros(shape, np.uint8), AFFINE), path)
    with pytest.raises(ImageReadError, match="it has shape"):
        read_nifti(path)


@pytest.mark.parametrize("letters", ["RGB", "RGBA"])
def test_colour_stays_colour(path: Path, letters: str) -> None:
    dtype = np.dtype([(letter, "u1") for letter in letters])
    colours = RNG.integers(0, 256, (9, 6, 4, len(letters)), dtype=np.uint8)
    nib.save(nib.Nifti1Image(colours.view(dtype)[..., 0], AFFINE), path)
    voxels = read_nifti(path).voxels
    np.testing.assert_array_equal(voxels, colours[..., :3].transpose(2, 1, 0, 3))
    with pytest.raises(ImageReadError, match="colour volume"):
        read_nifti_mask(path)


def test_complex_numbers_are_refused(path: Path) -> None:
    nib.save(nib.Nifti1Image(VOLUME.astype(np.complex64), AFFINE), path)
    with pytest.raises(ImageReadError, match="holds complex64 values; real numbers"):
        read_nifti(path)


@pytest.mark.parametrize(("unit", "factor"), [("meter", 1000.0), ("micron", 0.001), ("mm", 1.0)])
def test_lengths_become_millimetres(path: Path, unit: str, factor: float) -> None:
    image = nib.Nifti1Image(VOLUME, np.diag([0.5, 0.25, 2.0, 1.0]))
    image.header.set_xyzt_units(unit)
    nib.save(image, path)
    expected = (2.0 * factor, 0.25 * factor, 0.5 * factor)
    assert read_nifti(path).geometry.spacing == pytest.approx(expected)


def test_the_sform_comes_before_the_qform_and_disagreement_is_said(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    turned = np.array([[0, -0.9, 0, 7], [0.8, 0, 0, -5], [0, 0, 2.5, 3], [0, 0, 0, 1.0]])
    straight = np.diag([0.8, 0.9, 2.5, 1.0])
    for sform, qform, expected in [
        (turned, None, turned),
        (None, turned, turned),
        (turned, turned, turned),
        (turned, straight, turned),
    ]:
        caplog.clear()
        image = nib.Nifti1Image(np.zeros((5, 4, 3), np.int16), None)
        image.set_sform(sform, code=0 if sform is None else 1)
        image.set_qform(qform, code=0 if qform is None else 1)
        nib.save(image, path)
        found = read_nifti(path).geometry.affine
        np.testing.assert_allclose(found[:, [2, 1, 0, 3]], expected, atol=1e-6)
        assert bool(caplog.records) == (qform is straight)
    assert "qform and an sform that lie" in caplog.text
    assert "the sform is used" in caplog.text
    # A shift of less than a hundredth of a voxel is rounding.
    image.set_qform(turned + np.pad([[0.005]], ((0, 3), (3, 0))), code=1)
    nib.save(image, path)
    caplog.clear()
    read_nifti(path)
    assert not caplog.records


def test_without_sform_and_qform_the_spacing_is_kept(path: Path) -> None:
    image = nib.Nifti1Image(VOLUME, None)
    image.header.set_zooms((0.5, 0.75, 3.0))
    nib.save(image, path)
    assert read_nifti(path).geometry.spacing == pytest.approx((3.0, 0.75, 0.5))


def test_a_pair_is_read_from_its_header(tmp_path: Path) -> None:
    nib.save(nib.Nifti1Pair(VOLUME, AFFINE), tmp_path / "a.hdr")
    image = read_nifti(tmp_path / "a.hdr")
    np.testing.assert_array_equal(image.voxels[..., 0], VOLUME.transpose(2, 1, 0))
    (tmp_path / "a.img").unlink()
    with pytest.raises(ImageReadError, match="cannot be read as NIfTI"):
        read_nifti(tmp_path / "a.hdr")


def test_an_affine_without_volume_is_refused(path: Path) -> None:
    image = nib.Nifti1Image(VOLUME, AFFINE)
    image.header["srow_x"] = image.header["srow_y"]
    nib.save(nib.Nifti1Image(VOLUME, None, image.header), path)
    with pytest.raises(GeometryError, match="does not span three dimensions"):
        read_nifti(path)


def test_names_come_back_and_other_extensions_do_not_matter(path: Path) -> None:
    image = nib.Nifti1Image((VOLUME % 3).astype(np.uint8), AFFINE)
    image.header.extensions.append(Nifti1Extension(6, b"\xff\xfe something else"))
    image.header.extensions.append(Nifti1Extension(6, pack_names({2: "läsion"}).encode()))
    nib.save(image, path)
    mask = read_nifti_mask(path)
    assert dict(mask.names) == {2: "läsion"}
    np.testing.assert_array_equal(mask.array, (VOLUME % 3).transpose(2, 1, 0))


def test_names_of_a_newer_version_are_refused(path: Path) -> None:
    image = nib.Nifti1Image(VOLUME, AFFINE)
    text = pack_names({}).replace('"version": 1', '"version": 2')
    image.header.extensions.append(Nifti1Extension(6, text.encode()))
    nib.save(nib.Nifti1Image(np.abs(VOLUME), AFFINE, image.header), path)
    with pytest.raises(FormatVersionError, match="version 2"):
        read_nifti_mask(path)


def test_masks_stored_as_float_are_numbers_and_probabilities_are_not(path: Path) -> None:
    nib.save(nib.Nifti1Image((VOLUME % 2).astype(np.float64), AFFINE), path)
    assert read_nifti_mask(path).array.dtype == np.uint8
    nib.save(nib.Nifti1Image(RNG.random((9, 6, 4)), AFFINE), path)
    with pytest.raises(ImageReadError, match="fractions or NaN"):
        read_nifti_mask(path)


@pytest.mark.parametrize("is_packed", [True, False])
def test_a_header_that_promises_too_much_is_refused(tmp_path: Path, is_packed: bool) -> None:
    content = bytearray(nib.Nifti1Image(VOLUME, AFFINE).to_bytes())
    content[42:48] = np.array([30000, 30000, 30000], "<i2").tobytes()
    path = tmp_path / "a.nii"
    path.write_bytes(gzip.compress(bytes(content)) if is_packed else content)
    with pytest.raises(ImageReadError, match="promises 54000000000352 bytes"):
        read_nifti(path)


def test_a_wrong_checksum_is_refused(path: Path) -> None:
    nib.save(nib.Nifti1Image(VOLUME, AFFINE), path)
    content = bytearray(path.read_bytes())
    content[-6] ^= 1
    path.write_bytes(content)
    for read in (read_nifti, read_nifti_mask):
        with pytest.raises(ImageReadError, match="CRC check failed"):
            read(path)


def test_a_truncated_file_is_refused(tmp_path: Path) -> None:
    content = nib.Nifti1Image(VOLUME, AFFINE).to_bytes()
    for name, cut in (("a.nii", content[:-1]), ("a.nii.gz", gzip.compress(content)[:-20])):
        (tmp_path / name).write_bytes(cut)
        with pytest.raises(ImageReadError, match="promises|cannot be read as NIfTI"):
            read_nifti(tmp_path / name)
