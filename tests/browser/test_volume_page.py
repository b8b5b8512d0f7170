"""Volumes in the browser: slices, a class as a job with progress, propagation with confidence."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

from medprism.engines.loaded import LoadedModel
from tests.browser.conftest import Server
from tests.browser.desk import Desk
from tests.inference.fake_segmenter import fake_model
from tests.inference.patient_segmenter import PatientSegmenter
from tests.inference.phantom import SHAPE

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytestmark = pytest.mark.browser

SLICES = 5
# In the liver on every slice: it wanders to the right.
LIVER, NOTHING = (30, 36), (75, 20)


@pytest.fixture
def patient() -> Iterator[PatientSegmenter]:
    made = PatientSegmenter()
    yield made
    made.go_on()


@pytest.fixture
def model(patient: PatientSegmenter) -> LoadedModel:
    # At this size the model takes one slice after the other, so that there is progress to see.
    return fake_model(patient, long_side=1024)


@pytest.fixture
def desk(page: Page) -> Desk:
    desk = Desk(page, SHAPE)
    desk.open("stack.nii.gz")
    return desk


def _slice(desk: Desk) -> int:
    return int(desk.page.get_by_role("slider", name="Slice").input_value())


def _go(desk: Desk, index: int) -> None:
    desk.page.get_by_role("slider", name="Slice").fill(str(index))
    with_mask = desk.page.locator(".slice-number").filter(has_text=f"{index + 1} / {SLICES}")
    with_mask.wait_for()
    desk.settled()


def test_a_class_on_a_volume_shows_its_progress_and_can_be_stopped(
    desk: Desk, patient: PatientSegmenter, server: Server
) -> None:
    page = desk.page
    patient.hold(after=3)
    desk.label("liver")
    assert patient.is_waiting.wait(15)
    bar = page.get_by_role("progressbar", name="Segment all slices")
    page.locator(".job-here").filter(has_text=re.compile(r"[1-4] of 5 slices")).wait_for()
    assert 0 < int(bar.get_attribute("aria-valuenow") or "") < 100
    # Meanwhile the volume can be looked at.
    page.locator("#canvas").hover()
    before = _slice(desk)
    page.mouse.wheel(0, 120)
    page.locator(".slice-number").filter(has_text=f"{before + 2} / {SLICES}").wait_for()

    # Let go before the server knows of it, the model would be done first.
    with page.expect_response("**/cancel"):
        page.get_by_role("button", name="Stop").click()
    patient.go_on()
    bar.wait_for(state="detached")
    assert server.ask("/api/jobs")["jobs"][0]["state"] == "cancelled"
    desk.settled()
    desk.bare(LIVER)

    page.get_by_role("button", name="Class", exact=True).click()
    page.locator(".spoken").filter(has_text="All slices are segmented").wait_for(state="attached")
    for index in range(SLICES):
        _go(desk, index)
        desk.covered(LIVER)
        desk.bare(NOTHING)
    desk.key("Control+z", "**/undo")
    desk.bare(LIVER)


def test_a_click_meanwhile_wins_and_that_is_said(desk: Desk, patient: PatientSegmenter) -> None:
    desk.label("spot")
    desk.click(LIVER)
    patient.hold()
    desk.label("polyp")
    assert patient.is_waiting.wait(15)
    # Undo needs no model.
    desk.key("Control+z", "**/undo")
    patient.go_on()
    desk.note("The masks were changed while the volume was worked through")
    desk.bare(LIVER)


def test_after_a_reload_the_job_is_still_followed(desk: Desk, patient: PatientSegmenter) -> None:
    patient.hold(after=2)
    desk.label("liver")
    assert patient.is_waiting.wait(15)
    desk.page.reload()
    desk.page.get_by_role("progressbar", name="Segment all slices").wait_for()
    patient.go_on()
    desk.page.get_by_role("progressbar", name="Segment all slices").wait_for(state="detached")
    desk.page.locator(".label-note").filter(has_text="px").wait_for()
    desk.settled()
    desk.covered(LIVER)


def test_a_propagation_says_how_certain_each_slice_is_and_goes_to_the_least(
    desk: Desk, server: Server
) -> None:
    page = desk.page
    desk.label("spot")
    start = _slice(desk)
    desk.click(LIVER)
    assert page.get_by_role("button", name="Least certain slice").is_disabled()
    page.get_by_role("button", name="Propagate").click()
    desk.note("least certain slice")
    result = server.ask("/api/jobs")["jobs"][0]["result"]
    confidence, least = result["confidence"], result["least_certain"]
    assert len(confidence) == SLICES
    page.locator(".slice-number").filter(has_text=f"{least + 1} / {SLICES}").wait_for()
    desk.settled()
    bars = page.get_by_role("img", name="Confidence by slice")
    heights = bars.locator("rect").evaluate_all(
        "(all) => all.map((one) => Number(one.getAttribute('height')))"
    )
    assert heights == pytest.approx([one for one in confidence if one > 0])
    desk.covered(LIVER)
    # The next key goes to the least certain one that was not looked at.
    seen = {start, least}
    unseen = min((value, at) for at, value in enumerate(confidence) if at not in seen)[1]
    desk.key("u")
    page.locator(".slice-number").filter(has_text=f"{unseen + 1} / {SLICES}").wait_for()


def test_slices_turn_by_wheel_keys_and_slider_and_the_window_by_presets_and_drag(
    desk: Desk,
) -> None:
    page = desk.page
    start = _slice(desk)
    seen = {start: desk.drawn}
    shown = seen[start]
    for key, index in ((".", start + 1), ("PageUp", start), (",", start - 1), ("PageDown", start)):
        desk.key(key)
        page.locator(".slice-number").filter(has_text=f"{index + 1} / {SLICES}").wait_for()
        desk.until(lambda before=shown: desk.drawn != before, f"slice {index}")  # type: ignore[misc]
        shown = desk.drawn
        assert seen.setdefault(index, shown) == shown
    assert len(set(seen.values())) == 3

    page.locator("#canvas").hover()
    page.keyboard.down("Control")
    page.mouse.wheel(0, -200)
    page.keyboard.up("Control")
    desk.settled()
    assert _slice(desk) == start
    desk.until(lambda: desk.drawn != seen[start], "the image, larger")
    desk.key("0")
    desk.until(lambda: desk.drawn == seen[start], "the whole image")

    window = page.get_by_role("combobox", name="Window", exact=True)
    before = desk.colour(LIVER)
    desk.key("w")
    box = page.locator("#canvas").bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + 100, box["y"] + 100)
    page.mouse.down()
    page.mouse.move(box["x"] + 100, box["y"] + 220, steps=4)
    page.mouse.up()
    # Downwards is darker.
    desk.until(lambda: desk.colour(LIVER)[0] < before[0], "a darker image")
    assert window.evaluate("(one) => one.selectedOptions[0].text") == "By hand"
    window.select_option("Default")
    desk.until(lambda: desk.colour(LIVER) == before, "the image as it was")
