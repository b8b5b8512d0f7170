from __future__ import annotations

import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest

from medprism.core.errors import ImageReadError, LabelError
from medprism.core.image import Image
from medprism.data.case import Case
from medprism.data.datasets.adapters import PUBLISHED, open_dataset
from medprism.data.datasets.mask_kind import ContourMask
from medprism.data.datasets.published_dataset import labelled_frames, open_published
from medprism.data.preparation import PrepareConfig, prepare
from medprism.data.store import SliceStore
from medprism.data.stored_slice import read_image, read_planes
from tests.data.datasets.releases import PATHS, SHAPE, SLICES, numbers_of, write_release


def _planes(case: Case) -> dict[int, np.ndarray]:
    return dict(read_planes(case, read_image(case)))


def _name(name: str, folder: Path) -> Path:
    return Path(f"{name}={folder}")


def test_every_set_has_a_tree() -> None:
    assert set(PATHS) == set(PUBLISHED)


@pytest.mark.parametrize("name", sorted(PUBLISHED))
def test_every_set_opens_in_its_official_layout_and_gives_its_labels(
    tmp_path: Path, name: str
) -> None:
    published = write_release(name, tmp_path / "top" / "release")
    dataset = open_dataset(_name(name, tmp_path / "top"), tmp_path / "splits")
    cases = list(dataset.cases())
    assert len(dataset.split) == len(PATHS[name])
    assert {case.split for case in cases} <= {"train", "val", "test"}
    assert {case.role for case in cases} == {published.uses[0].role}
    assert len({case.case_id for case in cases}) == len(cases)
    assert all("/" not in case.case_id for case in cases)
    found: set[int] = set()
    for case in cases:
        planes = _planes(case)
        found |= set(planes)
        image = read_image(case)
        assert all(plane.shape == image.voxels.shape[1:3] for plane in planes.values())
        assert isinstance(case.image, Image) or published.unit == "images"
    assert found == set(published.classes) or isinstance(published.mask, ContourMask)
    assert found
    files = dataset.source_files()
    assert list(files) == sorted(set(files))
    assert all(path.is_file() for path in files)


@pytest.mark.parametrize("name", ["amos_ct", "acdc", "structseg_han", "chaos_mr", "covid_ct"])
def test_every_voxel_of_a_volume_keeps_its_label(tmp_path: Path, name: str) -> None:
    published = write_release(name, tmp_path)
    dataset = open_dataset(_name(name, tmp_path), tmp_path / "splits")
    seeds = {str(tmp_path / image): seed for seed, (image, _) in enumerate(PATHS[name])}
    checked = 0
    for case in dataset.cases():
        assert isinstance(case.image, Image)
        seed = 0 if name == "chaos_mr" else seeds[str(case.image.source)]
        expected = numbers_of(published, seed)
        if name == "chaos_mr":
            dark = case.image.voxels[case.plane, ..., 0]
            assert dark[expected[case.plane] > 0].mean() > dark[expected[case.plane] == 0].mean()
        for label_id in published.classes:
            plane = expected[case.plane] == label_id
            np.testing.assert_array_equal(
                plane,
                case.masks.get(label_id, np.zeros(SHAPE, bool)),  # type: ignore[union-attr]
            )
            checked += int(plane.any())
        assert case.relative_position == pytest.approx(case.plane / (SLICES - 1))
    assert checked > 3


def test_amos_has_15_labels_of_which_13_are_used(tmp_path: Path) -> None:
    published = write_release("amos_ct", tmp_path)
    assert len(published.labels) == 15
    assert list(published.classes) == list(range(1, 14))
    assert set(published.left_out.values()) == {"bladder", "prostate or uterus"}
    assert (numbers_of(published, 0) == 14).any()
    found = {
        label
        for case in open_published(published, tmp_path, tmp_path / "s").cases()
        for label in _planes(case)
    }
    assert found == set(range(1, 14))


