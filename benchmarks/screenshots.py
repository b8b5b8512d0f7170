"""The pictures of docs/workbench.md, taken anew: `python -m benchmarks.screenshots --out docs`.

Images are those that dependencies ship (a retina of scikit-image, the MNI152 template of nilearn);
the server is `medprism annotate` with the shipped checkpoint, the browser Chromium.
"""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import cv2
import numpy as np
import typer

from benchmarks.annotator import Annotator
from benchmarks.canvas import PLACE
from benchmarks.server_process import RunningServer, running_server
from medprism.apps.demo.samples import picture_of, write_brain
from medprism.core.labels import encode_runs
from medprism.io.reader import read_image

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

WIDE: Final = {"width": 1280, "height": 720}
TABLET: Final = {"width": 1024, "height": 768}
SLICES: Final = 10


class Studio:
    """A running server with images, a browser, and where pictures go."""

    def __init__(
        self, server: RunningServer, browser: Browser, out: Path, truth: dict[str, np.ndarray]
    ) -> None:
        self.server = server
        self.truth = truth
        self._browser = browser
        self._out = out
        self.annotator = Annotator(server, "Ada")

    def page(self, author: str = "Ada", *, theme: str = "light", tour: bool = False) -> Page:
        """Open the page at the size of a small laptop."""
        return self._visit(author, theme, tour, viewport=WIDE)

    def tablet(self, theme: str) -> Page:
        """Open the page as a tablet does."""
        return self._visit("Ada", theme, False, viewport=TABLET, has_touch=True)

    def shoot(self, page: Page, name: str) -> None:
        """Take a picture when nothing moves any more, and leave the page."""
        page.mouse.move(2, 400)
        page.wait_for_timeout(1500)
        for _ in range(100):
            if page.evaluate("[...document.images].every((one) => one.naturalWidth > 0)"):
                break
            page.wait_for_timeout(100)
        path = self._out / name
        if path.suffix == ".jpg":
            page.screenshot(path=path, type="jpeg", quality=84)
        else:
            page.screenshot(path=path)
        page.context.close()

    def _visit(self, author: str, theme: str, tour: bool, **wishes: Any) -> Page:  # noqa: ANN401
        context = self._browser.new_context(color_scheme=theme, **wishes)
        context.add_init_script(f"localStorage.setItem('medprism.author', '{author}')")
        if not tour:
            context.add_init_script("localStorage.setItem('medprism.tour', 'seen')")
        page = context.new_page()
        page.set_default_timeout(120_000)
        page.goto(f"{self.server.address}/#token={self.server.token}")
        page.get_by_role("button", name="Begin").wait_for()
        return page


def open_image(page: Page, name: str) -> None:
    """Open an image and wait until it can be worked on."""
    listed = page.get_by_role("list", name="Images", exact=True)
    listed.get_by_role("button", name=name).first.click()
    page.locator(".caption-name").filter(has_text=name).wait_for()
    page.locator("#canvas-area[data-state=ready]").wait_for()
    page.locator(".busy:not(.is-busy)").wait_for(state="attached")


def choose(page: Page, label: str) -> None:
    """Make a label, or choose it."""
    known = page.get_by_role("list", name="Labels", exact=True).locator(".label-name")
    if known.filter(has_text=label).count():
        known.filter(has_text=label).first.click()
        return
    page.get_by_role("combobox", name="Add a label").fill(label)
    page.locator("#label-options").get_by_role("option", name=label).first.click()
    page.get_by_role("button", name=label).first.wait_for()
    page.locator(".busy:not(.is-busy)").wait_for(state="attached")


def click(page: Page, shape: tuple[int, int], *places: tuple[int, int, bool]) -> None:
    """Click on pixels of an image; the right button takes away."""
    for row, col, adds in places:
        at = page.evaluate(PLACE, [*shape, row, col])
        with page.expect_response("**/prompts"):
            page.mouse.click(at["x"], at["y"], button="left" if adds else "right")


def write_images(folder: Path) -> dict[str, np.ndarray]:
    """Write the volume, its slices as pictures and a retina; return the slices' true tissues."""
    with tempfile.TemporaryDirectory() as scratch:
        brain = write_brain(Path(scratch) / "brain.nii.gz")
        shutil.copy(brain.path, folder / "template.nii.gz")
    voxels = read_image(folder / "template.nii.gz").voxels
    for number in range(min(SLICES, len(voxels))):
        cv2.imwrite(str(folder / f"slice-{number:02}.png"), voxels[number, :, :, 0])
    shutil.copy(picture_of("skimage", "data", "retina.jpg"), folder / "retina.jpg")
    return brain.truth


def accept_slices(studio: Studio, truth: np.ndarray) -> None:
    """Accept the true grey matter of all slices but the first two, as pages do it."""
    images = studio.annotator.ask("GET", "/api/images?query=slice-")["images"]
    for number, image in list(enumerate(images))[2:]:
        session = studio.annotator.ask("POST", "/api/sessions", {"image": image["id"]})["session"]
        mask = {"shape": list(truth[number].shape), "runs": encode_runs(truth[number])}
        prompt = {"kind": "mask", "label": "grey matter", "mask": mask}
        studio.annotator.ask("POST", f"/api/sessions/{session}/prompts", prompt)
        studio.annotator.ask("POST", f"/api/sessions/{session}/accept", {"labels": ["grey matter"]})
        studio.annotator.ask("DELETE", f"/api/sessions/{session}")


