from __future__ import annotations

import itertools
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import cv2
import numpy as np
import pytest

from medprism.core.errors import CancelledError, LabelError
from medprism.core.image import Image
from medprism.core.progress import SilentProgress
from medprism.inference.session import Session
from medprism.io.reader import read_image, read_mask
from medprism.metrics.dice import dice
from tests.inference.fake_segmenter import CountingSegmenter, fake_model
from tests.inference.phantom import LEVELS, SHAPE, scene

PIXELS, MASKS = scene()
OTHER, OTHER_MASKS = scene(3, shift=9)


def _session(*, auto_zoom: bool = True) -> tuple[CountingSegmenter, Session]:
    segmenter = CountingSegmenter()
    session = Session(fake_model(segmenter), auto_zoom=auto_zoom)
    session.set_image(PIXELS)
    return segmenter, session


def test_by_class_by_example_and_by_click_each_structure_is_found() -> None:
    _, session = _session()
    found = session.predict(classes=list(LEVELS))
    assert list(found) == list(LEVELS)
    for name, prediction in found.items():
        assert dice(prediction.mask, MASKS[name]) > 0.8
        assert prediction.presence > 0.7
        assert session.presence(name) == prediction.presence
        session.set_references(OTHER, OTHER_MASKS[name], label=f"like {name}")
    examples = session.predict(labels=[f"like {name}" for name in LEVELS])
    for name in LEVELS:
        assert dice(examples[f"like {name}"].mask, MASKS[name]) > 0.8
    clicked = session.add_point_interaction((30, 30), include_interaction=True)
    assert dice(clicked, MASKS["liver"]) > 0.8
    assert session.labels == (*LEVELS, *(f"like {name}" for name in LEVELS), "structure")


def test_the_wrong_class_and_the_wrong_reference_find_something_else() -> None:
    _, session = _session()
    session.predict(classes=["liver"])
    assert dice(session.mask("liver"), MASKS["left kidney"]) < 0.1
    session.set_references(OTHER, OTHER_MASKS["left kidney"], label="organ")
    session.predict(labels="organ")
    assert dice(session.mask("organ"), MASKS["liver"]) < 0.1


def test_masks_and_probabilities_lie_on_the_image_and_agree() -> None:
    _, session = _session()
    session.predict(classes=list(LEVELS))
    for name in LEVELS:
        mask, probability = session.mask(name), session.probability(name)
        assert (mask.dtype, probability.dtype) == (np.bool_, np.float32)
        assert mask.shape == probability.shape == SHAPE
        assert 0 <= probability.min() <= probability.max() <= 1
        np.testing.assert_array_equal(mask, probability >= 0.5)
        np.testing.assert_array_equal(session.mask(name, slice_index=0), mask)


def test_a_click_raises_or_lowers_the_probability_under_it() -> None:
    _, session = _session()
    session.predict(classes=["liver"])
    before = session.probability("liver")
    session.add_point_interaction((70, 40), True, "liver")
    assert session.probability("liver")[70, 40] > before[70, 40]
    session.add_point_interaction((30, 30), False, "liver")
    assert before[30, 30] > 0.9
    assert session.probability("liver")[30, 30] < 0.5


def test_a_second_click_encodes_nothing_again() -> None:
    segmenter, session = _session(auto_zoom=False)
    session.set_references([OTHER, PIXELS], [OTHER_MASKS["liver"], MASKS["polyp"]], "lesion")
    session.predict(labels=["lesion"])
    assert (segmenter.calls.encode, segmenter.calls.encode_references) == (1, 2)
    for at in ((30, 30), (31, 40), (60, 70)):
        session.add_point_interaction(at, True, "lesion")
        session.add_point_interaction(at, False, "other")
    session.predict(classes=list(LEVELS))
    assert (segmenter.calls.encode, segmenter.calls.encode_references) == (1, 2)


def test_with_auto_zoom_a_click_in_the_same_place_encodes_nothing_again() -> None:
    segmenter, session = _session()
    session.set_references(OTHER, OTHER_MASKS["polyp"], "small")
    session.predict(labels=["small"])
    first = (segmenter.calls.encode, segmenter.calls.encode_references)
    assert first == (2, 2)
    session.add_point_interaction((18, 92), True, "small")
    session.add_point_interaction((19, 90), True, "small")
    assert (segmenter.calls.encode, segmenter.calls.encode_references) == first


