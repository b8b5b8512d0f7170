"""Everybody can use the page: every control has a name, everything is readable, keys suffice."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest

from tests.browser.conftest import ENLARGED, Browse
from tests.browser.desk import Desk
from tests.browser.tree import faint, focused, nameless, tree_of
from tests.inference.phantom import SHAPE

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytestmark = pytest.mark.browser

PICTURE = (ENLARGED * SHAPE[0], ENLARGED * SHAPE[1])
LIVER = (60, 60)


def _work(page: Page) -> Desk:
    """Open a picture with a class, a click and an accepted mask."""
    desk = Desk(page, PICTURE)
    desk.open("picture-0.png")
    desk.label("liver")
    desk.label("spot")
    desk.click(LIVER)
    return desk


def _dialog(name: str) -> Callable[[Page], None]:
    def show(page: Page) -> None:
        page.get_by_role("button", name=name, exact=True).first.click()
        page.get_by_role("dialog").wait_for()

    return show


def _settings(page: Page) -> None:
    page.get_by_role("button", name="Settings").click()
    page.get_by_role("dialog").wait_for()


def _names(page: Page) -> None:
    page.get_by_role("combobox", name="Add a label").click()
    page.get_by_role("option", name="polyp").wait_for()


def _train(page: Page) -> None:
    page.get_by_role("button", name="Train a class").click()
    page.get_by_role("list", name="Checkpoints").get_by_text("Base model").wait_for()


def _broken(page: Page) -> None:
    page.get_by_role("list", name="Images").get_by_role("button", name="torn.png").click()
    page.get_by_role("heading", name="torn.png cannot be opened").wait_for()


def _volume(page: Page) -> None:
    Desk(page, SHAPE).open("stack.nii.gz")
    page.get_by_role("slider", name="Slice").wait_for()


STATES: dict[str, Callable[[Page], None]] = {
    "work": lambda page: None,
    "names": _names,
    "keys": _dialog("Keys and help"),
    "jobs": _dialog("Jobs"),
    "export": _dialog("Export"),
    "settings": _settings,
    "skip": _dialog("Skip K"),
    "train": _train,
    "broken": _broken,
    "volume": _volume,
}


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_every_control_has_a_name_and_every_text_can_be_read(browse: Browse, theme: str) -> None:
    page = browse(color_scheme=theme, reduced_motion="reduce")
    page.get_by_role("button", name="Begin").wait_for()
    assert (nameless(page), faint(page)) == ([], []), "begin"
    _work(page)
    for name, show in STATES.items():
        show(page)
        page.wait_for_timeout(50)
        assert (nameless(page), faint(page)) == ([], []), name
        page.keyboard.press("Escape")


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_so_it_is_before_one_is_let_in(browse: Browse, theme: str) -> None:
    page = browse(color_scheme=theme, fragment="token=not-the-one-0123456789")
    page.get_by_role("alert").wait_for()
    assert (nameless(page), faint(page)) == ([], [])
    page = browse(sees_tour=True, color_scheme=theme, reduced_motion="reduce")
    page.get_by_role("dialog", name="Choose an image").wait_for()
    assert (nameless(page), faint(page)) == ([], [])


def test_a_screen_reader_is_told_where_one_is_and_what_happened(page: Page) -> None:
    desk = _work(page)
    said = {(one.role, one.name) for one in tree_of(page)}
    roles = {role for role, _ in said}
    assert {"banner", "main", "complementary", "toolbar", "application"} <= roles
    (image,) = [name for role, name in said if role == "application"]
    assert "picture-0.png" in image and "Label spot." in image and "Masks: " in image
    spoken = page.locator(".spoken")
    assert (spoken.text_content() or "").startswith("spot: ")
    desk.key("Control+z", "**/undo")
    assert spoken.text_content() == "Undone"
    desk.key("t")
    assert spoken.text_content() == "Takes away from the mask"


def _tab_to(page: Page, role: str, name: str) -> None:
    """Press Tab until something is reached, as somebody without a mouse does."""
    for _ in range(80):
        page.keyboard.press("Tab")
        here = focused(page)
        if here.role == role and name in here.name:
            return
    raise AssertionError(f"{role} {name!r} is not reached by Tab")


def test_from_the_list_to_the_next_image_with_keys_alone(page: Page) -> None:
    desk = Desk(page, PICTURE)
    _tab_to(page, "button", "picture-0.png")
    page.keyboard.press("Enter")
    desk.ready()
    _tab_to(page, "combobox", "Add a label")
    page.keyboard.type("spot")
    page.keyboard.press("Enter")
    # The name was the last word on the label: the image has the focus now.
    page.get_by_role("button", name="spot").first.wait_for()
    assert focused(page).role == "application"
    desk.settled()
    page.keyboard.press("ArrowUp")
    for _ in range((PICTURE[0] // 2 - LIVER[0]) // 10):
        page.keyboard.press("Shift+ArrowUp")
    for _ in range((PICTURE[1] // 2 - LIVER[1]) // 10):
        page.keyboard.press("Shift+ArrowLeft")
    desk.key("Enter", "**/prompts")
    desk.covered(LIVER)
    _tab_to(page, "button", "Accept A")
    with page.expect_response("**/accept"):
        page.keyboard.press("Enter")
    desk.note("Accepted and saved")
    _tab_to(page, "button", "Next image")
    with page.expect_response("**/next"):
        page.keyboard.press("Enter")
    page.locator(".caption-name").filter(has_text="picture-1.png").wait_for()
    desk.ready()


def test_the_focus_can_always_be_seen(page: Page) -> None:
    _work(page)
    page.evaluate("document.activeElement.blur()")
    outline = """() => {
      const at = document.activeElement;
      const shown = at.closest("label") ?? at;
      const styles = [getComputedStyle(at), getComputedStyle(shown)];
      return styles.some((one) => one.outlineStyle !== "none" && parseFloat(one.outlineWidth) >= 2);
    }"""
    reached = set()
    for _ in range(60):
        page.keyboard.press("Tab")
        name = page.evaluate("document.activeElement.outerHTML.slice(0, 80)")
        if page.evaluate("document.activeElement === document.body"):
            continue
        reached.add(name)
        assert page.evaluate(outline), name
    assert len(reached) > 25


def test_a_dialog_keeps_the_focus_and_gives_it_back(page: Page) -> None:
    page.get_by_role("button", name="Settings").focus()
    page.keyboard.press("Enter")
    page.get_by_role("dialog").wait_for()
    for _ in range(25):
        page.keyboard.press("Tab")
        here = page.evaluate("document.activeElement?.closest('dialog, body').tagName")
        assert here in ("DIALOG", "BODY")
    page.keyboard.press("Escape")
    page.get_by_role("dialog").wait_for(state="detached")
    assert focused(page).name.startswith("Settings")


def test_a_key_right_after_a_dialog_has_closed_counts(page: Page) -> None:
    _work(page)
    _settings(page)
    # Both in one task: the event that says a dialog has closed comes after the key.
    page.evaluate(
        """() => {
          document.querySelector("dialog").close();
          window.dispatchEvent(new KeyboardEvent("keydown", { key: "b" }));
        }"""
    )
    page.get_by_role("button", name="Box", pressed=True).wait_for()
