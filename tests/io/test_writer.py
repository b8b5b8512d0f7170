from __future__ import annotations

import errno
import os
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import SimpleITK
import tifffile
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image as Pillow

from medprism.core.errors import GeometryError, LabelError, WriteError
from medprism.core.geometry import Geometry
from medprism.core.image import Image
from medprism.core.labels import LabelMap, Labels
from medprism.io.palette import PALETTE
from medprism.io.reader import read_image, read_mask
from medprism.io.writer import (
    FOLDER_FORMATS,
    MASK_FORMATS,
    choose_format,
    default_mask_suffix,
    suffix_of,
    write_mask,
    write_png,
    write_probability,
)
from tests.io.phantoms import (
    SHAPE,
    bundled,
    image_on,
    labels,
    orientations,
    oriented,
    world_points,
    write_series,
)

VOLUMES = [".nii", ".nii.gz", ".nrrd", ".mha"]
PICTURES = [".png", ".tif", ".tiff", *VOLUMES, ".json"]
PICTURE = Image.from_array(np.random.default_rng(11).integers(0, 256, (13, 21), dtype=np.uint8))
QUIET = [HealthCheck.function_scoped_fixture, HealthCheck.too_slow]

spacings = st.tuples(*[st.sampled_from([0.3, 0.9, 1.7, 5.0])] * 3)


def check_places(path: Path, geometry: Geometry) -> None:
    """Write labels, read them, and compare the world position of every labelled voxel."""
    image, written = image_on(geometry), labels(SHAPE)
    write_mask(path, written, image)
    found = read_mask(path)
    assert found.geometry.matches(geometry, 1e-4)
    for name, plane in written:
        there = found.array == {v: k for k, v in found.names.items()}[name]
        np.testing.assert_allclose(
            world_points(there, found.geometry), world_points(plane, geometry), atol=2e-4
        )
    assert read_mask(path, image).array.shape == SHAPE


@pytest.mark.parametrize("suffix", [".nii", ".nrrd", ".mha"])
@pytest.mark.parametrize(("order", "signs"), list(orientations()))
def test_every_labelled_voxel_keeps_its_place_in_all_48_orientations(
    tmp_path: Path, suffix: str, order: tuple[int, ...], signs: tuple[float, ...]
) -> None:
    check_places(tmp_path / f"m{suffix}", oriented(order, signs))


@settings(max_examples=40, deadline=None, suppress_health_check=QUIET)
@given(
    st.sampled_from(list(orientations())),
    spacings,
    st.floats(-1.5, 1.5),
    st.sampled_from([0.0, 0.25, -0.6]),
    st.sampled_from(VOLUMES),
)
def test_every_labelled_voxel_keeps_its_place_when_turned_and_sheared(
    tmp_path: Path,
    axes: tuple[tuple[int, ...], tuple[float, ...]],
    spacing: tuple[float, float, float],
    turn: float,
    shear: float,
    suffix: str,
) -> None:
    geometry = oriented(*axes, spacing=spacing, turn=turn, shear=shear)
    check_places(tmp_path / f"m{suffix}", geometry)


@settings(max_examples=25, deadline=None, suppress_health_check=QUIET)
@given(st.sampled_from(list(orientations())), spacings, st.floats(-1.5, 1.5))
def test_simpleitk_and_nibabel_see_the_same_grid(
    tmp_path: Path,
    axes: tuple[tuple[int, ...], tuple[float, ...]],
    spacing: tuple[float, float, float],
    turn: float,
) -> None:
    geometry = oriented(*axes, spacing=spacing, turn=turn)
    path = tmp_path / "m.nii.gz"
    write_mask(path, labels(SHAPE), image_on(geometry))
    ours = geometry.affine[:, [2, 1, 0, 3]]
    header = nib.load(path).header
    np.testing.assert_allclose(header.get_sform(), ours, atol=1e-4)
    np.testing.assert_allclose(header.get_qform(), ours, atol=1e-3)
    itk = SimpleITK.ReadImage(str(path))
    theirs = np.eye(4)
    theirs[:3, :3] = np.reshape(itk.GetDirection(), (3, 3)) * itk.GetSpacing()
    theirs[:3, 3] = itk.GetOrigin()
    np.testing.assert_allclose(np.diag([-1, -1, 1, 1]) @ theirs, ours, atol=1e-3)
    np.testing.assert_array_equal(SimpleITK.GetArrayFromImage(itk), labels(SHAPE).to_map().array)


