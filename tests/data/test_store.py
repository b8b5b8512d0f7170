import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from medprism.core.errors import FormatVersionError, LabelError, MedprismError, StoreError
from medprism.core.image import Image
from medprism.core.preprocess import (
    choose_rule,
    fit_to,
    place,
    standardise,
    to_eight_bit_range,
)
from medprism.data.preparation import prepare
from medprism.data.store import MANIFEST, SliceRow, SliceStore
from tests.data.phantoms import write_dataset

GOLDEN = Path(__file__).parent / "golden" / "store-1"


@pytest.fixture
def store(tmp_path: Path) -> SliceStore:
    write_dataset(tmp_path / "grey", num_patients=2, slices=3)
    write_dataset(tmp_path / "colour", num_patients=2, slices=2, channels=3, shape=(33, 50))
    prepare([tmp_path / "grey", tmp_path / "colour"], tmp_path / "store")
    return SliceStore.open(tmp_path / "store")


def _source(store: SliceStore, row: SliceRow, kind: str) -> np.ndarray:
    path = store.path.parent / row.dataset / kind / f"{row.case_id}.png"
    pixels = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    assert pixels is not None
    return pixels[..., ::-1] if pixels.ndim == 3 else pixels


def test_small_slices_keep_every_pixel_of_image_and_masks(store: SliceStore) -> None:
    assert len(store) == 10
    for number, row in enumerate(store.rows):
        source = _source(store, row, "images")
        image = store.image(number)
        assert image.shape == row.shape
        assert image.shape[2] == (3 if row.dataset == "colour" else 1)
        np.testing.assert_array_equal(image.squeeze(), source)
        labels = _source(store, row, "masks")
        for ids in ((1,), (2,), (1, 2), (9,), (1, 9)):
            np.testing.assert_array_equal(store.plane(number, ids), np.isin(labels, ids))
        assert dict(row.areas) == {
            int(i): int((labels == i).sum()) for i in np.unique(labels) if i > 0
        }


def test_pixels_cannot_be_written_to(store: SliceStore) -> None:
    with pytest.raises(ValueError, match="read-only"):
        store.image(0)[0, 0] = 1


def test_row_as_json_returns_as_it_was(store: SliceStore) -> None:
    for row in store.rows:
        assert SliceRow.from_json(json.loads(json.dumps(row.to_json()))) == row


def test_infos_are_kept(store: SliceStore) -> None:
    info = store.info("colour")
    assert (info.licence, info.redistributable, info.modality) == ("CC0", "yes", "MR")
    assert dict(info.classes) == {1: "big comma", 2: "small comma"}
    with pytest.raises(LabelError, match="no dataset 'other'"):
        store.info("other")


def test_a_folder_without_store_is_refused(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="holds no slice store"):
        SliceStore.open(tmp_path)


def test_a_newer_store_is_refused(store: SliceStore) -> None:
    path = store.path / MANIFEST
    path.write_text(json.dumps({**json.loads(path.read_text()), "version": 99}))
    with pytest.raises(FormatVersionError, match="update medprism"):
        SliceStore.open(store.path)


@pytest.mark.parametrize("suffix", [".bin", ".json"])
def test_a_missing_part_is_refused(store: SliceStore, suffix: str) -> None:
    next(store.path.glob(f"grey-*{suffix}")).unlink()
    with pytest.raises(StoreError, match="prepare the store again"):
        SliceStore.open(store.path)


def test_a_truncated_part_is_refused(store: SliceStore) -> None:
    part = next(store.path.glob("grey-*.bin"))
    part.write_bytes(part.read_bytes()[:-1])
    with pytest.raises(StoreError, match="its index needs"):
        SliceStore.open(store.path)


@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(data=st.data())
def test_a_damaged_index_is_refused_in_one_sentence(store: SliceStore, data: st.DataObject) -> None:
    part = next(store.path.glob("grey-*.json"))
    original = part.read_bytes()
    at = data.draw(st.integers(0, len(original) - 1))
    cut = data.draw(st.integers(0, 40))
    part.write_bytes(original[:at] + data.draw(st.binary(max_size=4)) + original[at + cut :])
    try:
        SliceStore.open(store.path)
    except MedprismError as error:
        assert "\n" not in str(error)
    finally:
        part.write_bytes(original)


def test_the_golden_store_of_version_1_stays_readable() -> None:
    store = SliceStore.open(GOLDEN)
    assert [row.case_id for row in store.rows] == ["p0_z000", "p0_z004", "p0_z008"]
    assert [dict(row.areas) for row in store.rows] == [{1: 16, 2: 7}, {1: 16}, {1: 16, 2: 7}]
    assert store.image(1).shape == (12, 9, 1)
    assert int(store.image(1).sum()) == 9596
    assert store.plane(0, (1, 2)).sum() == 23
    assert store.info("golden").classes[2] == "small comma"


def _served(image: Image, long_side: int) -> np.ndarray:
    values = to_eight_bit_range(image.voxels[0], choose_rule(image).bounds(image))
    height, width = values.shape[:2]
    return standardise(place(values, fit_to((height, width), long_side)))


def test_store_and_session_give_equal_tensors(store: SliceStore) -> None:
    for number, row in enumerate(store.rows):
        direct = _served(Image.from_array(_source(store, row, "images")), 64)
        pixels = store.image(number)
        stored = _served(Image.from_array(pixels[..., 0] if row.shape[2] == 1 else pixels), 64)
        np.testing.assert_array_equal(stored, direct)