def test_amos_ct_and_mri_are_told_apart_by_their_numbers(tmp_path: Path) -> None:
    for name in ("amos_ct", "amos_mri"):
        write_release(name, tmp_path)
    ct = open_dataset(_name("amos_ct", tmp_path), tmp_path / "splits")
    assert sorted(ct.split) == ["amos_0001", "amos_0004", "amos_0008"]
    assert ct.split["amos_0008"] == "test"


def test_the_two_classes_of_bkai_are_one_concept(tmp_path: Path) -> None:
    published = write_release("bkai_igh", tmp_path)
    assert dict(published.concepts) == {"polyp": (1, 2)}
    prepare([_name("bkai_igh", tmp_path)], tmp_path / "store")
    store = SliceStore.open(tmp_path / "store")
    assert len(store) == 3
    for row in range(3):
        assert set(store.rows[row].areas) == {1, 2}
        both = store.plane(row, (1, 2))
        expected = numbers_of(published, [r.case_id for r in store.rows].index("0081835cf8"))
        assert both.sum() == store.plane(row, (1,)).sum() + store.plane(row, (2,)).sum()
        assert both.shape == expected.shape[1:]


def test_lascarqs_is_split_98_to_32(tmp_path: Path) -> None:
    write_release("lascarqs", tmp_path)
    source = tmp_path / "task2" / "train_data" / "train_1"
    for number in range(3, 130):
        shutil.copytree(source, source.with_name(f"train_{number}"), copy_function=_link)
    dataset = open_dataset(_name("lascarqs", tmp_path), tmp_path / "splits")
    sides = list(dataset.split.values())
    assert (sides.count("train"), sides.count("val"), sides.count("test")) == (98, 0, 32)


def _link(source: str, target: str) -> None:
    Path(target).hardlink_to(source)


def test_both_eyes_of_a_papila_patient_stay_together(tmp_path: Path) -> None:
    published = write_release("papila", tmp_path)
    dataset = open_published(published, tmp_path, tmp_path / "splits")
    assert dataset.split["RET002OD"] == dataset.split["RET002OS"]
    assert {case.patient for case in dataset.cases()} == {"RET002", "RET004"}


def test_frames_without_labels_are_no_cases(tmp_path: Path) -> None:
    published = write_release("mnms", tmp_path)
    assert labelled_frames(tmp_path / "Testing/C1K8P5/C1K8P5_sa_gt.nii.gz") == (1, 3)
    dataset = open_published(published, tmp_path, tmp_path / "splits")
    found = [case for case in dataset.cases() if case.case_id.startswith("C1K8P5")]
    assert {case.case_id[:14] for case in found} == {"C1K8P5_frame01", "C1K8P5_frame03"}
    expected = numbers_of(published, 2)
    for case in found:
        assert isinstance(case.image, Image)
        numbers = expected if "frame01" in case.case_id else expected[::-1]
        for label_id, plane in case.masks.items():  # type: ignore[union-attr]
            np.testing.assert_array_equal(plane, numbers[case.plane] == label_id)


def test_pictures_are_cut_into_labelled_tiles(tmp_path: Path) -> None:
    published = write_release("kpis", tmp_path)
    cases = list(open_published(published, tmp_path, tmp_path / "splits").cases())
    # Each picture has two whole tiles of which the first is labelled; the rest is too narrow.
    assert [case.case_id.rpartition("_r")[2] for case in cases] == ["0_c0"] * 3
    for case in cases:
        assert read_image(case).shape == (512, 512)
        (plane,) = _planes(case).values()
        assert plane.any()


def test_several_masks_of_a_picture_are_united(tmp_path: Path) -> None:
    published = write_release("busi", tmp_path)
    dataset = open_published(published, tmp_path, tmp_path / "splits")
    case = next(case for case in dataset.cases() if case.case_id == "benign (1)")
    first = numbers_of(published, 0).max(axis=0) > 0
    np.testing.assert_array_equal(_planes(case)[1], first | np.roll(first, 9, axis=1))