def test_a_sheared_grid_has_an_exact_sform_and_no_qform(tmp_path: Path) -> None:
    geometry = oriented((0, 1, 2), (1.0, 1.0, 1.0), shear=0.3)
    write_mask(tmp_path / "m.nii", labels(SHAPE), image_on(geometry))
    header = nib.load(tmp_path / "m.nii").header
    assert header.get_qform(coded=True) == (None, 0)
    np.testing.assert_allclose(header.get_sform(), geometry.affine[:, [2, 1, 0, 3]], atol=1e-5)


def test_the_affine_of_a_nifti_image_comes_back_bit_for_bit(tmp_path: Path) -> None:
    affine = oriented((2, 0, 1), (1.0, -1.0, 1.0), turn=0.4, shear=0.2).affine
    nib.save(nib.Nifti1Image(np.ones((4, 5, 6), np.int16), affine), tmp_path / "scan.nii")
    image = read_image(tmp_path / "scan.nii")
    mask = Labels({"all": np.ones(image.shape, bool)})
    write_mask(tmp_path / "m.nii.gz", mask, image)
    here, there = nib.load(tmp_path / "scan.nii"), nib.load(tmp_path / "m.nii.gz")
    np.testing.assert_array_equal(here.affine, there.affine)


@pytest.mark.parametrize("suffix", [*VOLUMES, ".tif"])
def test_masks_of_a_tilted_dicom_series_lie_on_its_grid(tmp_path: Path, suffix: str) -> None:
    write_series(tmp_path / "ct", np.ones(SHAPE, np.uint16), step=(0.0, 0.7, 2.0))
    image = read_image(tmp_path / "ct")
    path = tmp_path / f"m{suffix}"
    write_mask(path, labels(SHAPE), image)
    found = read_mask(path, image)
    np.testing.assert_array_equal(found.array, labels(SHAPE).to_map().array)
    if suffix != ".tif":
        assert read_mask(path).geometry.matches(image.geometry, 1e-4)


@pytest.mark.parametrize("suffix", [*PICTURES, ".pngs"])
@pytest.mark.parametrize("shape", [(1, 1), (3, 3), (13, 21), (21, 3)])
def test_pictures_come_back_with_names_in_every_format(
    tmp_path: Path, suffix: str, shape: tuple[int, int]
) -> None:
    array = np.random.default_rng(0).integers(0, 3, shape)
    array[0, 0] = 1
    odd = 'Tümor "x"\n\t{}:= 右'
    written = Labels({odd: array == 1, "b": array == 2})
    image = Image.from_array(np.zeros(shape, np.uint8))
    write_mask(tmp_path / f"m{suffix}", written, image)
    found = read_mask(tmp_path / f"m{suffix}", image)
    assert dict(found.names) == {1: odd, 2: "b"}
    assert found.array.dtype == np.uint8
    np.testing.assert_array_equal(found.array, array)


@pytest.mark.parametrize("suffix", [*VOLUMES, ".tif", ".tiff", ".pngs"])
@pytest.mark.parametrize("shape", [(5, 7, 9), (3, 4, 3), (2, 1, 1), (4, 3, 3)])
def test_volumes_come_back(tmp_path: Path, suffix: str, shape: tuple[int, ...]) -> None:
    array = np.random.default_rng(1).integers(0, 3, shape).astype(np.uint8)
    image = Image.from_array(array[..., None].repeat(3, 3))
    label_map = LabelMap(array, {1: "a", 2: "b"}, {})
    write_mask(tmp_path / f"m{suffix}", label_map, image)
    np.testing.assert_array_equal(read_mask(tmp_path / f"m{suffix}", image).array, array)


