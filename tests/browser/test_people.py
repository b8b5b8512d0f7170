"""Two people on one image, and one person in two windows."""

from __future__ import annotations

import pytest

from tests.browser.conftest import ENLARGED, Browse, Server
from tests.browser.desk import Desk
from tests.inference.phantom import SHAPE

pytestmark = pytest.mark.browser

PICTURE = (ENLARGED * SHAPE[0], ENLARGED * SHAPE[1])
LIVER, KIDNEY = (60, 60), (140, 140)


def _desk(browse: Browse, author: str) -> Desk:
    page = browse(author)
    page.get_by_role("button", name="Begin").wait_for()
    return Desk(page, PICTURE)


def _try_to_open(desk: Desk, name: str) -> None:
    desk.page.get_by_role("list", name="Images").get_by_role("button", name=name).click()
    desk.page.locator("#canvas-area[data-state=in-use]").wait_for()


def test_two_people_on_one_image_get_a_clear_answer(browse: Browse, server: Server) -> None:
    ada, grace = _desk(browse, "Ada"), _desk(browse, "Grace Höpper")
    ada.open("picture-0.png")
    ada.label("spot")
    ada.click(LIVER)

    _try_to_open(grace, "picture-0.png")
    told = grace.page.get_by_role("alertdialog", name="Image in use")
    assert told.get_by_role("heading").text_content() == "Ada works on this image"
    # Who looks on cannot change anything.
    assert grace.page.get_by_role("button", name="Accept A").is_disabled()
    grace.page.reload()
    told.wait_for()
    entry = grace.page.get_by_role("list", name="Images").get_by_role("button", name="picture-0")
    assert "Ada works on it" in (entry.text_content() or "")

    # The way on: another image.
    told.get_by_role("button", name="Next image").click()
    grace.page.locator(".caption-name").filter(has_text="picture-1.png").wait_for()
    grace.ready()

    # Or the same one, taken over: what the other did is saved first.
    _try_to_open(grace, "picture-0.png")
    told.get_by_role("button", name="Take over").click()
    grace.ready()
    grace.covered(LIVER)
    grace.key("a", "**/accept")
    grace.note("Accepted and saved")

    # The first one is told with the next thing that is tried, and nothing of it is done.
    ada.page.locator("#canvas").click(position=ada.point(KIDNEY))
    told = ada.page.get_by_role("alertdialog", name="Image in use")
    told.wait_for()
    assert told.get_by_role("heading").text_content() == "Grace Höpper works on this image"
    ada.bare(KIDNEY)
    accepted = [one for one in server.accepted() if one["is_current"]]
    assert [(one["name"], one["author"]) for one in accepted] == [("spot", "Grace Höpper")]


def test_one_person_in_two_windows_goes_on_in_the_second(browse: Browse) -> None:
    first, second = _desk(browse, "Ada"), _desk(browse, "Ada")
    first.open("picture-0.png")
    first.label("spot")
    first.click(LIVER)
    _try_to_open(second, "picture-0.png")
    told = second.page.get_by_role("alertdialog", name="Image in use")
    assert "open elsewhere" in (told.get_by_role("heading").text_content() or "")
    told.get_by_role("button", name="Continue here").click()
    second.ready()
    second.covered(LIVER)


def test_everybody_sees_what_the_others_have_done(browse: Browse) -> None:
    ada, grace = _desk(browse, "Ada"), _desk(browse, "Grace")
    ada.open("picture-0.png")
    ada.label("spot")
    ada.click(LIVER)
    ada.key("Control+Enter", "**/next")
    ada.page.locator(".caption-name").filter(has_text="picture-1.png").wait_for()
    # The list of the other page looks by itself from time to time; here it is asked to.
    grace.page.get_by_role("button", name="Look for new files").click()
    entry = grace.page.get_by_role("list", name="Images").get_by_role("button", name="picture-0")
    entry.filter(has_text="Accepted: spot").wait_for()
    grace.open("picture-2.png")
    grace.page.get_by_role("button", name="spot").first.wait_for()
    grace.settled()
    # Ada's mask is a reference for Grace.
    shifted = (LIVER[0], LIVER[1] + 4 * ENLARGED)
    grace.covered(shifted)
