"""At 1280 x 720 nothing scrolls, on a tablet nothing is cut, and nothing jumps."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.browser.conftest import ENLARGED, Browse
from tests.browser.desk import Desk
from tests.inference.phantom import SHAPE

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytestmark = pytest.mark.browser

PICTURE = (ENLARGED * SHAPE[0], ENLARGED * SHAPE[1])
LIVER, KIDNEY = (60, 60), (140, 140)
LONG = "a-name-that-goes-on-and-on-because-somebody-put-the-whole-protocol-into-it-0001.png"
LONG_LABEL = "the second segment of the left anterior descending coronary artery and its wall"

# What scrolls, and what sticks out of the window or of the box that it is in.
_SCROLLING = """() => [document.documentElement, ...document.querySelectorAll("body *")]
  .filter((one) => {
    const { overflowX, overflowY } = getComputedStyle(one);
    const down = one.scrollHeight > one.clientHeight + 1 && /auto|scroll/.test(overflowY);
    const across = one.scrollWidth > one.clientWidth + 1 && /auto|scroll/.test(overflowX);
    return one === document.documentElement
      ? one.scrollHeight > innerHeight || one.scrollWidth > innerWidth : down || across;
  })
  .map((one) => one.className || one.tagName)"""
_CUT = """() => {
  const modal = document.querySelector("dialog[open]");
  return [...(modal ?? document).querySelectorAll("button, input, select, a, summary")]
    .filter((one) => one.checkVisibility({ visibilityProperty: true, opacityProperty: true }))
    .filter((one) => {
      const box = one.getBoundingClientRect();
      if (box.width === 0) return false;
      const scroller = one.closest(".gallery-list, .panel, .dialog, .checkpoints, .strip, .sheet");
      if (box.left < -1 || box.right > innerWidth + 1) return !one.closest(".strip");
      return scroller === null && (box.top < -1 || box.bottom > innerHeight + 1);
    })
    .map((one) => one.getAttribute("aria-label") ?? one.textContent);
}"""


@pytest.fixture
def folder(folder: Path) -> Path:
    shutil.copy(folder / "picture-0.png", folder / LONG)
    return folder


def _work(page: Page) -> Desk:
    desk = Desk(page, PICTURE)
    desk.open("picture-0.png")
    desk.label("spot")
    desk.click(LIVER)
    desk.key("Control+Enter", "**/next")
    page.locator(".caption-name").filter(has_text="picture-1.png").wait_for()
    desk.ready()
    return desk


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_at_1280_by_720_nothing_scrolls(browse: Browse, theme: str) -> None:
    page = browse(color_scheme=theme)
    page.get_by_role("button", name="Begin").wait_for()
    assert (page.evaluate(_SCROLLING), page.evaluate(_CUT)) == ([], [])
    _work(page)
    assert (page.evaluate(_SCROLLING), page.evaluate(_CUT)) == ([], [])
    Desk(page, SHAPE).open("stack.nii.gz")
    assert (page.evaluate(_SCROLLING), page.evaluate(_CUT)) == ([], [])
    ground = page.evaluate("getComputedStyle(document.body).backgroundColor")
    brightness = sum(int(part) for part in ground.strip("rgb()").split(","))
    assert (brightness < 200) == (theme == "dark")
    # The button in the line at the top turns it round, and the page remembers.
    other = "light" if theme == "dark" else "dark"
    page.get_by_role("button", name=f"{other.title()} colours").click()
    page.locator(f"html[data-theme={other}]").wait_for()
    page.reload()
    page.locator(f"html[data-theme={other}]").wait_for()


@pytest.mark.parametrize("size", [(1024, 768), (768, 1024), (820, 1180)])
def test_on_a_tablet_nothing_is_cut(browse: Browse, size: tuple[int, int]) -> None:
    page = browse(viewport={"width": size[0], "height": size[1]}, has_touch=True)
    page.get_by_role("button", name="Begin").click()
    Desk(page, PICTURE).ready()
    page.get_by_role("combobox", name="Add a label").fill("spot")
    page.get_by_role("option", name="spot").first.click()
    page.get_by_role("button", name="spot").first.wait_for()
    assert page.evaluate(_CUT) == []
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    # The image keeps most of the window.
    box = page.locator("#canvas").bounding_box()
    assert box is not None and box["width"] * box["height"] > 0.4 * size[0] * size[1]
    for name in ("Keys and help", "Export", "Jobs"):
        page.get_by_role("button", name=name, exact=True).first.click()
        page.get_by_role("dialog").wait_for()
        assert page.evaluate(_CUT) == [], name
        page.keyboard.press("Escape")


def test_long_names_are_cut_with_dots_and_move_nothing(page: Page) -> None:
    desk = Desk(page, PICTURE)
    before = page.locator("#canvas").bounding_box()
    page.get_by_role("list", name="Images").get_by_role("button", name=LONG).click()
    page.locator(".caption-name").filter(has_text=LONG).wait_for()
    desk.ready()
    page.get_by_role("combobox", name="Add a label").fill(LONG_LABEL)
    page.locator("#label-options").get_by_role("option").first.click()
    page.get_by_role("button", name=LONG_LABEL).first.wait_for()
    desk.settled()
    desk.click(LIVER)
    assert page.locator("#canvas").bounding_box() == before
    assert (page.evaluate(_SCROLLING), page.evaluate(_CUT)) == ([], [])
    for name in (".entry-name", ".label-text"):
        dots = page.locator(name).filter(has_text=re_start(name)).first
        assert dots.evaluate("(one) => getComputedStyle(one).textOverflow") == "ellipsis"


def re_start(name: str) -> str:
    return LONG[:12] if name == ".entry-name" else LONG_LABEL[:12]


def test_nothing_jumps_while_one_works(page: Page) -> None:
    desk = Desk(page, PICTURE)
    desk.open("picture-0.png")
    desk.label("spot")
    page.evaluate("""() => {
      window.jumps = [];
      new PerformanceObserver((list) => {
        for (const one of list.getEntries()) {
          const places = one.sources.map(({ node }) => node?.className ?? node?.nodeName);
          window.jumps.push([one.value, ...places]);
        }
      }).observe({ type: "layout-shift", buffered: false });
    }""")
    desk.click(LIVER)
    desk.click(KIDNEY)
    desk.key("Control+z", "**/undo")
    desk.key("d")
    desk.key("a", "**/accept")
    desk.note("Accepted and saved")
    desk.settled()
    page.wait_for_timeout(300)
    jumps = page.evaluate("window.jumps")
    assert sum(value for value, *_ in jumps) < 0.01, jumps
