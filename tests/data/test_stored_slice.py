from pathlib import Path

import cv2
import numpy as np
import pytest

from medprism.core.errors import GeometryError
from medprism.core.image import Image
from medprism.core.preprocess import (
    choose_rule,
    fit_to,
    place,
    place_mask,
    standardise,
    to_eight_bit_range,
)
from medprism.data.case import Case
from medprism.data.preparation import prepare
from medprism.data.store import SliceStore
from medprism.data.stored_slice import stored_pixels, stored_planes
from medprism.io.reader import read_image, read_mask
from tests.data.phantoms import comma, picture, real_folder, write_case


def test_large_slices_shrink_and_thin_structures_stay(tmp_path: Path) -> None:
    shape = (500, 620)
    thick = comma(shape, 40, 60, 200)
    thin = np.zeros(shape, bool)
    thin[300:302, 400] = True
    write_case(tmp_path / "set", "a", picture(shape, thick, 1), thick * 1 + thin * 7)
    prepare([tmp_path / "set"], tmp_path / "store")
    store = SliceStore.open(tmp_path / "store")
    row = store.rows[0]
    assert row.shape == (310, 384, 1)
    assert row.source_shape == shape
    assert store.plane(0, (7,)).any()
    scale = 384 / 620
    assert row.areas[1] == pytest.approx(thick.sum() * scale**2, rel=0.02)
    assert dict(store.info("set").classes) == {1: "label 1", 7: "label 7"}
    expected = cv2.resize(
        picture(shape, thick, 1).astype(np.float32), (384, 310), interpolation=cv2.INTER_AREA
    )
    np.testing.assert_allclose(store.image(0)[..., 0], expected, atol=0.51)


def test_sixteen_bit_pictures_go_through_the_intensity_rule(tmp_path: Path) -> None:
    mask = comma((40, 30), 5, 6, 15)
    deep = picture((40, 30), mask, 3).astype(np.uint16) * 37 + 1000
    write_case(tmp_path / "set", "a", deep, mask * 1)
    prepare([tmp_path / "set"], tmp_path / "store")
    image = Image.from_array(deep)
    served = to_eight_bit_range(image.voxels[0], choose_rule(image).bounds(image))
    stored = SliceStore.open(tmp_path / "store").image(0)
    assert np.ptp(stored) > 200
    np.testing.assert_allclose(stored, served, atol=0.51)


def test_bounds_come_from_the_whole_volume_not_from_the_slice() -> None:
    volume = np.zeros((3, 20, 14), np.float32)
    volume[0] = np.linspace(0, 10, 280).reshape(20, 14)
    volume[2] = 1000
    image = Image.from_array(volume, modality="MR")
    assert int(stored_pixels(image, 0, 384).max()) < 5
    alone = Image.from_array(volume[0], modality="MR")
    assert int(stored_pixels(alone, 0, 384).max()) == 255


def test_known_bounds_give_the_same_bytes() -> None:
    volume = np.random.default_rng(0).normal(300, 90, (3, 20, 14)).astype(np.float32)
    image = Image.from_array(volume, modality="MR")
    bounds = choose_rule(image).bounds(image)
    for plane in range(3):
        np.testing.assert_array_equal(
            stored_pixels(image, plane, 384), stored_pixels(image, plane, 384, bounds)
        )


def test_a_plane_on_another_grid_is_refused() -> None:
    planes = {1: comma((40, 29), 5, 6, 15)}
    image = Image.from_array(np.zeros((40, 30), np.uint8))
    case = Case("set", "a", None, "train", "train", image, planes)
    with pytest.raises(GeometryError, match=r"set/a: mask has shape \(40, 29\)"):
        stored_planes(planes, (40, 30), 384, case)


@pytest.mark.realdata
@pytest.mark.parametrize("slug", ["wbc1", "la2018_left_atrium_mri"])
def test_real_slices_enter_the_model_as_in_serving(tmp_path: Path, slug: str) -> None:
    """The same file through the store and through Image and preprocess: equal tensors."""
    folder = real_folder(slug)
    prepare([folder], tmp_path / "store")
    store = SliceStore.open(tmp_path / "store")
    for number in range(0, len(store), 23):
        row = store.rows[number]
        assert max(row.shape[:2]) <= 384
        image = read_image(next((folder / "images").glob(f"{row.case_id}.*")))
        fit = fit_to(row.source_shape, 256)
        bounds = choose_rule(image).bounds(image)
        served = standardise(place(to_eight_bit_range(image.voxels[0], bounds), fit))
        stored = standardise(place(store.image(number).astype(np.float32), fit))
        np.testing.assert_array_equal(stored, served)
        labels = read_mask(folder / "masks" / f"{row.case_id}.png", like=image).array
        for label_id in row.areas:
            np.testing.assert_array_equal(
                place_mask(store.plane(number, (label_id,)), fit),
                place_mask(labels == label_id, fit),
            )
