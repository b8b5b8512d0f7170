"""A tablet: fingers tap, draw, zoom and move; nothing needs a mouse, a right button or a hover."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.browser.conftest import ENLARGED, Browse
from tests.browser.desk import Desk, Pixel
from tests.inference.phantom import SHAPE

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytestmark = pytest.mark.browser

PICTURE = (ENLARGED * SHAPE[0], ENLARGED * SHAPE[1])
LIVER, KIDNEY, NOTHING = (60, 60), (140, 140), (150, 40)

Point = dict[str, float]


class Hand:
    """Fingers on the image."""

    def __init__(self, page: Page) -> None:
        self._page = page
        self._session = page.context.new_cdp_session(page)

    def on(self, at: Point) -> Point:
        """Return a point of the canvas as one of the window."""
        box = self._page.locator("#canvas").bounding_box()
        assert box is not None
        return {"x": box["x"] + at["x"], "y": box["y"] + at["y"]}

    def put(self, *fingers: Point) -> None:
        """Put fingers down, those that are there already included."""
        self._send("touchStart", fingers)

    def move(self, *fingers: Point) -> None:
        """Move all fingers."""
        self._send("touchMove", fingers)

    def lift(self, *left: Point) -> None:
        """Lift fingers; `left` stay."""
        self._send("touchEnd", left)

    def _send(self, kind: str, fingers: tuple[Point, ...]) -> None:
        points = [{**self.on(at), "id": number} for number, at in enumerate(fingers)]
        self._session.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})


@pytest.fixture
def tablet(browse: Browse) -> Desk:
    page = browse(
        viewport={"width": 1024, "height": 768},
        has_touch=True,
        is_mobile=True,
        device_scale_factor=2,
    )
    page.get_by_role("button", name="Begin").wait_for()
    return Desk(page, PICTURE)


def _open(tablet: Desk) -> Hand:
    page = tablet.page
    page.get_by_role("button", name="Images", exact=True).tap()
    page.get_by_role("list", name="Images").get_by_role("button", name="picture-0.png").tap()
    page.locator(".caption-name").filter(has_text="picture-0.png").wait_for()
    tablet.ready()
    # The list goes out of the way when an image was chosen.
    page.locator(".bench[data-drawer=none]").wait_for()
    page.get_by_role("combobox", name="Add a label").tap()
    page.keyboard.type("spot")
    page.get_by_role("option", name="spot").tap()
    page.get_by_role("button", name="spot").first.wait_for()
    tablet.settled()
    return Hand(page)


def _tap(tablet: Desk, at: Pixel) -> None:
    hand = Hand(tablet.page)
    with tablet.page.expect_response("**/prompts"):
        hand.put(tablet.point(at))
        hand.lift()
    tablet.settled()


def _view(tablet: Desk) -> tuple[float, float, float]:
    """Return scale, left and top of the image on the canvas, in CSS pixels."""
    scale, left, top = tablet.page.evaluate(
        """() => {
          const canvas = document.querySelector("canvas.layer");
          const { a, e, f } = canvas.getContext("2d").getTransform();
          return [a / devicePixelRatio, e / devicePixelRatio, f / devicePixelRatio];
        }"""
    )
    return scale, left, top


def _prompts(tablet: Desk) -> list[Any]:
    asked: list[Any] = []
    tablet.page.on("request", lambda one: "/prompts" in one.url and asked.append(one.post_data))
    return asked


def test_a_tap_is_a_click_and_a_button_turns_it_round(tablet: Desk) -> None:
    _open(tablet)
    _tap(tablet, LIVER)
    tablet.covered(LIVER)
    tablet.bare(KIDNEY)
    tablet.page.get_by_role("button", name="Adds to the mask").tap()
    _tap(tablet, LIVER)
    tablet.bare(LIVER)


def test_a_finger_draws_and_its_page_stays_where_it_is(tablet: Desk) -> None:
    hand = _open(tablet)
    tablet.page.get_by_role("button", name="Brush").tap()
    way = [(150, 20), (150, 40), (150, 60)]
    hand.put(tablet.point(way[0]))
    for at in way[1:]:
        hand.move(tablet.point(at))
    with tablet.page.expect_response("**/prompts"):
        hand.lift()
    tablet.settled()
    tablet.covered((150, 40), (150, 58))
    assert tablet.page.evaluate("[scrollX, scrollY, visualViewport.scale]") == [0, 0, 1]


def test_two_fingers_zoom_and_move_and_leave_no_prompt(tablet: Desk) -> None:
    hand = _open(tablet)
    asked = _prompts(tablet)
    middle = tablet.point(LIVER)

    def apart(by: float, dx: float = 0.0) -> tuple[Point, Point]:
        y = middle["y"]
        return {"x": middle["x"] - by + dx, "y": y}, {"x": middle["x"] + by + dx, "y": y}

    before, fitted = tablet.drawn, _view(tablet)[0]
    one, other = apart(40)
    hand.put(one)
    hand.put(one, other)
    for by in (60, 80):
        hand.move(*apart(by))
    hand.lift(apart(80)[0])
    hand.lift()
    tablet.settled()
    assert asked == []
    tablet.until(lambda: tablet.drawn != before, "the image, larger")
    # What lay between the fingers is still there, and twice as large: a tap there clicks on it.
    scale, left, top = _view(tablet)
    assert scale == pytest.approx(2 * fitted, rel=0.03)
    assert left + (LIVER[1] + 0.5) * scale == pytest.approx(middle["x"], abs=2)
    assert top + (LIVER[0] + 0.5) * scale == pytest.approx(middle["y"], abs=2)

    with tablet.page.expect_response("**/prompts"):
        hand.put(middle)
        hand.lift()
    tablet.settled()
    (prompt,) = asked
    assert f'"row":{LIVER[0]}' in prompt and f'"col":{LIVER[1]}' in prompt

    # Two fingers that go the same way move the image.
    hand.put(*apart(40))
    hand.move(*apart(40, 30.0))
    hand.move(*apart(40, 60.0))
    hand.lift()
    tablet.settled()
    assert _view(tablet)[1] == pytest.approx(left + 60, abs=2)
    assert len(asked) == 1


def test_fingers_have_room_and_nothing_hides_behind_a_hover(tablet: Desk) -> None:
    _open(tablet)
    _tap(tablet, LIVER)
    tablet.page.get_by_role("button", name="Accept A").tap()
    tablet.note("Accepted and saved")
    small = tablet.page.evaluate("""() => [...document.querySelectorAll("button, select, summary")]
      .filter((one) => one.checkVisibility({ visibilityProperty: true, opacityProperty: true }))
      .filter((one) => one.offsetWidth > 0 && Math.min(one.offsetWidth, one.offsetHeight) < 24)
      .map((one) => one.getAttribute("aria-label") ?? one.textContent)""")
    assert small == []
    remove = tablet.page.get_by_role("button", name="Remove reference")
    assert remove.evaluate("(one) => getComputedStyle(one).opacity") == "1"