def test_several_classes_are_one_batch() -> None:
    segmenter, session = _session(auto_zoom=False)
    session.predict(classes=list(LEVELS))
    assert segmenter.calls.decode == [3]


def test_asking_again_costs_nothing() -> None:
    segmenter, session = _session()
    first = session.predict(classes=list(LEVELS))
    calls = list(segmenter.calls.decode)
    again = session.predict(classes=["polyp", "hepar"])
    assert segmenter.calls.decode == calls
    np.testing.assert_array_equal(again["hepar"].mask, first["liver"].mask)


def test_clicks_keep_the_knowledge_and_see_the_last_probability() -> None:
    segmenter, session = _session(auto_zoom=False)
    session.predict(classes=["liver"])
    session.add_point_interaction((30, 30), True, "liver")
    prompts = segmenter.calls.prompts[-1]
    assert prompts.concept is not None
    assert prompts.clicks is not None
    assert prompts.dense is not None
    assert float(prompts.dense[0, 2].max()) > 0.9
    session.set_references(OTHER, OTHER_MASKS["liver"], "liver")
    session.add_point_interaction((31, 31), True, "liver")
    prompts = segmenter.calls.prompts[-1]
    assert (prompts.concept is None, prompts.references is None) == (True, False)


def test_the_order_of_references_clicks_and_classes_changes_nothing() -> None:
    images = [scene(seed, shift=seed)[0] for seed in (4, 5, 6)]
    masks = [scene(seed, shift=seed)[1]["polyp"] for seed in (4, 5, 6)]
    clicks = [((18, 92), True), ((60, 80), False), ((20, 95), True)]
    answers = []
    for order in itertools.permutations(range(3)):
        _, session = _session()
        session.set_references([images[i] for i in order], [masks[i] for i in order], "small")
        for i in order:
            at, sign = clicks[i]
            session.add_point_interaction(at, sign, "small", run_prediction=False)
        session.predict(labels=["small"])
        session.predict(classes=[list(LEVELS)[i] for i in order])
        answers.append([session.probability(name) for name in ("small", *LEVELS)])
    for answer in answers[1:]:
        for one, other in zip(answer, answers[0], strict=True):
            np.testing.assert_allclose(one, other, atol=1e-5)


def test_boxes_scribbles_and_lassos_are_taken_too() -> None:
    _, session = _session()
    stroke = np.zeros(SHAPE, bool)
    stroke[30, 18:42] = True
    by_stroke = session.add_scribble_interaction(stroke, True, "stroke")
    assert dice(by_stroke, MASKS["liver"]) > 0.8
    by_box = session.add_bbox_interaction([[10, 27], [82, 103]], True, "box")
    assert dice(by_box, MASKS["polyp"]) > 0.6
    by_lasso = session.add_lasso_interaction(MASKS["left kidney"].astype(np.uint8), True, "lasso")
    assert dice(by_lasso, MASKS["left kidney"]) > 0.6
    kinds = [type(session.interactions(name).items[0]).__name__ for name in ("stroke", "box")]
    assert kinds == ["Scribble", "Box"]


def test_an_initial_segmentation_is_the_mask_that_clicks_refine() -> None:
    _, session = _session()
    rough = np.zeros(SHAPE, bool)
    rough[15:45, 10:50] = True
    np.testing.assert_array_equal(session.add_initial_seg_interaction(rough, "lesion"), rough)
    assert session.presence("lesion") == 1.0
    refined = session.add_point_interaction((30, 30), True, "lesion")
    assert dice(refined, MASKS["liver"]) > dice(rough, MASKS["liver"])
    session.add_initial_seg_interaction(np.zeros(SHAPE), "lesion")
    assert not session.mask("lesion").any()


def test_clicks_can_wait_for_the_prediction() -> None:
    segmenter, session = _session()
    mask = session.add_point_interaction((30, 30), True, "lesion", run_prediction=False)
    assert not mask.any()
    assert segmenter.calls.decode == []
    assert session.presence("lesion") == 0.0
    session.predict()
    assert dice(session.mask("lesion"), MASKS["liver"]) > 0.8


