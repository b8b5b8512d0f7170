"""From a click in the browser until its mask is on the screen: part of `make speed`.

Starts `medprism annotate` on made-up pictures in a process of its own, opens them in Chromium and
clicks. A click counts from the moment the button is let go until the frame after the one in which
the page drew the answer: what is shown includes one frame more than a person waits for.

Nobody clicks on an image before having seen it: the simulated person looks at one that was just
opened for half a second before the first click. Meanwhile the server encodes it.
"""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import cv2
import numpy as np
import typer

from benchmarks.canvas import PLACE
from benchmarks.server_process import running_server
from medprism.core.randomness import counter_rng

if TYPE_CHECKING:
    from playwright.sync_api import Page

GOAL_MS: Final = 150.0
SHAPE: Final = (256, 256)
# Where the ellipse lies; clicks are drawn inside and around it.
CENTRE, RADII = (118, 150), (52, 66)
CLICKS: Final = 8
# How long a person looks at an image that was just opened.
LOOK_SECONDS: Final = 0.5

# Notes, for every answered prompt, when the button was let go and when the mask was seen.
_STOPWATCH: Final = """
window.seen = [];
let released = 0, sent = 0, received = 0, calculated = 0, isAnswered = false;
addEventListener("pointerup", (event) => { released = event.timeStamp; }, true);
const { fetch } = window;
window.fetch = function (address, ...more) {
  if (String(address).endsWith("/prompts")) sent = performance.now();
  return fetch.call(this, address, ...more);
};
const { json } = Response.prototype;
Response.prototype.json = async function () {
  const body = await json.call(this);
  if (this.url.endsWith("/prompts")) {
    [isAnswered, received, calculated] = [true, performance.now(), body.milliseconds];
  }
  return body;
};
const { clearRect } = CanvasRenderingContext2D.prototype;
CanvasRenderingContext2D.prototype.clearRect = function (...box) {
  clearRect.apply(this, box);
  if (!isAnswered || this.canvas.id === "canvas") return;
  isAnswered = false;
  requestAnimationFrame(() => {
    window.seen.push([performance.now() - released, received - sent, calculated]);
  });
};
"""

_SEEN: Final = """(before) => new Promise((resolve, reject) => {
  const started = performance.now();
  const look = () => {
    if (window.seen.length > before) resolve(window.seen.at(-1));
    else if (performance.now() - started > 30000) reject(new Error("no mask came"));
    else setTimeout(look, 10);
  };
  look();
})"""


@dataclass(frozen=True)
class Timing:
    """One part of the way of a click: median, 95th percentile and longest, in milliseconds."""

    what: str
    p50_ms: float
    p95_ms: float
    longest_ms: float


def write_pictures(folder: Path, count: int) -> None:
    """Write shaded pictures with a bright ellipse."""
    rows, cols = np.mgrid[: SHAPE[0], : SHAPE[1]]
    inside = ((rows - CENTRE[0]) / RADII[0]) ** 2 + ((cols - CENTRE[1]) / RADII[1]) ** 2 < 1
    for number in range(count):
        noise = counter_rng(number, "clicks").normal(0, 9, SHAPE)
        shaded = np.clip(50 + rows / 6 + 80 * inside + noise, 0, 255).astype(np.uint8)
        cv2.imwrite(str(folder / f"{number:03}.png"), shaded)


def places(number: int) -> Iterator[tuple[int, int, bool]]:
    """Yield where to click on a picture: row, column, whether it adds."""
    rng = counter_rng(number, "places")
    for click in range(CLICKS):
        angle, is_inside = rng.uniform(0, 2 * np.pi), click % 3 != 2
        far = rng.uniform(0, 0.8) if is_inside else rng.uniform(1.1, 1.4)
        yield (
            round(CENTRE[0] + far * RADII[0] * np.sin(angle)),
            round(CENTRE[1] + far * RADII[1] * np.cos(angle)),
            is_inside,
        )


