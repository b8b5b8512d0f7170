import json
from collections.abc import Sequence
from dataclasses import replace
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
from medprism.data.diet import choose_diet
from medprism.data.episode import EpisodeConfig, EpisodeSampler
from medprism.data.pools import build_pools
from medprism.data.preparation import PrepareConfig, prepare
from medprism.data.slice_row import SliceRow
from medprism.data.store import MANIFEST, SliceStore
from medprism.evaluation.benchmark import Plan, choose_slices
from medprism.evaluation.cases import StoreReader, targets_of
from medprism.evaluation.facts import facts_of
from medprism.evaluation.references import FixedReferences
from medprism.evaluation.unet_baseline import train_rows
from medprism.io.reader import read_image
from tests.data.phantoms import write_dataset, write_volumes

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


def test_the_golden_store_of_version_2_stays_readable() -> None:
    store = SliceStore.open(GOLDEN.with_name("store-2"))
    assert [row.case_id for row in store.rows] == [
        f"{case}_z00{number}" for case in "ab" for number in (1, 2, 3)
    ]
    assert [dict(row.areas) for row in store.rows] == 2 * [{1: 42}, {1: 36}, {1: 30}]
    row = store.rows[3]
    assert (row.patient, row.split, row.slice_index, row.relative_position) == (
        None,
        "test",
        1,
        0.25,
    )
    assert row.spacing == pytest.approx((0.9, 0.7))
    assert row.content.endswith("3065bc885d30:1")
    assert int(store.image(1).sum()) == 11263
    assert store.plane(0, (1,)).sum() == 42
    empty = store.unlabelled("golden")
    assert [row.case_id for row in empty.rows] == ["a_z000", "a_z004", "b_z000", "b_z004"]
    assert empty.image(2).shape == (12, 9, 1)


@pytest.fixture(scope="module")
def volumes(tmp_path_factory: pytest.TempPathFactory) -> tuple[SliceStore, SliceStore]:
    """Stores of the same volumes: with the slices that have no label, and as if there were none."""
    root = tmp_path_factory.mktemp("volumes")
    write_volumes(root / "one", ["a", "b", "c", "d"], empty=["c"])
    write_volumes(root / "two", ["e", "f"])
    write_dataset(root / "flat", num_patients=2)
    folders = [root / name for name in ("one", "flat", "two")]
    prepare(folders, root / "all", PrepareConfig())
    prepare(folders, root / "labelled", PrepareConfig(labelled_only=True))
    return SliceStore.open(root / "all"), SliceStore.open(root / "labelled")


def test_slices_without_labels_are_read_by_a_store_of_their_own(
    volumes: tuple[SliceStore, SliceStore],
) -> None:
    store, _ = volumes
    empty = store.unlabelled()
    assert len(empty) == 2 + 2 + 6 + 2 + 2 * 2
    assert {row.dataset for row in empty.rows} == {"one", "two"}
    one = store.unlabelled("one")
    assert [row.case_id for row in one.rows if row.case_id.startswith("b")] == ["b_z000", "b_z005"]
    assert [row.split for row in one.rows[:3]] == ["test", "test", "train"]
    for number, row in enumerate(one.rows):
        assert row.is_unlabelled
        assert not row.areas
        assert not one.plane(number, (1, 9)).any()
        source = read_image(store.path.parent / "one" / "volumes" / f"{row.case_id[0]}_img.nii.gz")
        low, high = choose_rule(source).bounds(source)
        expected = to_eight_bit_range(source.voxels[row.plane], (low, high))
        np.testing.assert_allclose(one.image(number), expected, atol=0.51)
    assert len(store.only(("two",)).unlabelled()) == 4
    with pytest.raises(LabelError, match="no dataset 'three'"):
        store.unlabelled("three")


def _same_but_for_offsets(rows: Sequence[SliceRow]) -> list[SliceRow]:
    return [replace(row, offset=0) for row in rows]


def test_everything_else_chooses_as_if_they_were_not_there(
    volumes: tuple[SliceStore, SliceStore],
) -> None:
    store, plain = volumes
    assert not len(plain.unlabelled())
    assert _same_but_for_offsets(store.rows) == _same_but_for_offsets(plain.rows)
    diets = choose_diet(store), choose_diet(plain)
    assert diets[0].concepts.to_json() == diets[1].concepts.to_json()
    pools = [build_pools(diet.store, diet.concepts, diet.partial, "train") for diet in diets]
    for mine, other in zip(*(p.by_concept for p in pools), strict=True):
        for one, two in zip(mine, other, strict=True):
            assert one.absent.size or one.label_ids == (1,)
            for name in ("rows", "absent", "patients", "contents", "views", "positions"):
                np.testing.assert_array_equal(getattr(one, name), getattr(two, name))
    np.testing.assert_array_equal(pools[0].rows, pools[1].rows)
    samplers = [
        EpisodeSampler(d.store, d.concepts, config=EpisodeConfig(size=32, absent=0.5))
        for d in diets
    ]
    for step in range(4):
        drawn = [s.draw(3, step, False, allows_absent=step % 2 == 0) for s in samplers]
        for mine, other in zip(*(vars(episode).values() for episode in drawn), strict=True):
            assert (mine is None) == (other is None)
            if mine is not None:
                np.testing.assert_array_equal(mine, other)
    concepts = diets[0].concepts
    for dataset in store.infos:
        plan = Plan(split="test", limit=None)
        assert choose_slices(store, dataset, plan) == choose_slices(plain, dataset, plan)
        assert facts_of(store, dataset, "train", ()) == facts_of(plain, dataset, "train", ())
        assert train_rows(store, dataset) == train_rows(plain, dataset)
        for target in targets_of(store, dataset, concepts):
            chosen = [
                [FixedReferences(one).choose(number, target) for number in range(len(one))]
                for one in (store, plain)
            ]
            assert chosen[0] == chosen[1]


def test_evaluation_asks_for_slices_without_labels_as_it_does_for_others(
    volumes: tuple[SliceStore, SliceStore],
) -> None:
    store, _ = volumes
    empty = store.unlabelled("one")
    targets = targets_of(empty, "one", choose_diet(store).concepts)
    assert {target.concept for target in targets} == {"big comma", "small comma"}
    assert all(target.is_exhaustive for target in targets)
    reader = StoreReader(empty)
    numbers = choose_slices(empty, "one", Plan(split="test", limit=None))
    assert [empty.rows[number].case_id for number in numbers] == ["a_z000", "a_z005"]
    for number in numbers:
        for target in targets:
            assert not target.is_shown(empty.rows[number])
            assert not reader.truth(number, target).any()
            assert reader.image(number).shape == (40, 28)


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
