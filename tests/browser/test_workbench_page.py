"""A person's ways through the workbench, in a real browser against a real server."""

from __future__ import annotations

import zipfile
from typing import TYPE_CHECKING

import pytest

from tests.browser.conftest import ENLARGED, Server
from tests.browser.desk import Desk
from tests.inference.phantom import SHAPE

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytestmark = pytest.mark.browser

PICTURE = (ENLARGED * SHAPE[0], ENLARGED * SHAPE[1])
# Inside the structures of the first picture, and between them.
LIVER, KIDNEY, POLYP, NOTHING = (60, 60), (140, 140), (36, 184), (150, 40)


@pytest.fixture
def desk(page: Page) -> Desk:
    return Desk(page, PICTURE)


def test_open_click_accept_next_undo_reload(desk: Desk) -> None:
    desk.open("picture-0.png")
    desk.label("spot")
    desk.click(LIVER)
    desk.covered(LIVER)
    desk.bare(KIDNEY, NOTHING)

    desk.key("Control+z", "**/undo")
    desk.bare(LIVER)
    desk.key("Control+Shift+Z", "**/redo")
    desk.covered(LIVER)

    with desk.page.expect_response("**/next"):
        desk.key("Control+Enter", "**/accept")
    desk.note("Accepted and saved")
    desk.page.locator(".caption-name").filter(has_text="picture-1.png").wait_for()
    desk.ready()
    # The accepted mask is a reference: the next image comes with a mask.
    shifted = (LIVER[0], LIVER[1] + 2 * ENLARGED)
    desk.covered(shifted)
    desk.bare(NOTHING)

    desk.click(KIDNEY)
    shown = desk.drawn
    desk.page.reload()
    desk.ready()
    desk.until(lambda: desk.drawn == shown, "all that was there before the reload")
    desk.key("Control+z", "**/undo")
    desk.bare(KIDNEY)


def test_drawing_tools_change_the_mask_where_they_pass(desk: Desk) -> None:
    desk.open("picture-0.png")
    desk.label("spot")
    desk.key("s")
    desk.drag((60, 40), (60, 80))
    desk.covered((60, 60))
    desk.key("d")
    desk.drag((150, 20), (150, 60))
    desk.covered((150, 40))
    desk.key("e")
    desk.drag((150, 20), (150, 60))
    desk.bare((150, 40))
    desk.covered((60, 60))
    desk.key("Delete", "**/prompts")
    desk.bare((60, 60))


def test_a_class_is_offered_and_predicted(desk: Desk) -> None:
    desk.open("picture-0.png")
    desk.page.get_by_role("combobox", name="Add a label").fill("hepar")
    with desk.page.expect_response("**/predict"):
        desk.page.get_by_role("option", name="liver").click()
    desk.settled()
    desk.covered(LIVER)
    desk.bare(KIDNEY)
    switch = desk.page.get_by_role("button", name="Class", exact=True)
    assert switch.get_attribute("aria-pressed") == "true"


def test_without_a_mouse(desk: Desk) -> None:
    desk.open("picture-0.png")
    desk.label("spot")
    desk.page.evaluate("document.activeElement.blur()")
    desk.key("c")
    # The crosshair begins in the middle of the image.
    desk.key("ArrowUp")
    rows, cols = PICTURE[0] // 2 - LIVER[0], PICTURE[1] // 2 - LIVER[1]
    for _ in range(rows // 10):
        desk.page.keyboard.press("Shift+ArrowUp")
    for _ in range(cols // 10):
        desk.page.keyboard.press("Shift+ArrowLeft")
    desk.key("Enter", "**/prompts")
    desk.covered(LIVER)
    assert desk.page.locator(".spoken").text_content().startswith("spot: ")


def test_a_volume_is_propagated_slice_by_slice(page: Page) -> None:
    desk = Desk(page, SHAPE)
    desk.open("stack.nii.gz")
    desk.label("spot")
    middle = (30, 36)
    desk.click(middle)
    page.get_by_role("button", name="Propagate").click()
    desk.note("least certain slice")
    page.locator(".confidence rect").nth(2).wait_for()
    page.get_by_role("slider", name="Slice").fill("4")
    desk.covered((30, 42))


def test_a_damaged_image_says_so_and_the_others_open(desk: Desk) -> None:
    desk.page.get_by_role("list", name="Images").get_by_role("button", name="torn.png").click()
    desk.page.get_by_role("heading", name="torn.png cannot be opened").wait_for()
    desk.open("picture-1.png")
    desk.bare(NOTHING)


def test_a_lost_server_is_waited_for(desk: Desk, server: Server) -> None:
    desk.open("picture-0.png")
    desk.label("spot")
    desk.click(LIVER)
    desk.page.wait_for_timeout(100)
    server.stop()
    desk.page.locator("#canvas").click(position=desk.point(KIDNEY))
    desk.page.get_by_role("alert").filter(has_text="does not answer").wait_for()
    server.start()
    desk.note("The server is back")
    desk.settled()
    # What was done while it was away has been sent.
    desk.covered(LIVER, KIDNEY)


def test_an_export_is_made_and_saved(desk: Desk) -> None:
    desk.open("picture-0.png")
    desk.label("spot")
    desk.click(LIVER)
    desk.key("a", "**/accept")
    desk.page.get_by_role("button", name="Export").click()
    dialog = desk.page.get_by_role("dialog")
    dialog.get_by_text("COCO").click()
    dialog.get_by_role("button", name="Export").click()
    with desk.page.expect_download() as download:
        dialog.get_by_role("link", name="Save the last export").click()
    assert download.value.suggested_filename.endswith(".zip")


def test_an_export_without_names_says_nothing_of_the_image(desk: Desk) -> None:
    desk.open("picture-0.png")
    desk.label("spot")
    desk.click(LIVER)
    desk.key("a", "**/accept")
    desk.page.get_by_role("button", name="Export").click()
    dialog = desk.page.get_by_role("dialog")
    dialog.get_by_text("COCO").click()
    logs = dialog.get_by_label("With the log of every prompt")
    logs.check()
    dialog.get_by_label("Without names of patients, files and people").check()
    assert logs.is_disabled() and not logs.is_checked()
    dialog.get_by_text("Images have numbers alone").wait_for()
    dialog.get_by_role("button", name="Export").click()
    with desk.page.expect_download() as download:
        dialog.get_by_role("link", name="Save the last export").click()
    assert download.value.suggested_filename.endswith("-deidentified.zip")
    with zipfile.ZipFile(download.value.path()) as archive:
        names = archive.namelist()
        content = b"".join(archive.read(name) for name in names)
    assert sorted(names) == ["export.json", "masks/000001.json"]
    assert b"picture" not in content and b"spot" in content
