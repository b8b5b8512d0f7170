"""Labels, tools and what the canvas shows of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.browser.conftest import ENLARGED, Server
from tests.browser.desk import Desk
from tests.inference.phantom import SHAPE

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytestmark = pytest.mark.browser

PICTURE = (ENLARGED * SHAPE[0], ENLARGED * SHAPE[1])
LIVER, KIDNEY, NOTHING = (60, 60), (140, 140), (150, 40)


@pytest.fixture
def desk(page: Page) -> Desk:
    desk = Desk(page, PICTURE)
    desk.open("picture-0.png")
    return desk


def _reddest(colour: tuple[int, ...]) -> int:
    return max(range(3), key=lambda part: colour[part])


def _is_yellow(colour: tuple[int, ...]) -> bool:
    red, green, blue = colour
    return min(red, green) > 2 * blue


def test_labels_have_colours_locks_visibility_and_opacity(desk: Desk) -> None:
    page = desk.page
    desk.label("one")
    desk.click(LIVER)
    desk.label("two")
    desk.click(KIDNEY)
    both = desk.colour(LIVER), desk.colour(KIDNEY)
    assert both[0] != both[1]
    assert not desk.is_grey(LIVER) and not desk.is_grey(KIDNEY)

    page.get_by_label("Colour of two").fill("#0000ff")
    desk.settled()
    page.wait_for_timeout(200)
    assert _reddest(desk.colour(KIDNEY)) == 2

    page.get_by_role("button", name="Hide one").click()
    desk.settled()
    assert desk.is_grey(LIVER) and not desk.is_grey(KIDNEY)
    page.get_by_role("button", name="Show one").click()
    desk.key("v")
    assert desk.is_grey(LIVER) and desk.is_grey(KIDNEY)
    desk.key("v")
    assert (desk.colour(LIVER), desk.is_grey(KIDNEY)) == (both[0], False)

    page.get_by_role("slider", name="Opacity").fill("0")
    desk.settled()
    assert desk.is_grey(KIDNEY) and not desk.is_grey(LIVER)

    # A locked label takes no prompt, and the others stay out of it.
    page.evaluate("document.activeElement.blur()")
    desk.key("1")
    desk.key("o", "**/locks")
    page.locator("#canvas").click(position=desk.point(NOTHING))
    desk.note("one is locked")
    desk.key("2")
    desk.key("d")
    desk.drag((60, 40), (60, 80))
    page.get_by_role("button", name="Hide one").click()
    desk.settled()
    page.get_by_role("slider", name="Opacity").fill("1")
    desk.settled()
    assert desk.is_grey(LIVER)


def test_box_and_lasso_ask_and_the_other_button_takes_away(desk: Desk) -> None:
    desk.label("spot")
    desk.click(LIVER)
    assert not desk.is_grey(LIVER)
    desk.click(LIVER, button="right")
    assert desk.is_grey(LIVER)
    desk.key("r", "**/reset")
    nothing = desk.drawn
    desk.key("b")
    desk.drag((20, 10), (100, 110))
    boxed = desk.drawn
    assert boxed != nothing and desk.is_grey(KIDNEY)
    desk.key("l")
    desk.drag((110, 126), (110, 170), (154, 170), (154, 126))
    assert desk.drawn not in (nothing, boxed)
    desk.key("t")
    desk.key("p")
    desk.click(KIDNEY)
    assert desk.is_grey(KIDNEY)
    desk.page.get_by_role("button", name="Takes away from the mask").wait_for()


def test_undo_and_redo_have_no_limit_and_go_back_to_nothing(desk: Desk) -> None:
    desk.label("spot")
    states = [desk.drawn]
    desk.key("d")
    for step in range(12):
        desk.drag((150, 14 + 8 * step), (152, 18 + 8 * step))
        states.append(desk.drawn)
    assert len(set(states)) == 13
    for expected in reversed(states[:-1]):
        desk.key("Control+z", "**/undo")
        assert desk.drawn == expected
    assert desk.page.get_by_role("button", name="Undo").is_disabled()
    for expected in states[1:]:
        desk.key("Control+Shift+Z", "**/redo")
        assert desk.drawn == expected


def test_an_expert_sees_the_probability_and_where_references_disagree(
    desk: Desk, server: Server
) -> None:
    page = desk.page
    desk.label("spot")
    desk.click(LIVER)
    disagreement = page.get_by_role("radio", name="Disagreement")
    assert disagreement.is_disabled()
    mask = desk.drawn
    desk.key("x")
    page.get_by_role("radio", name="Probability", checked=True).wait_for()
    page.wait_for_timeout(300)
    # Certain is yellow, what is not there is dark.
    assert _is_yellow(desk.colour(LIVER)) and not _is_yellow(desk.colour(NOTHING))
    desk.key("x")
    assert desk.drawn == mask

    desk.key("Control+Enter", "**/next")
    page.locator(".caption-name").filter(has_text="picture-1.png").wait_for()
    desk.ready()
    desk.key("Control+Enter", "**/next")
    page.locator(".caption-name").filter(has_text="picture-2.png").wait_for()
    desk.ready()
    assert len(server.ask("/api/references")["references"]) == 2
    without = desk.drawn
    with page.expect_response("**/disagreement.png*"):
        disagreement.click()
    page.wait_for_timeout(200)
    desk.settled()
    assert desk.drawn != without


def test_references_are_shown_left_out_and_scored(desk: Desk, server: Server) -> None:
    page = desk.page
    desk.label("spot")
    desk.click(LIVER)
    for name in ("picture-1.png", "picture-2.png"):
        desk.key("Control+Enter", "**/next")
        page.locator(".caption-name").filter(has_text=name).wait_for()
        desk.ready()
    strip = page.get_by_role("list", name="References of spot")
    assert strip.get_by_role("button", name="Reference picture").count() == 4
    page.get_by_role("button", name="Score them").click()
    strip.get_by_role("button", name="score").first.wait_for()
    assert all(one["score"] > 0.5 for one in server.ask("/api/references")["references"])
    first = strip.get_by_role("button", name="Reference picture-0.png", exact=False).first
    with page.expect_response("**/knowledge"):
        first.click()
    desk.settled()
    assert first.get_attribute("aria-pressed") == "false"
    assert [one["is_active"] for one in server.ask("/api/references")["references"]] == [
        False,
        True,
    ]


def test_the_least_certain_image_is_suggested_and_comes_first_if_wanted(
    desk: Desk, server: Server
) -> None:
    page = desk.page
    desk.label("polyp")
    page.get_by_role("button", name="Jobs").click()
    page.get_by_role("button", name="Pre-segment all new images").click()
    page.get_by_role("dialog").get_by_text("Done").first.wait_for()
    page.keyboard.press("Escape")
    names = [one["name"] for one in server.ask("/api/suggestions")["images"]]
    assert len(names) >= 2
    shown = page.get_by_role("list", name="Suggested next, least certain first")
    # The image that is open is no suggestion.
    others = [name for name in names[:3] if name != "picture-0.png"]
    shown.get_by_role("button", name=others[0]).wait_for()
    assert [
        (one.get_attribute("title") or "") for one in shown.get_by_role("button").all()
    ] == others
    assert "Certainty" in (shown.get_by_role("button").first.text_content() or "")

    page.get_by_role("button", name="Settings").click()
    with page.expect_response("**/settings"):
        page.get_by_role("combobox", name="Next image").select_option("uncertain")
    page.keyboard.press("Escape")
    page.get_by_role("dialog").wait_for(state="hidden")
    first = next(name for name in names if name != "picture-0.png")
    with page.expect_response("**/next"):
        page.keyboard.press("n")
    page.locator(".caption-name").filter(has_text=first).wait_for()