def test_undo_and_redo_have_no_limit() -> None:
    _, session = _session()
    assert not session.undo()
    seen = []
    for column in range(20, 40):
        session.add_point_interaction((30, column), True, "lesion")
        seen.append(session.mask("lesion"))
    for expected in reversed(seen[:-1]):
        assert session.undo()
        np.testing.assert_array_equal(session.mask("lesion"), expected)
    assert session.undo()
    assert session.labels == ()
    assert not session.undo()
    for expected in seen:
        assert session.redo()
        np.testing.assert_array_equal(session.mask("lesion"), expected)
    assert not session.redo()


def test_an_undone_click_stays_in_the_log_and_a_new_one_starts_a_branch() -> None:
    _, session = _session()
    for column in (20, 30):
        session.add_point_interaction((30, column), True, "lesion")
    session.undo()
    session.add_point_interaction((60, 75), False, "lesion")
    assert not session.redo()
    assert [(event.seq, event.parent) for event in session.log.events] == [
        (0, None),
        (1, 0),
        (2, 0),
    ]
    assert [event.seq for event in session.log.path()] == [0, 2]


def test_an_accepted_mask_segments_the_next_image() -> None:
    _, session = _session()
    session.add_point_interaction((30, 30), True, "lesion")
    accepted = session.mask("lesion")
    digest = session.commit("lesion")
    assert session.locked == ("lesion",)
    (reference,) = session.references.of("lesion")
    assert reference.digest == digest
    np.testing.assert_array_equal(reference.planes[0].unpack(), accepted)
    session.set_image(OTHER)
    assert (session.labels, session.locked) == ((), ())
    session.predict(labels=["lesion"])
    assert dice(session.mask("lesion"), OTHER_MASKS["liver"]) > 0.8


def test_commit_can_be_undone_with_its_reference() -> None:
    _, session = _session()
    session.add_point_interaction((30, 30), True, "lesion")
    session.commit("lesion")
    session.undo()
    assert (session.locked, len(session.references)) == ((), 0)
    session.redo()
    assert (session.locked, len(session.references)) == (("lesion",), 1)


def test_locked_labels_keep_their_pixels() -> None:
    _, session = _session()
    session.add_initial_seg_interaction(MASKS["liver"], "first")
    session.lock("first")
    whole = np.ones(SHAPE, bool)
    second = session.add_initial_seg_interaction(whole, "second")
    np.testing.assert_array_equal(second, ~MASKS["liver"])
    np.testing.assert_array_equal(session.probability("second") >= 0.5, second)
    session.unlock("first")
    np.testing.assert_array_equal(session.mask("second"), whole)
    session.lock("second")
    np.testing.assert_array_equal(session.mask("first"), np.zeros(SHAPE, bool))


def test_references_stay_when_the_image_changes_and_may_come_first() -> None:
    session = Session(fake_model())
    session.set_references([OTHER], [OTHER_MASKS["liver"]], label="organ")
    session.add_reference(OTHER, OTHER_MASKS["liver"], label="organ")
    assert len(session.references) == 1
    for image, masks in ((PIXELS, MASKS), (OTHER, OTHER_MASKS)):
        session.set_image(image)
        session.predict()
        assert dice(session.mask("organ"), masks["liver"]) > 0.8
    session.remove_reference("organ", session.references.of("organ")[0].digest)
    assert len(session.references) == 0
    session.undo()
    assert len(session.references) == 1


def test_reset_forgets_interactions_and_keeps_references() -> None:
    _, session = _session()
    session.set_references(OTHER, OTHER_MASKS["liver"], "organ")
    session.predict()
    session.reset_interactions()
    assert session.labels == ()
    assert len(session.references) == 1
    session.undo()
    assert session.mask("organ").any()