@pytest.mark.parametrize("suffix", [*VOLUMES, ".png", ".tif", ".pngs"])
def test_more_than_255_labels_take_16_bit(tmp_path: Path, suffix: str) -> None:
    array = np.arange(13 * 21, dtype=np.uint16).reshape(13, 21) * 200
    names = {int(number): f"cell {number}" for number in array.ravel()[1:]}
    write_mask(tmp_path / f"m{suffix}", LabelMap(array, names, {}), PICTURE)
    found = read_mask(tmp_path / f"m{suffix}", PICTURE)
    assert found.array.dtype == np.uint16
    np.testing.assert_array_equal(found.array, array)
    assert dict(found.names) == names


def test_a_png_mask_is_indexed_with_the_palette(tmp_path: Path) -> None:
    write_mask(tmp_path / "m.png", labels(PICTURE.shape), PICTURE)
    with Pillow.open(tmp_path / "m.png") as picture:
        assert picture.mode == "P"
        indices = np.asarray(picture)
        shown = np.asarray(picture.convert("RGB"))
    np.testing.assert_array_equal(indices, labels(PICTURE.shape).to_map().array)
    np.testing.assert_array_equal(shown, PALETTE[indices])
    np.testing.assert_array_equal(read_image(tmp_path / "m.png").voxels[0], shown)


def test_a_tiff_mask_shows_the_palette(tmp_path: Path) -> None:
    write_mask(tmp_path / "m.tif", labels(PICTURE.shape), PICTURE)
    expected = PALETTE[labels(PICTURE.shape).to_map().array]
    np.testing.assert_array_equal(read_image(tmp_path / "m.tif").voxels[0], expected)
    assert tifffile.imread(tmp_path / "m.tif").max() == 2


def test_the_same_mask_gives_the_same_bytes(tmp_path: Path) -> None:
    for suffix in PICTURES:
        for name in ("a", "b"):
            write_mask(tmp_path / f"{name}{suffix}", labels(PICTURE.shape), PICTURE)
        assert (tmp_path / f"a{suffix}").read_bytes() == (tmp_path / f"b{suffix}").read_bytes()


def test_a_volume_becomes_a_folder_of_indexed_pngs_one_a_slice(tmp_path: Path) -> None:
    volume = image_on(oriented((0, 1, 2), (1.0, 1.0, 1.0)))
    chosen = {"left lung": (1, 2, 3), "Tümor": (250, 128, 7)}
    folder = tmp_path / "m.pngs"
    for _ in range(2):
        # The second time the former folder is replaced.
        write_mask(folder, labels(SHAPE), volume, colours=chosen)
        (folder / "slice_0009.png").touch()
    write_mask(folder, labels(SHAPE), volume, colours=chosen)
    numbers = labels(SHAPE).to_map().array
    assert sorted(path.name for path in folder.iterdir()) == [
        f"slice_{number:04d}.png" for number in range(SHAPE[0])
    ]
    assert [path.name for path in tmp_path.iterdir()] == ["m.pngs"]
    for path, plane in zip(sorted(folder.iterdir()), numbers, strict=True):
        with Pillow.open(path) as picture:
            assert picture.mode == "P"
            np.testing.assert_array_equal(np.asarray(picture), plane)
        assert dict(read_mask(path).names) == {1: "left lung", 2: "Tümor"}
    found = read_mask(folder, volume)
    np.testing.assert_array_equal(found.array, numbers)
    assert found.geometry is volume.geometry
    assert dict(found.colours) == {1: (1, 2, 3), 2: (250, 128, 7)}


def test_a_folder_of_something_else_is_never_replaced(tmp_path: Path) -> None:
    folder = tmp_path / "mine.pngs"
    folder.mkdir()
    (folder / "scan.png").write_bytes(b"mine")
    with pytest.raises(WriteError, match="mine.pngs holds scan.png, which is no slice of a mask"):
        write_mask(folder, labels(PICTURE.shape), PICTURE)
    (tmp_path / "file.pngs").write_bytes(b"mine")
    with pytest.raises(WriteError, match="is a file, and the slices go into a folder"):
        write_mask(tmp_path / "file.pngs", labels(PICTURE.shape), PICTURE)
    assert (folder / "scan.png").read_bytes() == (tmp_path / "file.pngs").read_bytes() == b"mine"


