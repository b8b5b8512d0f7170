"""The first visit, empty places and what goes wrong: each says what it is and what to do."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import pytest

from medprism.core.errors import WriteError
from tests.browser.conftest import ENLARGED, TOKEN, Browse, Server
from tests.browser.desk import Desk
from tests.inference.fake_segmenter import fake_model
from tests.inference.phantom import SHAPE, scene

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytestmark = pytest.mark.browser

PICTURE = (ENLARGED * SHAPE[0], ENLARGED * SHAPE[1])
LIVER = (60, 60)
TOUR = ["Choose an image", "Name a structure", "Click on it", "Accept", "Everything has a key"]


def test_the_first_visit_shows_five_steps_once(browse: Browse) -> None:
    page = browse(sees_tour=True)
    for number, title in enumerate(TOUR, start=1):
        step = page.get_by_role("dialog", name=title)
        # The keyboard goes on by itself: the next button has the focus.
        step.locator("button:focus").wait_for()
        assert f"{number} of 5" in (step.text_content() or "")
        box = step.bounding_box()
        assert box is not None
        assert box["x"] >= 0 and box["x"] + box["width"] <= 1280
        assert box["y"] >= 0 and box["y"] + box["height"] <= 720
        page.keyboard.press("Enter")
    page.locator(".tour").wait_for(state="detached")
    page.reload()
    page.get_by_role("button", name="Begin").wait_for()
    assert page.locator(".tour").count() == 0
    page.get_by_role("button", name="Keys and help").click()
    page.get_by_role("button", name="Show the tour").click()
    page.get_by_role("dialog", name=TOUR[0]).wait_for()
    page.get_by_role("button", name="Skip the tour").click()
    page.locator(".tour").wait_for(state="detached")


def test_an_empty_project_takes_files_that_are_dropped(browse: Browse, tmp_path: Path) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    server = Server(empty, fake_model())
    server.start()
    try:
        page = browse(at=server.address)
        page.get_by_role("heading", name="No images yet").wait_for()
        listed = page.get_by_role("complementary", name="Images")
        listed.get_by_text("Put files into the project's folder").wait_for()
        page.get_by_role("button", name="Export").click()
        page.get_by_role("dialog").get_by_text("Nothing is accepted yet").wait_for()
        exports = page.get_by_role("dialog").get_by_role("button", name="Export")
        assert exports.is_disabled()
        page.keyboard.press("Escape")

        content = cv2.imencode(".png", scene(0)[0])[1].tobytes()
        page.evaluate(
            """(bytes) => {
              const files = new DataTransfer();
              files.items.add(new File([new Uint8Array(bytes)], "dropped.png"));
              files.items.add(new File(["no image"], "letter.txt"));
              const event = new DragEvent("drop", { dataTransfer: files, bubbles: true });
              document.querySelector(".bench").dispatchEvent(event);
            }""",
            list(content),
        )
        desk = Desk(page, SHAPE)
        desk.note("letter.txt: ")
        desk.note("1 images added")
        desk.open("dropped.png")
    finally:
        server.stop()


def test_a_wrong_token_is_told_and_the_right_one_lets_in(browse: Browse) -> None:
    page = browse(fragment="token=not-the-one-0123456789")
    page.get_by_role("alert").filter(has_text="not that of this server").wait_for()
    page.get_by_label("Token").fill(TOKEN)
    page.keyboard.press("Enter")
    page.get_by_role("button", name="Begin").wait_for()
    # The token does not stay where somebody could read it.
    assert TOKEN not in page.url


def test_images_are_skipped_with_a_reason_until_all_is_done(page: Page, server: Server) -> None:
    desk = Desk(page, PICTURE)
    desk.open("picture-0.png")
    page.get_by_role("button", name="Skip K").click()
    dialog = page.get_by_role("dialog", name="Skip this image")
    dialog.get_by_role("textbox", name="Reason").fill("motion, left lobe missing")
    with page.expect_response("**/skip") as skipped:
        page.keyboard.press("Enter")
    assert skipped.value.status == 204
    entry = page.get_by_role("list", name="Images").get_by_role("button", name="picture-0.png")
    entry.filter(has_text="motion, left lobe missing").wait_for()
    first = server.ask("/api/images/1")
    assert (first["state"], first["reason"]) == ("skipped", "motion, left lobe missing")

    page.locator(".caption-name").filter(has_text="picture-1.png").wait_for()
    desk.ready()
    desk.key("k")
    dialog.get_by_role("button", name="Stay").click()
    dialog.wait_for(state="detached")
    assert server.ask("/api/images/2")["state"] == "new"
    for reason in ("Blurred", None, None):
        name = page.locator(".caption-name").text_content()
        desk.key("k")
        dialog.wait_for()
        if reason is not None:
            dialog.get_by_role("button", name=reason).click()
        with page.expect_response("**/skip"):
            dialog.get_by_role("button", name="Skip").last.click()
        page.locator(".caption-name").filter(has_text=name or "").wait_for(state="detached")
        page.locator("#canvas-area:not([data-state=opening])").wait_for()
        desk.settled()
    assert server.ask("/api/images/2")["reason"] == "Blurred"
    assert server.ask("/api/images/3")["reason"] is None
    page.get_by_role("heading", name="Every image is done").wait_for()
    page.get_by_role("main").get_by_role("button", name="Export").click()
    page.get_by_role("dialog", name="Export").wait_for()


def test_a_disk_that_refuses_is_told_and_nothing_is_accepted(
    page: Page, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk = Desk(page, PICTURE)
    desk.open("picture-0.png")
    desk.label("spot")
    desk.click(LIVER)

    def refuse(*_: object, **__: object) -> None:
        raise WriteError("no space is left on the disk; free some and accept again")

    with monkeypatch.context() as patched:
        patched.setattr(server.bench.project.masks, "accept", refuse)
        desk.key("a", "**/accept")
        desk.note("No space is left on the disk; free some and accept again.")
    assert server.accepted() == []
    desk.covered(LIVER)
    desk.key("a", "**/accept")
    desk.note("Accepted and saved")
    assert len(server.accepted()) == 1


def test_a_broken_image_says_why_in_the_list_too(page: Page) -> None:
    listed = page.get_by_role("list", name="Images").get_by_role("button", name="torn.png")
    listed.click()
    page.get_by_role("heading", name="torn.png cannot be opened").wait_for()
    page.get_by_role("button", name="Try again").click()
    page.get_by_role("heading", name="torn.png cannot be opened").wait_for()
    page.get_by_role("button", name="Look for new files").click()
    listed.and_(page.locator(":disabled")).wait_for()
    page.get_by_role("main").get_by_role("button", name="Next image").first.click()
    page.locator(".caption-name").filter(has_text="picture-").wait_for()


def test_nothing_found_and_nothing_to_accept_say_what_to_do(page: Page) -> None:
    search = page.get_by_role("searchbox", name="Search images")
    search.fill("no such name")
    page.get_by_text("No image matches.").wait_for()
    page.get_by_role("button", name="Show all images").click()
    desk = Desk(page, PICTURE)
    desk.open("picture-0.png")
    page.get_by_text("Name a structure under Labels to begin.").wait_for()
    page.locator("#canvas").click(position=desk.point(LIVER))
    desk.note("Name the structure first")
    page.locator("#label-search:focus").wait_for()
    page.evaluate("document.activeElement.blur()")
    desk.key("a")
    desk.note("There is no mask yet")