def test_set_references_replaces_and_add_reference_adds() -> None:
    _, session = _session()
    session.set_references(OTHER, OTHER_MASKS["liver"], "organ")
    session.add_reference(PIXELS, MASKS["liver"], "organ")
    assert len(session.references.of("organ")) == 2
    session.set_references(PIXELS, MASKS["polyp"], "organ")
    (only,) = session.references.of("organ")
    np.testing.assert_array_equal(only.planes[0].unpack(), MASKS["polyp"])


def test_auto_zoom_can_be_turned_off() -> None:
    _, near = _session()
    _, far = _session(auto_zoom=False)
    score = [
        dice(session.add_point_interaction((18, 92), True), MASKS["polyp"])
        for session in (near, far)
    ]
    assert score[0] > score[1] + 0.1


def test_a_session_goes_on_after_saving_and_loading_bit_for_bit(tmp_path: Path) -> None:
    _, session = _session()
    session.set_references(OTHER, OTHER_MASKS["left kidney"], "organ")
    session.predict(classes=["liver", "polyp"])
    session.predict(labels=["organ"])
    session.add_point_interaction((30, 30), True, "liver")
    session.commit("polyp")
    session.save(tmp_path / "work.json")
    loaded = Session.load(tmp_path / "work.json", fake_model())
    assert loaded.notice is None
    for each in (session, loaded):
        each.add_point_interaction((18, 30), True, "liver")
        each.add_point_interaction((60, 80), False, "organ")
    for name in session.labels:
        np.testing.assert_array_equal(session.mask(name), loaded.mask(name))
        np.testing.assert_array_equal(session.probability(name), loaded.probability(name))
        assert session.presence(name) == loaded.presence(name)
    assert (loaded.labels, loaded.locked) == (session.labels, session.locked)
    while session.undo():
        assert loaded.undo()
        for name in session.labels:
            np.testing.assert_array_equal(session.mask(name), loaded.mask(name))
    assert not loaded.undo()


def test_reading_a_loaded_session_asks_the_model_nothing(tmp_path: Path) -> None:
    _, session = _session()
    session.predict(classes=["liver"])
    session.save(tmp_path / "work.json")
    segmenter = CountingSegmenter()
    loaded = Session.load(tmp_path / "work.json", fake_model(segmenter))
    np.testing.assert_array_equal(loaded.mask("liver"), session.mask("liver"))
    assert loaded.presence("liver") == session.presence("liver")
    loaded.save(tmp_path / "again.json")
    assert (segmenter.calls.encode, segmenter.calls.decode) == (0, [])
    assert (tmp_path / "again.json").read_text() == (tmp_path / "work.json").read_text()


def test_a_work_file_names_the_model_it_needs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, session = _session()
    session.predict(classes=["liver"])
    session.save(tmp_path / "work.json")
    asked: list[object] = []

    def load(name: str) -> object:
        asked.append(name)
        return fake_model()

    monkeypatch.setattr("medprism.inference.session.load", load)
    loaded = Session.load(tmp_path / "work.json")
    assert asked == ["fake"]
    np.testing.assert_array_equal(loaded.mask("liver"), session.mask("liver"))


def test_replay_rebuilds_the_masks_bit_for_bit() -> None:
    segmenter, session = _session()
    session.predict(classes=["liver", "polyp"])
    session.add_point_interaction((30, 30), True, "liver")
    session.commit("liver")
    before = (segmenter.calls.encode, len(segmenter.calls.decode))
    report = session.replay()
    assert (report.is_identical, report.notice) == (True, None)
    assert report.dice == {"liver": 1.0, "polyp": 1.0}
    # It was computed again, images included, not looked up.
    assert segmenter.calls.encode == 2 * before[0]
    assert len(segmenter.calls.decode) == 2 * before[1]


class _Darker(CountingSegmenter):
    """Other weights: what they find is a little larger."""

    def decode(self, features: object, prompts: object) -> object:
        decoded = super().decode(features, prompts)  # type: ignore[arg-type]
        return type(decoded)(decoded.logits + 3.0, ())


