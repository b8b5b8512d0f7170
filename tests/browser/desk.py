"""What a person does and sees on the page."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Final, Literal, TypeAlias

if TYPE_CHECKING:
    from playwright.sync_api import Page

Pixel: TypeAlias = tuple[int, int]

# Seconds until the page must show what was asked for, on a machine that is busy otherwise.
PATIENCE: Final = 60.0
# Where the canvas shows a pixel of the image when it is fitted, in CSS pixels of the canvas.
_POINT = """([height, width, row, col]) => {
  const box = document.getElementById("canvas").getBoundingClientRect();
  const scale = Math.min((box.width - 32) / width, (box.height - 32) / height);
  return {
    x: (box.width - width * scale) / 2 + (col + 0.5) * scale,
    y: (box.height - height * scale) / 2 + (row + 0.5) * scale,
  };
}"""
_HAS_PICTURE = """() => {
  const base = document.querySelector("canvas.layer");
  const { width, height } = base;
  return base.getContext("2d").getImageData(width / 2, height / 2, 1, 1).data[3] > 0;
}"""
_COLOUR = """({x, y}) => {
  const base = document.querySelector("canvas.layer");
  const ratio = window.devicePixelRatio;
  const context = base.getContext("2d");
  return [...context.getImageData(x * ratio, y * ratio, 1, 1).data].slice(0, 3);
}"""


class Desk:
    """A page with an image of a known size on it."""

    def __init__(self, page: Page, shape: Pixel) -> None:
        self.page = page
        self.shape = shape

    def open(self, name: str) -> None:
        """Open an image from the list and wait until it can be worked on."""
        self.page.get_by_role("list", name="Images").get_by_role("button", name=name).click()
        self.page.locator(".caption-name").filter(has_text=name).wait_for()
        self.ready()

    def ready(self) -> None:
        """Wait until the shown image can be worked on and nothing is on its way."""
        self.page.locator("#canvas-area[data-state=ready]").wait_for()
        self.settled()
        # The session may be there before the pixels are.
        self.until(lambda: bool(self.page.evaluate(_HAS_PICTURE)), "the image")

    def settled(self) -> None:
        """Wait until no answer is awaited, and for two frames more."""
        self.page.wait_for_selector(".busy:not(.is-busy)", state="attached")
        frames = "() => new Promise((r) => requestAnimationFrame(() => requestAnimationFrame(r)))"
        self.page.evaluate(frames)
        self.page.evaluate(frames)

    def label(self, name: str) -> None:
        """Make a label, or choose the class that is offered."""
        self.page.get_by_role("combobox", name="Add a label").fill(name)
        self.page.get_by_role("option", name=name).first.click()
        self.page.get_by_role("button", name=name).first.wait_for()
        self.settled()

    def point(self, at: Pixel) -> dict[str, float]:
        """Return where a pixel lies on the canvas."""
        found: dict[str, float] = self.page.evaluate(_POINT, [*self.shape, *at])
        return found

    def click(self, at: Pixel, button: Literal["left", "right"] = "left") -> None:
        """Click on a pixel of the image and wait for the answer."""
        with self.page.expect_response("**/prompts"):
            self.page.locator("#canvas").click(position=self.point(at), button=button)
        self.settled()

    def drag(self, start: Pixel, *way: Pixel) -> None:
        """Draw through pixels of the image and wait for the answer."""
        box = self.page.locator("#canvas").bounding_box()
        mouse = self.page.mouse
        first, *others = [self.point(at) for at in (start, *way)]
        mouse.move(box["x"] + first["x"], box["y"] + first["y"])
        mouse.down()
        for to in others:
            mouse.move(box["x"] + to["x"], box["y"] + to["y"], steps=6)
        with self.page.expect_response("**/prompts"):
            mouse.up()
        self.settled()

    def key(self, key: str, waits_for: str | None = None) -> None:
        """Press a key; wait for the answer of a route if one is named."""
        if waits_for is None:
            self.page.keyboard.press(key)
        else:
            with self.page.expect_response(waits_for):
                self.page.keyboard.press(key)
        self.settled()

    @property
    def drawn(self) -> str:
        """All that the canvas shows, to compare with later."""
        found: str = self.page.evaluate("document.querySelector('canvas.layer').toDataURL()")
        return found

    def colour(self, at: Pixel) -> tuple[int, ...]:
        """Return the colour of the image with its masks at a pixel."""
        found: list[int] = self.page.evaluate(_COLOUR, self.point(at))
        return tuple(found)

    def is_grey(self, at: Pixel) -> bool:
        """Return whether no mask covers a pixel: the phantoms have no colour."""
        red, green, blue = self.colour(at)
        return red == green == blue

    def until(self, is_so: Callable[[], bool], what: str) -> None:
        """Wait until the page shows something: answers and pictures come when they come."""
        ends = time.monotonic() + PATIENCE
        while not is_so():
            assert time.monotonic() < ends, f"the page does not show {what}"
            self.page.wait_for_timeout(20)

    def covered(self, *places: Pixel) -> None:
        """Wait until masks cover pixels."""
        self.until(lambda: not any(map(self.is_grey, places)), f"masks at {places}")

    def bare(self, *places: Pixel) -> None:
        """Wait until no mask covers pixels."""
        self.until(lambda: all(map(self.is_grey, places)), f"no mask at {places}")

    def note(self, text: str) -> None:
        """Wait for a message."""
        self.page.locator(".note").filter(has_text=text).first.wait_for()