def test_a_volume_as_png_and_unknown_suffixes_are_refused(tmp_path: Path) -> None:
    volume = image_on(oriented((0, 1, 2), (1.0, 1.0, 1.0)))
    with pytest.raises(WriteError, match="one slice and this mask has 4; write .nii.gz"):
        write_mask(tmp_path / "m.png", labels(SHAPE), volume)
    for name, reason in [
        ("m.jpg", "JPEG does not keep label numbers"),
        ("m.gz", "not known"),
        ("m", "a file without suffix"),
        ("m.mhd", r"choose .png, .tif, .tiff, .nii.gz, .nii, .nrrd, .mha, .dcm"),
    ]:
        with pytest.raises(WriteError, match=reason):
            write_mask(tmp_path / name, labels(SHAPE), volume)
    assert list(tmp_path.iterdir()) == []


def test_labels_of_another_shape_or_none_are_refused(tmp_path: Path) -> None:
    with pytest.raises(GeometryError, match=r"\(21, 13\) but its image has shape \(13, 21\)"):
        write_mask(tmp_path / "m.png", labels((21, 13)), PICTURE)
    with pytest.raises(LabelError, match="0 labels"):
        write_mask(tmp_path / "m.png", Labels({}), PICTURE)
    assert list(tmp_path.iterdir()) == []


def test_names_too_long_for_an_mha_header_are_refused(tmp_path: Path) -> None:
    names = {number: f"structure number {number}" for number in range(1, 255)}
    array = np.zeros(PICTURE.shape, np.uint8)
    write_mask(tmp_path / "m.mha", LabelMap(array, names, {}), PICTURE)
    assert dict(read_mask(tmp_path / "m.mha").names) == names
    names = {number: "x" * 200 for number in range(1, 255)}
    with pytest.raises(WriteError, match="an .mha header holds 30000; write .nrrd or .nii.gz"):
        write_mask(tmp_path / "n.mha", LabelMap(array, names, {}), PICTURE)
    write_mask(tmp_path / "n.nrrd", LabelMap(array, names, {}), PICTURE)
    assert dict(read_mask(tmp_path / "n.nrrd").names) == names


def test_a_picture_wider_than_nifti_1_allows(tmp_path: Path) -> None:
    image = Image.from_array(np.zeros((2, 40_000), np.uint8))
    mask = np.zeros(image.shape, bool)
    mask[1, 39_999] = True
    write_mask(tmp_path / "m.nii.gz", Labels({"a": mask}), image)
    np.testing.assert_array_equal(read_mask(tmp_path / "m.nii.gz", image).array, mask)