def deepest(mask: np.ndarray) -> tuple[tuple[int, int], tuple[int, int]]:
    """Return the pixel farthest from the mask's border in its left half, and in its right one."""
    middle = mask.shape[1] // 2
    found = []
    for keep in (slice(None, middle), slice(middle, None)):
        half = np.zeros(mask.shape, np.uint8)
        half[:, keep] = mask[:, keep]
        distance = cv2.distanceTransform(half, cv2.DIST_L2, 5)
        row, col = np.unravel_index(int(distance.argmax()), mask.shape)
        found.append((int(row), int(col)))
    return found[0], found[1]


def take_tour(studio: Studio) -> None:
    """The first of the five steps."""
    page = studio.page(tour=True)
    page.get_by_role("dialog", name="Choose an image").wait_for()
    studio.shoot(page, "workbench-tour.png")


def take_work(studio: Studio) -> None:
    """Clicks on a slice."""
    page = studio.page()
    open_image(page, "slice-00.png")
    choose(page, "white matter")
    left, right = deepest(studio.truth["white matter"][0])
    click(page, studio_shape(studio, "slice-00.png"), (*left, True), (*right, True))
    studio.shoot(page, "workbench.png")


def take_in_use(studio: Studio) -> None:
    """An image that somebody else works on."""
    page = studio.page("Grace", theme="dark")
    ada = studio.annotator.ask("GET", "/api/images?query=retina")["images"][0]["id"]
    studio.annotator.ask("POST", "/api/sessions", {"image": ada, "take_over": True})
    page.get_by_role("button", name="Look for new files").click()
    page.get_by_role("list", name="Images", exact=True).get_by_role(
        "button", name="retina.jpg"
    ).click()
    page.get_by_role("alertdialog").wait_for()
    page.get_by_role("button", name="Close the message").click()
    studio.shoot(page, "workbench-in-use.jpg")


def take_volume(studio: Studio) -> None:
    """A propagation, at its least certain slice."""
    page = studio.page(theme="dark")
    open_image(page, "template.nii.gz")
    choose(page, "white matter")
    planes = studio.truth["white matter"]
    left, right = deepest(planes[len(planes) // 2])
    click(page, studio_shape(studio, "template.nii.gz"), (*left, True), (*right, True))
    page.get_by_role("button", name="Propagate").click()
    page.locator(".note").filter(has_text="least certain").wait_for()
    studio.shoot(page, "workbench-volume.png")


def take_training(studio: Studio) -> None:
    """What a training of a minute and a half brought."""
    page = studio.page()
    choose(page, "grey matter")
    page.get_by_role("button", name="Train a class").click()
    dialog = page.get_by_role("dialog", name="Train a class")
    dialog.get_by_role("spinbutton", name="Minutes").fill("1.5")
    dialog.get_by_role("button", name="Train grey matter").click()
    dialog.get_by_role("table").wait_for(timeout=600_000)
    studio.shoot(page, "workbench-training.png")


def take_tablet(studio: Studio) -> None:
    """A retina on a tablet, its optic disc found by name."""
    page = studio.tablet("dark")
    page.get_by_role("button", name="Images", exact=True).tap()
    open_image(page, "retina.jpg")
    choose(page, "optic disc")
    page.locator(".label-note").filter(has_text="px").first.wait_for()
    # What the references of another kind of image find here is beside the point.
    page.get_by_role("button", name="Hide grey matter").click()
    studio.shoot(page, "workbench-tablet.jpg")


PICTURES: Final[dict[str, Callable[[Studio], None]]] = {
    "tour": take_tour,
    "work": take_work,
    "volume": take_volume,
    "tablet": take_tablet,
    "in-use": take_in_use,
    "training": take_training,
}


def studio_shape(studio: Studio, name: str) -> tuple[int, int]:
    """Return height and width of an image."""
    number = studio.annotator.ask("GET", f"/api/images?query={name}")["images"][0]["id"]
    image = studio.annotator.ask("GET", f"/api/images/{number}")
    return image["height"], image["width"]


def main(
    out: Annotated[Path, typer.Option(help="Folder for the pictures.")] = Path("docs"),
    only: Annotated[str, typer.Option(help="Names, separated by commas; all by default.")] = "",
    model: Annotated[str, typer.Option(help="Preset, or path of a checkpoint.")] = "kprism-compact",
) -> None:
    """Take the pictures of the workbench."""
    from playwright.sync_api import sync_playwright

    wanted = only.split(",") if only else list(PICTURES)
    found = shutil.which("chromium") or shutil.which("chromium-browser")
    with tempfile.TemporaryDirectory() as name, sync_playwright() as driver:
        folder = Path(name) / "examples"
        folder.mkdir()
        truth = write_images(folder)
        with running_server(folder, model) as server:
            browser = driver.chromium.launch(executable_path=found, args=["--no-sandbox"])
            studio = Studio(server, browser, out, truth)
            accept_slices(studio, truth["grey matter"])
            for one in wanted:
                started = time.monotonic()
                PICTURES[one](studio)
                typer.echo(f"{one}: {time.monotonic() - started:.0f} s", err=True)
            browser.close()


if __name__ == "__main__":
    typer.run(main)
