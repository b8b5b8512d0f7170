"""A CT series in the browser: a folder is a volume, its slices in order, shown through windows."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from medprism.apps.workbench.pictures import CT_PRESETS
from medprism.core.labels import decode_runs
from medprism.core.preprocess import RULES
from tests.browser.conftest import Server
from tests.browser.desk import Desk, Pixel
from tests.inference.phantom import LEVELS, SHAPE, volume
from tests.io.phantoms import write_series

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytestmark = pytest.mark.browser

SLICES, MIDDLE = 5, 2
MASKS = volume(SLICES)[1]
NOTHING = 40
# Inside the structures of the middle slice, and beside them.
LIVER, KIDNEY, BESIDE = (30, 36), (68, 76), (75, 20)
# The polyp, on the first slice alone of those that are looked at.
POLYP = (18, 92)
# The liver's right border in row 30 on the first slice; it wanders by 3 pixels a slice.
ROW, BORDER, STEP = 30, 54, 3


def _hounsfield(brightness: float) -> int:
    """Return what the window of CT shows with this brightness."""
    window = RULES["ct-organ"]
    return round(window.low + brightness / 255 * (window.high - window.low))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """One series, whose names of files say nothing about the order."""
    scan = np.full((SLICES, *SHAPE), _hounsfield(NOTHING))
    for name, brightness in LEVELS.items():
        scan[MASKS[name]] = _hounsfield(brightness)
    made = tmp_path / "scans"
    made.mkdir()
    write_series(made / "chest", (scan + 1024).astype(np.uint16), spacing=(0.9, 0.9))
    return made


@pytest.fixture
def desk(page: Page) -> Desk:
    desk = Desk(page, SHAPE)
    desk.open("chest")
    return desk


def _shows(desk: Desk, at: Pixel, brightness: float) -> bool:
    return desk.is_grey(at) and desk.colour(at)[0] == pytest.approx(brightness, abs=4)


def _go(desk: Desk, index: int) -> None:
    desk.page.get_by_role("slider", name="Slice").fill(str(index))
    desk.page.locator(".slice-number").filter(has_text=f"{index + 1} / {SLICES}").wait_for()


def test_a_series_is_one_volume_that_is_annotated_and_found_again(
    desk: Desk, server: Server
) -> None:
    page = desk.page
    names = [one["name"] for one in server.ask("/api/images")["images"]]
    assert names == ["chest"]
    for index in range(SLICES):
        _go(desk, index)
        border = BORDER + STEP * index
        inside, outside = (ROW, border - 3), (ROW, border + 3)
        desk.until(lambda at=inside: _shows(desk, at, LEVELS["liver"]), f"slice {index}")  # type: ignore[misc]
        assert _shows(desk, outside, NOTHING), index
    _go(desk, 0)
    desk.until(lambda: _shows(desk, POLYP, LEVELS["polyp"]), "the polyp on the first slice")

    _go(desk, MIDDLE)
    desk.until(lambda: _shows(desk, POLYP, NOTHING), "the middle slice")
    desk.label("spot")
    desk.click(LIVER)
    desk.covered(LIVER)
    desk.bare(KIDNEY, BESIDE)
    desk.key("a", "**/accept")
    desk.note("Accepted and saved")

    (accepted,) = server.ask(f"/api/images/1/accepted?slice={MIDDLE}")["accepted"]
    mask = decode_runs(accepted["mask"]["runs"], SHAPE)
    liver = MASKS["liver"][MIDDLE]
    assert 2 * (mask & liver).sum() / (mask.sum() + liver.sum()) > 0.8
    assert accepted["pixels"] == mask.sum()

    server.stop()
    server.start()
    page.reload()
    desk.ready()
    page.locator(".slice-number").filter(has_text=f"{MIDDLE + 1} / {SLICES}").wait_for()
    desk.covered(LIVER)
    desk.bare(KIDNEY, BESIDE)


def test_windows_of_ct_change_what_is_shown_and_need_no_mouse(desk: Desk) -> None:
    page = desk.page
    places = {LIVER: LEVELS["liver"], KIDNEY: LEVELS["left kidney"], BESIDE: NOTHING}
    for at, brightness in places.items():
        assert _shows(desk, at, brightness)
    page.evaluate("document.activeElement.blur()")
    window = page.get_by_role("combobox", name="Window", exact=True)
    for _ in range(80):
        page.keyboard.press("Tab")
        if window.evaluate("(one) => one === document.activeElement"):
            break
    presets = {name: (low, high) for name, low, high in CT_PRESETS}
    for name in ("soft tissue", "lung", "bone"):
        page.keyboard.press("ArrowDown")
        low, high = presets[name]
        for at, brightness in places.items():
            share = (_hounsfield(brightness) - low) / (high - low)
            expected = 255 * min(max(share, 0.0), 1.0)
            desk.until(
                lambda at=at, expected=expected: _shows(desk, at, expected),  # type: ignore[misc]
                f"{name} at {at}",
            )
        assert window.evaluate("(one) => one.selectedOptions[0].text") == name
    # What was chosen is not lost with the slice.
    _go(desk, 0)
    low, high = presets["bone"]
    share = (_hounsfield(LEVELS["polyp"]) - low) / (high - low)
    desk.until(lambda: _shows(desk, POLYP, 255 * share), "the polyp in the window of bone")