def test_with_other_weights_the_masks_stay_and_a_notice_says_so(tmp_path: Path) -> None:
    _, session = _session()
    session.predict(classes=["liver"])
    session.add_point_interaction((60, 80), True, "lesion")
    session.save(tmp_path / "work.json")
    other = fake_model(_Darker(), weights="other")
    loaded = Session.load(tmp_path / "work.json", other)
    assert loaded.notice is not None
    assert "another model" in loaded.notice
    loaded.add_point_interaction((18, 92), True, "new")
    for name in ("liver", "lesion"):
        np.testing.assert_array_equal(loaded.mask(name), session.mask(name))
    report = loaded.replay()
    assert not report.is_identical
    assert report.notice is not None
    assert "differ; the stored masks are kept" in report.notice
    np.testing.assert_array_equal(loaded.mask("liver"), session.mask("liver"))


def test_masks_are_written_on_the_images_own_grid(tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "image.png"), PIXELS)
    session = Session(fake_model())
    session.set_image(tmp_path / "image.png")
    session.predict(classes=list(LEVELS))
    session.add_initial_seg_interaction(MASKS["liver"], "hull")
    merged = session.write_mask(tmp_path / "mask.png", priority=["polyp"])
    assert dict(merged.names) == {1: "liver", 2: "left kidney", 3: "polyp", 4: "hull"}
    assert merged.dropped["liver"] > 0
    read = read_mask(tmp_path / "mask.png")
    np.testing.assert_array_equal(read.array, merged.array)
    assert read.array.shape == SHAPE
    session.write_mask(tmp_path / "one.png", labels="liver")
    one = read_image(tmp_path / "one.png")
    np.testing.assert_array_equal(one.voxels[0, ..., 0] > 0, session.mask("liver"))


def test_events_say_who_when_and_with_what() -> None:
    session = Session(fake_model(), author="reader 2")
    session.set_image(PIXELS)
    session.set_references(OTHER, OTHER_MASKS["liver"], "organ")
    session.predict(labels=["organ"])
    first, second = session.log.events
    (digest,) = (one.digest for one in session.references.of("organ"))
    assert first.references == second.references == (digest,)
    assert second.image == Image.from_array(PIXELS).digest
    assert (second.author, second.origin.weights) == ("reader 2", "fake-1")
    assert first.time <= second.time
    assert second.time.endswith("+00:00")


def test_colour_pictures_are_pictures_too() -> None:
    _, grey = _session()
    _, colour = _session()
    colour.set_image(np.repeat(PIXELS[..., None], 3, axis=2))
    for session in (grey, colour):
        session.predict(classes=["polyp"])
    np.testing.assert_array_equal(grey.mask("polyp"), colour.mask("polyp"))


@pytest.mark.parametrize("shape", [(1, 2), (1, 40), (40, 1), (3, 700)])
@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.float32])
def test_odd_sizes_and_types_are_images(shape: tuple[int, int], dtype: type) -> None:
    pixels = (np.arange(shape[0] * shape[1]).reshape(shape) % 200).astype(dtype)
    session = Session(fake_model())
    session.set_image(pixels)
    session.set_references(pixels, pixels >= pixels.max(), "bright")
    session.predict(classes=["liver"])
    session.predict(labels=["bright"])
    at = (shape[0] - 1, shape[1] - 1)
    mask = session.add_point_interaction(at, True, "bright")
    assert mask.shape == shape
    assert mask[at]
    assert session.replay().is_identical


def test_threads_take_turns() -> None:
    _, session = _session()

    def click(label: str) -> None:
        for column in range(20, 30):
            # An undo in between may take back the click that made the label.
            with suppress(LabelError):
                session.add_point_interaction((30, column), True, label)
                session.mask(label)

    def change_ones_mind() -> None:
        for _ in range(15):
            session.undo()
            session.redo()

    with ThreadPoolExecutor(4) as pool:
        done = [pool.submit(click, f"label {index}") for index in range(3)]
        done.append(pool.submit(change_ones_mind))
    for one in done:
        one.result()
    assert len(session.log.path()) <= len(session.log.events) == 30
    assert session.replay().is_identical


def test_a_cancelled_prediction_changes_nothing() -> None:
    class Cancelled(SilentProgress):
        def is_cancelled(self) -> bool:
            return True

    _, session = _session()
    with pytest.raises(CancelledError):
        session.predict(classes=["liver"], progress=Cancelled())
    assert session.labels == ()
    assert len(session.log) == 0