@pytest.mark.parametrize("suffix", PICTURES)
def test_a_full_disk_leaves_the_old_mask(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, suffix: str
) -> None:
    path = tmp_path / f"m{suffix}"
    path.write_bytes(b"old")

    def full(handle: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(WriteError, match="No space left on device; free space or choose"):
        write_mask(path, labels(PICTURE.shape), PICTURE)
    assert path.read_bytes() == b"old"
    assert [entry.name for entry in tmp_path.iterdir()] == [path.name]


@pytest.mark.parametrize("suffix", [*PICTURES, ".pngs"])
def test_a_missing_folder_is_one_sentence(tmp_path: Path, suffix: str) -> None:
    with pytest.raises(WriteError, match="cannot write .*No such file"):
        write_mask(tmp_path / "nowhere" / f"m{suffix}", labels(PICTURE.shape), PICTURE)


@pytest.mark.parametrize("suffix", VOLUMES)
def test_probabilities_come_back_bit_for_bit(tmp_path: Path, suffix: str) -> None:
    image = image_on(oriented((1, 2, 0), (1.0, -1.0, 1.0), turn=0.3))
    probability = np.random.default_rng(2).random(SHAPE, dtype=np.float32)
    write_probability(tmp_path / f"p{suffix}", probability, image)
    found = read_image(tmp_path / f"p{suffix}")
    assert found.voxels.dtype == np.float32
    np.testing.assert_array_equal(found.voxels[..., 0], probability)
    assert found.geometry.matches(image.geometry, 1e-4)


@pytest.mark.parametrize("suffix", [".png", ".tif", ".jpg"])
def test_probabilities_are_not_pictures(tmp_path: Path, suffix: str) -> None:
    probability = np.zeros(PICTURE.shape, np.float32)
    with pytest.raises(WriteError, match="choose .nii, .nii.gz, .nrrd, .mha"):
        write_probability(tmp_path / f"p{suffix}", probability, PICTURE)


def test_a_colour_picture_comes_back(tmp_path: Path) -> None:
    rgb = np.random.default_rng(3).integers(0, 256, (5, 7, 3), dtype=np.uint8)
    write_png(tmp_path / "a.png", rgb)
    np.testing.assert_array_equal(read_image(tmp_path / "a.png").voxels[0], rgb)


def test_masks_take_the_format_of_their_image(tmp_path: Path) -> None:
    picture = PICTURE.voxels[0, ..., 0]
    volume = np.zeros(SHAPE, np.uint8)
    Pillow.fromarray(picture).save(tmp_path / "a.png")
    Pillow.fromarray(picture).save(tmp_path / "a.jpg")
    tifffile.imwrite(tmp_path / "a.tif", picture)
    tifffile.imwrite(tmp_path / "b.tif", volume, photometric="minisblack")
    nib.save(nib.Nifti1Image(volume, np.eye(4)), tmp_path / "a.nii")
    nib.save(nib.Nifti1Image(volume[:1].T, np.eye(4)), tmp_path / "b.nii")
    for name in ("a.nrrd", "a.mha", "a.mhd"):
        SimpleITK.WriteImage(SimpleITK.GetImageFromArray(volume), str(tmp_path / name))
    (tmp_path / "really nifti.png").write_bytes((tmp_path / "a.nii").read_bytes())
    write_series(tmp_path / "ct", volume.astype(np.uint16))
    expected = {
        "a.png": ".png",
        "a.jpg": ".png",
        "a.tif": ".png",
        "b.tif": ".tif",
        "a.nii": ".nii.gz",
        "b.nii": ".nii.gz",
        "a.nrrd": ".nrrd",
        "a.mha": ".mha",
        "a.mhd": ".mha",
        "really nifti.png": ".nii.gz",
        "ct": ".nii.gz",
    }
    found = {name: read_image(tmp_path / name) for name in expected}
    assert {name: default_mask_suffix(image) for name, image in found.items()} == expected
    assert default_mask_suffix(read_image(bundled("CT_small.dcm"))) == ".nii.gz"
    for image in found.values():
        suffix = default_mask_suffix(image)
        write_mask(tmp_path / f"mask{suffix}", labels(image.shape), image)
        assert read_mask(tmp_path / f"mask{suffix}", image).names


def test_without_its_source_an_image_goes_by_suffix_and_shape() -> None:
    volume = Image.from_array(np.zeros(SHAPE))
    ct_slice = Image.from_array(np.zeros((5, 7)), affine=np.eye(4))
    assert default_mask_suffix(PICTURE) == ".png"
    assert default_mask_suffix(volume) == ".nii.gz"
    assert default_mask_suffix(ct_slice) == ".nii.gz"
    for name, suffix in [("gone.nrrd", ".nrrd"), ("gone.jpg", ".png"), ("gone.dcm", ".nii.gz")]:
        assert default_mask_suffix(PICTURE.replace(source=Path(name))) == suffix
    assert default_mask_suffix(volume.replace(source=Path("gone.tiff"))) == ".tif"


def test_suffixes_are_the_longest_that_fit() -> None:
    assert suffix_of(Path("a.b.NII.GZ"), (".gz", ".nii.gz", ".nii")) == ".nii.gz"
    assert suffix_of(Path("a.txt"), (".png",)) is None


@pytest.mark.parametrize(
    ("name", "format", "expected"),
    [
        ("m.dcm", None, "dicom-seg"),
        ("m.labelmap.dcm", None, "dicom-labelmap"),
        ("m.RTstruct.dcm", None, "rtstruct"),
        ("m.dcm", "rtstruct", "rtstruct"),
        ("m.dcm", "dicom-labelmap", "dicom-labelmap"),
        ("m.rtstruct.dcm", "dicom-seg", "dicom-seg"),
        ("m.nii", None, "nifti"),
        ("m.json", "coco", "coco"),
        ("m.PNGS", None, "png-stack"),
    ],
)
def test_suffix_or_name_choose_the_format(name: str, format: str | None, expected: str) -> None:
    assert choose_format(Path(name), format) is {**MASK_FORMATS, **FOLDER_FORMATS}[expected]


def test_a_format_that_is_unknown_or_not_of_the_suffix_is_refused(tmp_path: Path) -> None:
    with pytest.raises(WriteError, match="there is no format 'dicom'; choose png, tiff, nifti"):
        write_mask(tmp_path / "m.dcm", labels(PICTURE.shape), PICTURE, format="dicom")
    with pytest.raises(WriteError, match=r"m.png as nifti; let its name end in .nii.gz or .nii"):
        write_mask(tmp_path / "m.png", labels(PICTURE.shape), PICTURE, format="nifti")


@pytest.mark.parametrize("suffix", [*PICTURES, ".pngs"])
def test_colours_come_back_in_every_format(tmp_path: Path, suffix: str) -> None:
    chosen = {"left lung": (1, 2, 3), "Tümor": (250, 128, 7)}
    path = tmp_path / f"m{suffix}"
    write_mask(path, labels(PICTURE.shape), PICTURE, colours=chosen)
    found = read_mask(path, PICTURE)
    assert {found.names[number]: colour for number, colour in found.colours.items()} == chosen
    if suffix in (".png", ".pngs", ".tif"):
        shown = read_image(path).voxels[0]
        assert {tuple(pixel) for pixel in shown.reshape(-1, 3).tolist()} == {
            (0, 0, 0),
            *chosen.values(),
        }


def test_a_colour_that_is_none_or_of_no_label_is_refused(tmp_path: Path) -> None:
    for chosen, reason in [
        ({"lung": (1, 2, 3)}, "colour for 'lung' but no such label; there is left lung, Tümor"),
        ({"Tümor": (1, 2, 256)}, "must be red, green and blue, 0 to 255"),
    ]:
        with pytest.raises(LabelError, match=reason):
            write_mask(tmp_path / "m.nii", labels(PICTURE.shape), PICTURE, colours=chosen)


def test_a_number_without_a_name_is_refused(tmp_path: Path) -> None:
    array = np.full(PICTURE.shape, 2, np.uint8)
    for names, reason in [({1: "a"}, "number 2 of the mask has no name"), ({0: "a"}, "background")]:
        with pytest.raises(LabelError, match=reason):
            write_mask(tmp_path / "m.nii", LabelMap(array, names, {}), PICTURE)


@pytest.mark.parametrize("suffix", PICTURES)
def test_where_labels_overlap_the_result_says_what_was_lost(tmp_path: Path, suffix: str) -> None:
    disc, cup = np.zeros(PICTURE.shape, bool), np.zeros(PICTURE.shape, bool)
    disc[2:9, 3:15], cup[4:7, 5:8] = True, True
    path = tmp_path / f"m{suffix}"
    written = write_mask(path, Labels({"disc": disc, "cup": cup}), PICTURE)
    keeps = suffix == ".json"
    assert written.dropped == {"disc": 0 if keeps else 9, "cup": 0}
    found = read_mask(path, PICTURE)
    assert (found.array == 2).sum() == 9
    np.testing.assert_array_equal(found.to_labels()["disc"], disc if keeps else disc & ~cup)
    np.testing.assert_array_equal(found.to_labels()["cup"], cup)
