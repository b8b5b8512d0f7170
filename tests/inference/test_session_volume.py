from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from medprism.core.image import Image
from medprism.inference.session import Session
from medprism.io.reader import read_image, read_mask
from medprism.metrics.dice import dice
from tests.inference.fake_segmenter import CountingSegmenter, fake_model
from tests.inference.phantom import LEVELS, SHAPE, scene, volume

STACK, MASKS = volume()
# Slices of 3 mm towards superior, rows towards posterior, columns towards left; tilted a little.
AFFINE = np.array(
    [[0.1, 0, -1.0, 30], [0, -0.8, 0, -20], [3.0, 0, 0.1, 100], [0, 0, 0, 1.0]], dtype=np.float64
)


def _session() -> tuple[CountingSegmenter, Session]:
    segmenter = CountingSegmenter()
    session = Session(fake_model(segmenter))
    session.set_image(STACK)
    return segmenter, session


def test_classes_run_over_all_slices() -> None:
    _, session = _session()
    found = session.predict(classes=list(LEVELS))
    for name, prediction in found.items():
        assert prediction.mask.shape == STACK.shape
        assert dice(prediction.mask, MASKS[name]) > 0.8
    assert not found["polyp"].mask[2:].any()
    assert found["polyp"].presence > 0.7


def test_a_structure_on_no_slice_has_a_low_presence() -> None:
    session = Session(fake_model())
    session.set_image(STACK[2:])
    assert session.predict(classes=["polyp"])["polyp"].presence < 0.3


def test_each_slice_is_encoded_once_for_all_classes() -> None:
    segmenter = CountingSegmenter()
    session = Session(fake_model(segmenter), auto_zoom=False, cache_bytes=0)
    session.set_image(STACK)
    session.predict(classes=list(LEVELS))
    assert segmenter.calls.encode == len(STACK)
    assert sum(segmenter.calls.decode) == 3 * len(STACK)


def test_a_click_acts_on_its_slice() -> None:
    segmenter, session = _session()
    session.predict(classes=["liver"])
    before = session.mask("liver")
    decoded = sum(segmenter.calls.decode)
    session.add_point_interaction((3, 70, 20), True, "liver")
    assert sum(segmenter.calls.decode) - decoded <= 2
    after, probability = session.mask("liver"), session.probability("liver")
    for index in (0, 1, 2, 4):
        np.testing.assert_array_equal(after[index], before[index])
    np.testing.assert_array_equal(after, probability >= 0.5)
    assert len(session.interactions("liver", 3).items) == 1
    assert len(session.interactions("liver", 2).items) == 0


def test_clicks_on_a_new_label_leave_the_other_slices_empty() -> None:
    _, session = _session()
    mask = session.add_point_interaction((1, 30, 34), True, "lesion")
    assert dice(mask[1], MASKS["liver"][1]) > 0.8
    assert not mask[[0, 2, 3, 4]].any()
    np.testing.assert_array_equal(session.mask("lesion", slice_index=1), mask[1])
    assert session.probability("lesion", slice_index=4).max() == 0


def test_a_scribble_through_slices_acts_on_each() -> None:
    _, session = _session()
    drawn = np.zeros(STACK.shape, bool)
    drawn[1, 30, 25:40] = True
    drawn[2, 30, 25:40] = True
    mask = session.add_scribble_interaction(drawn, True, "lesion")
    assert [bool(plane.any()) for plane in mask] == [False, True, True, False, False]
    one = session.add_lasso_interaction(MASKS["liver"][4], True, "one", slice_index=4)
    assert [bool(plane.any()) for plane in one] == [False] * 4 + [True]
    session.undo()
    session.undo()
    assert session.labels == ()


def test_a_box_takes_its_slice_in_front() -> None:
    _, session = _session()
    mask = session.add_bbox_interaction([[0, 1], [10, 27], [82, 103]], True, "box")
    assert dice(mask[0], MASKS["polyp"][0]) > 0.6
    assert not mask[1:].any()


