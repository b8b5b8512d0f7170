"""Labels, tools and what the canvas shows of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.browser.conftest import ENLARGED, Server
from tests.browser.desk import Desk
from tests.inference.phantom import SHAPE

if TYPE_CHECKING:
    from playwright.sync_api import Page, Route

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


def _sees(desk: Desk, expected: str) -> None:
    desk.until(lambda: desk.drawn == expected, "the former picture")


def _is_yellow(colour: tuple[int, ...]) -> bool:
    red, green, blue = colour
    return min(red, green) > 2 * blue


def test_labels_have_colours_locks_visibility_and_opacity(desk: Desk) -> None:
    page = desk.page
    desk.label("one")
    desk.click(LIVER)
    desk.label("two")
    desk.click(KIDNEY)
    desk.covered(LIVER, KIDNEY)
    both = desk.colour(LIVER), desk.colour(KIDNEY)
    assert both[0] != both[1]

    page.get_by_label("Colour of two").fill("#0000ff")
    desk.until(lambda: _reddest(desk.colour(KIDNEY)) == 2, "the second label in blue")

    page.get_by_role("button", name="Hide one").click()
    desk.settled()
    desk.bare(LIVER)
    desk.covered(KIDNEY)
    page.get_by_role("button", name="Show one").click()
    desk.key("v")
    desk.bare(LIVER, KIDNEY)
    desk.key("v")
    desk.covered(LIVER, KIDNEY)
    assert desk.colour(LIVER) == both[0]

    page.get_by_role("slider", name="Opacity").fill("0")
    desk.settled()
    desk.bare(KIDNEY)
    desk.covered(LIVER)

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
    desk.bare(LIVER)


@pytest.mark.parametrize("former", [None, "one"])
def test_a_click_while_a_label_is_added_waits_for_it(desk: Desk, former: str | None) -> None:
    page = desk.page
    if former is not None:
        desk.label(former)
    held: list[Route] = []
    asked: list[Any] = []

    def hold(route: Route) -> None:
        if route.request.method == "POST":
            held.append(route)
        else:
            route.continue_()

    page.on("request", lambda one: "/prompts" in one.url and asked.append(one.post_data_json))
    page.route("**/api/labels", hold)
    page.get_by_role("combobox", name="Add a label").fill("two")
    page.get_by_role("option", name="two").first.click()
    desk.until(lambda: bool(held), "the request for a label")
    page.locator("#canvas").click(position=desk.point(KIDNEY))
    desk.settled()
    assert asked == []
    with page.expect_response("**/prompts"):
        held[0].continue_()
    assert [one["label"] for one in asked] == ["two"]
    desk.covered(KIDNEY)
    desk.bare(LIVER)
    assert page.get_by_text("Name the structure first").count() == 0


def test_box_and_lasso_ask_and_the_other_button_takes_away(desk: Desk) -> None:
    desk.label("spot")
    desk.click(LIVER)
    desk.covered(LIVER)
    desk.click(LIVER, button="right")
    desk.bare(LIVER)
    desk.key("r", "**/reset")
    nothing = desk.drawn
    desk.key("b")
    desk.drag((20, 10), (100, 110))
    desk.until(lambda: desk.drawn != nothing, "what the box found")
    boxed = desk.drawn
    desk.bare(KIDNEY)
    desk.key("l")
    desk.drag((110, 126), (110, 170), (154, 170), (154, 126))
    desk.until(lambda: desk.drawn not in (nothing, boxed), "what the lasso found")
    desk.key("t")
    desk.key("p")
    desk.click(KIDNEY)
    desk.bare(KIDNEY)
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
        _sees(desk, expected)
    assert desk.page.get_by_role("button", name="Undo").is_disabled()
    for expected in states[1:]:
        desk.key("Control+Shift+Z", "**/redo")
        _sees(desk, expected)


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
    # Certain is yellow, what is not there is dark.
    desk.until(lambda: _is_yellow(desk.colour(LIVER)), "the probability")
    assert not _is_yellow(desk.colour(NOTHING))
    desk.key("x")
    _sees(desk, mask)

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
    desk.until(lambda: desk.drawn != without, "where the references disagree")


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