def test_the_tumour_window_shapes_the_stored_bytes(tmp_path: Path) -> None:
    write_release("kits19", tmp_path)
    dataset = open_dataset(_name("kits19", tmp_path), tmp_path / "splits")
    case = next(iter(dataset.cases()))
    assert isinstance(case.image, Image)
    assert case.image.voxels.dtype == np.uint8
    source = read_image(
        Case("", "", None, "train", "train", tmp_path / "data/case_00000/imaging.nii.gz", {})
    )
    expected = np.rint(np.clip((source.voxels + 200.0) / 450 * 255, 0, 255))
    np.testing.assert_allclose(case.image.voxels, expected, atol=1)


FAMILIES = (
    "amos_mri",
    "mnms",
    "kits19",
    "busi",
    "isic2018",
    "papila",
    "chaos_mr",
    "amd_sd",
    "kpis",
)


@pytest.mark.parametrize("name", FAMILIES)
def test_one_set_of_every_layout_family_becomes_a_store(tmp_path: Path, name: str) -> None:
    published = write_release(name, tmp_path / "set")
    config = PrepareConfig(long_side=512)
    first = prepare([_name(name, tmp_path / "set")], tmp_path / "store", config)
    assert first.datasets[0].was_prepared
    store = SliceStore.open(tmp_path / "store")
    info = store.info(name)
    assert dict(info.classes) == dict(published.classes)
    assert info.title == published.title
    assert len(store) == sum(
        1
        for _ in open_dataset(_name(name, tmp_path / "set"), tmp_path / "store" / "splits").cases()
    )
    assert all(row.areas for row in store.rows)
    again = prepare([_name(name, tmp_path / "set")], tmp_path / "store", config)
    assert not again.datasets[0].was_prepared


def test_an_image_without_mask_is_refused_and_the_mask_named(tmp_path: Path) -> None:
    write_release("kits19", tmp_path)
    (tmp_path / "data/case_00001/segmentation.nii.gz").unlink()
    with pytest.raises(ImageReadError, match=r"case_00001/segmentation\.nii\.gz is not there"):
        open_dataset(_name("kits19", tmp_path), tmp_path / "splits")


def test_a_folder_of_another_release_is_refused_with_the_layout(tmp_path: Path) -> None:
    write_release("kits19", tmp_path)
    with pytest.raises(ImageReadError, match=r"nothing of LiTS 2017; expected volume-N\.nii"):
        open_dataset(_name("lits", tmp_path), tmp_path / "splits")
    with pytest.raises(LabelError, match="no published dataset 'kits'; known: amos_ct"):
        open_dataset(_name("kits", tmp_path), tmp_path / "splits")
    with pytest.raises(ImageReadError, match="is not a folder"):
        open_dataset(_name("lits", tmp_path / "none"), tmp_path / "splits")


def test_a_number_that_the_set_does_not_define_is_refused(tmp_path: Path) -> None:
    write_release("structseg_han", tmp_path)
    (tmp_path / "HaN_OAR").rename(tmp_path / "Thoracic_OAR")
    with pytest.raises(LabelError, match="holds the label 7; this set defines 1, 2, 3, 4, 5, 6"):
        list(open_dataset(_name("structseg_thorax", tmp_path), tmp_path / "splits").cases())


def test_a_damaged_row_of_volumes_is_one_sentence(tmp_path: Path) -> None:
    write_release("mnms", tmp_path)
    mask = tmp_path / "Testing/C1K8P5/C1K8P5_sa_gt.nii.gz"
    mask.write_bytes(mask.read_bytes()[:200])
    with pytest.raises(ImageReadError, match="C1K8P5_sa_gt") as caught:
        labelled_frames(mask)
    assert "\n" not in str(caught.value)
    assert cv2.imwrite(str(tmp_path / "flat.png"), np.zeros((4, 6), np.uint8))
    with pytest.raises(ImageReadError, match=r"flat\.png"):
        labelled_frames(tmp_path / "flat.png")