def click_through(page: Page, pictures: int) -> list[list[float]]:
    """Open each picture, click on it several times, and return what was timed for each click."""
    timed: list[list[float]] = []
    for number in range(pictures):
        page.get_by_role("list", name="Images", exact=True).get_by_role(
            "button", name=f"{number:03}.png"
        ).click()
        page.locator(".caption-name").filter(has_text=f"{number:03}.png").wait_for()
        page.locator("#canvas-area[data-state=ready]").wait_for()
        if number == 0:
            page.get_by_role("combobox", name="Add a label").fill("ellipse")
            page.get_by_role("option", name="ellipse").first.click()
        page.wait_for_timeout(1000 * LOOK_SECONDS)
        for row, col, adds in places(number):
            at = page.evaluate(PLACE, [*SHAPE, row, col])
            before = page.evaluate("window.seen.length")
            page.mouse.click(at["x"], at["y"], button="left" if adds else "right")
            timed.append(page.evaluate(_SEEN, before))
    return timed


def measure(model: str, pictures: int) -> tuple[int, list[Timing]]:
    """Return the number of clicks after the warm-up, and what each part of them took."""
    from playwright.sync_api import sync_playwright

    found = shutil.which("chromium") or shutil.which("chromium-browser")
    with tempfile.TemporaryDirectory() as name, sync_playwright() as driver:
        write_pictures(Path(name), pictures + 1)
        with running_server(Path(name), model) as server:
            browser = driver.chromium.launch(executable_path=found, args=["--no-sandbox"])
            context = browser.new_context(viewport={"width": 1280, "height": 720})
            context.add_init_script("localStorage.setItem('medprism.tour', 'seen')")
            context.add_init_script(_STOPWATCH)
            page = context.new_page()
            page.set_default_timeout(60_000)
            page.goto(f"{server.address}/#token={server.token}")
            page.get_by_role("button", name="Begin").wait_for()
            # The first picture warms up the model and the browser.
            timed = click_through(page, pictures + 1)[CLICKS:]
            browser.close()
    columns = {
        "click until its mask is on the screen": [one[0] for one in timed],
        "of it the request": [one[1] for one in timed],
        "of it calculated by the server": [one[2] for one in timed],
    }
    timings = [
        Timing(
            what,
            round(float(np.percentile(values, 50)), 1),
            round(float(np.percentile(values, 95)), 1),
            round(max(values), 1),
        )
        for what, values in columns.items()
    ]
    return len(timed), timings


def main(
    model: Annotated[str, typer.Option(help="Preset, or path of a checkpoint.")] = "kprism-compact",
    pictures: Annotated[int, typer.Option(help="Pictures, with eight clicks each.")] = 12,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Time clicks in the browser on pictures of 256 x 256; the goal is a p95 below 150 ms."""
    if shutil.which("chromium") is None and shutil.which("chromium-browser") is None:
        typer.echo("clicks in the browser: not measured, Chromium is not installed")
        return
    clicks, timings = measure(model, pictures)
    load = os.getloadavg()[0]
    if as_json:
        document: dict[str, Any] = {
            "model": Path(model).name,
            "clicks": clicks,
            "goal_ms": GOAL_MS,
            "look_seconds": LOOK_SECONDS,
            "load": round(load, 2),
            "timings": [asdict(timing) for timing in timings],
        }
        typer.echo(json.dumps(document, indent=1))
        return
    typer.echo(
        f"\n{clicks} clicks in Chromium on pictures of {SHAPE[0]} x {SHAPE[1]}, the first on each "
        f"after a look of {LOOK_SECONDS:g} s at it, load {load:.1f}\n\n"
        "| what | p50 ms | p95 ms | longest ms |\n|---|--:|--:|--:|"
    )
    for timing in timings:
        typer.echo(
            f"| {timing.what} | {timing.p50_ms:.1f} | {timing.p95_ms:.1f} | "
            f"{timing.longest_ms:.1f} |"
        )


if __name__ == "__main__":
    typer.run(main)