def test_an_initial_segmentation_covers_the_volume_or_one_slice() -> None:
    _, session = _session()
    session.add_initial_seg_interaction(MASKS["liver"], "organ")
    np.testing.assert_array_equal(session.mask("organ"), MASKS["liver"])
    session.add_initial_seg_interaction(MASKS["polyp"][0], "organ", slice_index=0)
    np.testing.assert_array_equal(session.mask("organ")[0], MASKS["polyp"][0])
    np.testing.assert_array_equal(session.mask("organ")[1:], MASKS["liver"][1:])
    session.add_initial_seg_interaction(MASKS["polyp"], "organ")
    np.testing.assert_array_equal(session.mask("organ"), MASKS["polyp"])


def test_a_reference_volume_serves_by_its_slices_and_is_encoded_once() -> None:
    segmenter, session = _session()
    other, other_masks = volume(3)
    session.set_references([other], [other_masks["liver"]], "organ")
    session.predict(labels=["organ"])
    assert dice(session.mask("organ"), MASKS["liver"]) > 0.8
    encoded = segmenter.calls.encode_references
    assert encoded == 3
    session.add_point_interaction((2, 30, 36), True, "organ")
    assert segmenter.calls.encode_references == encoded


def test_one_finished_slice_segments_the_others() -> None:
    _, session = _session()
    session.add_point_interaction((1, 30, 34), True, "organ")
    session.commit("organ")
    session.unlock("organ")
    session.predict(labels=["organ"])
    for index in (0, 2, 3, 4):
        assert dice(session.mask("organ")[index], MASKS["liver"][index]) > 0.8


def test_a_picture_may_serve_a_volume() -> None:
    _, session = _session()
    image, masks = scene(9)
    session.set_references(image, masks["left kidney"], "organ")
    assert dice(session.predict()["organ"].mask, MASKS["left kidney"]) > 0.8


def test_positions_in_mm_are_the_voxels_under_them(tmp_path: Path) -> None:
    image = Image.from_array(STACK, affine=AFFINE)
    by_voxel, by_world = Session(fake_model()), Session(fake_model())
    for session in (by_voxel, by_world):
        session.set_image(image)
    voxel = by_voxel.add_point_interaction((3, 30, 40), True)
    position = image.geometry.voxel_to_world((3.0, 30.0, 40.0))
    world = by_world.add_point_interaction(position, True, world=True)
    np.testing.assert_array_equal(voxel, world)
    assert voxel[3].any()


def test_a_volume_is_written_and_read_back_on_its_grid(tmp_path: Path) -> None:
    session = Session(fake_model())
    session.set_image(Image.from_array(STACK, affine=AFFINE))
    session.predict(classes=["liver", "polyp"])
    session.write_mask(tmp_path / "mask.nii.gz")
    read = read_mask(tmp_path / "mask.nii.gz")
    assert read.geometry.matches(Image.from_array(STACK, affine=AFFINE).geometry)
    np.testing.assert_array_equal(read.array == 1, session.mask("liver") & ~session.mask("polyp"))
    again = read_image(tmp_path / "mask.nii.gz")
    assert again.shape == STACK.shape


def test_a_volume_session_is_saved_loaded_and_replayed(tmp_path: Path) -> None:
    _, session = _session()
    session.predict(classes=["liver", "polyp"])
    session.add_point_interaction((2, 60, 80), True, "lesion")
    session.add_point_interaction((2, 30, 36), False, "liver")
    session.commit("polyp")
    assert session.replay().is_identical
    session.save(tmp_path / "work.json")
    loaded = Session.load(tmp_path / "work.json", fake_model())
    for each in (session, loaded):
        each.add_point_interaction((4, 30, 40), False, "liver")
    for name in session.labels:
        np.testing.assert_array_equal(loaded.mask(name), session.mask(name))
        np.testing.assert_array_equal(loaded.probability(name), session.probability(name))
    assert loaded.replay().is_identical


def test_memory_of_a_long_history_stays_within_its_budget(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("medprism.inference.map_store.MapStore.__init__.__defaults__", (10**5,))
    session = Session(fake_model(), auto_zoom=False)
    session.set_image(STACK)
    session.predict(classes=list(LEVELS))
    first = session.probability("liver")
    for column in range(30, 60, 3):
        session.add_point_interaction((2, 30, column), True, "liver")
    while len(session.log.path()) > 1:
        session.undo()
    np.testing.assert_array_equal(session.probability("liver"), first)
    assert first.shape == (5, *SHAPE)
