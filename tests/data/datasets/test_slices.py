from pathlib import Path

import numpy as np
import pytest

from medprism.core.errors import GeometryError
from medprism.core.image import Image
from medprism.core.preprocess import choose_rule, to_eight_bit_range
from medprism.data.case import Case
from medprism.data.datasets.adapters import open_dataset
from medprism.data.datasets.slices import cut_slices, slices_of
from medprism.data.preparation import prepare
from medprism.data.store import SliceStore
from medprism.io.reader import read_image, read_mask
from tests.data.phantoms import REAL_DATA, real_folder, write_volume


def _case(image: Path, mask: Path) -> Case:
    return Case("set", "v", "p", "train", "train", image, mask, modality="MR")


def test_a_volume_becomes_its_slices_and_those_without_labels_are_marked(tmp_path: Path) -> None:
    image, mask = tmp_path / "a.nii.gz", tmp_path / "b.nii.gz"
    write_volume(image, mask, 1)
    cases = list(cut_slices(_case(image, mask), image, mask))
    volume, numbers = read_image(image), read_mask(mask).array
    labelled = [bool(numbers[k].any()) for k in range(volume.num_slices)]
    assert labelled.count(True) == 4
    assert [case.slice_index for case in cases] == [case.plane for case in cases] == [*range(6)]
    assert [case.case_id for case in cases] == [f"v_z{k:03d}" for k in range(6)]
    assert [not case.is_unlabelled for case in cases] == labelled
    for case in cases:
        assert case.relative_position == case.plane / 5
        assert case.spacing == pytest.approx(volume.geometry.spacing[1:])
        assert (case.patient, case.modality) == ("p", "MR")
        assert isinstance(case.masks, dict)
        assert set(case.masks) == set(np.unique(numbers[case.plane])) - {0}
        for label_id, plane in case.masks.items():
            np.testing.assert_array_equal(plane, numbers[case.plane] == label_id)


def test_a_picture_without_labels_is_an_example_all_the_same(tmp_path: Path) -> None:
    plane = np.zeros((20, 30), np.uint8)
    picture = Image.from_array(plane)
    (case,) = slices_of(_case(tmp_path, tmp_path), picture, plane)
    assert case.masks == {}
    assert not case.is_unlabelled
    assert case.slice_index is None


def test_image_and_mask_on_different_grids_are_refused(tmp_path: Path) -> None:
    image, mask = tmp_path / "a.nii.gz", tmp_path / "b.nii.gz"
    write_volume(image, mask, 1)
    write_volume(tmp_path / "c.nii.gz", mask, 1, np.diag([0.7, 0.9, 3.5, 1.0]))
    with pytest.raises(GeometryError, match="resample"):
        list(cut_slices(_case(image, mask), image, mask))


@pytest.mark.parametrize("layout", ["images", "volumes"])
def test_both_layouts_prepare_volumes(tmp_path: Path, layout: str) -> None:
    for name in ("one", "two", "three"):
        if layout == "images":
            pair = [tmp_path / "set" / kind / f"{name}.nii.gz" for kind in ("images", "masks")]
        else:
            pair = [tmp_path / "set" / "volumes" / f"{name}_{k}.nii.gz" for k in ("img", "seg")]
        write_volume(pair[0], pair[1], len(name))
    dataset = open_dataset(tmp_path / "set", tmp_path / "splits")
    assert set(dataset.split) == {"one", "two", "three"}
    prepare([tmp_path / "set"], tmp_path / "store")
    store = SliceStore.open(tmp_path / "store")
    assert len(store) == 12
    assert len(store.unlabelled()) == 6
    assert dict(store.info("set").classes) == {1: "label 1", 9: "label 9"}
    for name in ("one", "two", "three"):
        assert len({row.split for row in store.rows if row.case_id.startswith(name)}) == 1
    folder = tmp_path / "set" / layout
    volume = read_image(folder / ("two.nii.gz" if layout == "images" else "two_img.nii.gz"))
    bounds = choose_rule(volume).bounds(volume)
    for number, row in enumerate(store.rows):
        if row.case_id.startswith("two"):
            served = to_eight_bit_range(volume.voxels[row.plane], bounds)
            np.testing.assert_allclose(store.image(number), served, atol=0.51)


@pytest.mark.realdata
def test_real_volumes_and_their_two_dimensional_cuts_hold_the_same_labels(tmp_path: Path) -> None:
    real_folder("msd_hippocampus_mri")
    folder = REAL_DATA / "3d" / "msd_hippocampus_mri"
    dataset = open_dataset(folder, tmp_path)
    first = next(iter(dataset.split))
    cases = [case for _, case in zip(range(60), dataset.cases(), strict=False)]
    mine = [case for case in cases if case.case_id.startswith(first) and not case.is_unlabelled]
    assert len(mine) > 10
    assert {case.patient for case in mine} == {first}
    assert all(set(case.masks) <= {1, 2} for case in mine if isinstance(case.masks, dict))
    assert all(case.spacing == pytest.approx((1.0, 1.0)) for case in mine)
