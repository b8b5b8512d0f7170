"""A server with a weight-free model on phantoms, and a page that shows it."""

from __future__ import annotations

import shutil
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import httpx
import nibabel as nib
import numpy as np
import pytest

from medprism.engines.loaded import LoadedModel
from tests.browser.desk import PATIENCE
from tests.inference.fake_segmenter import fake_model
from tests.inference.phantom import scene, volume

if TYPE_CHECKING:
    from playwright.sync_api import Browser, BrowserContext, Page

TOKEN = "browser-tests-0123456789"
PICTURES = 3
# Stored larger than the phantom, so that a click is far from a structure's border.
ENLARGED = 2


class Server:
    """A workbench over a folder that can be stopped, and started again on the same port."""

    def __init__(self, folder: Path, model: LoadedModel) -> None:
        self.folder = folder
        self.model = model
        self.port = _free_port()
        self._running: tuple[Any, threading.Thread] | None = None

    @property
    def address(self) -> str:
        """The address without the token."""
        return f"http://127.0.0.1:{self.port}/"

    def start(self) -> None:
        """Serve the folder; return when it answers."""
        import uvicorn

        from medprism.apps.workbench.app import create_app
        from medprism.apps.workbench.settings import WorkbenchSettings
        from medprism.apps.workbench.workbench import Workbench
        from medprism.project.project import Project

        project = Project(self.folder)
        project.scan()
        settings = WorkbenchSettings(port=self.port, token=TOKEN, author="Ada")
        self.bench = Workbench(project, self.model, settings)
        app = create_app(self.bench)
        # Browsers keep connections open that no request uses; one second is enough for the rest.
        config = uvicorn.Config(
            app, port=self.port, log_level="error", ws="none", timeout_graceful_shutdown=1
        )
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run, daemon=True)
        thread.start()
        _wait_until(lambda: server.started)
        self._running = server, thread

    def accepted(self, image: int = 1) -> list[dict[str, Any]]:
        """Return what was accepted on an image, as the server says it."""
        found: list[dict[str, Any]] = self.ask(f"/api/images/{image}/accepted")["accepted"]
        return found

    def ask(self, path: str) -> Any:  # noqa: ANN401
        """Return the document of a route."""
        headers = {"Authorization": f"Bearer {TOKEN}"}
        answer = httpx.get(f"{self.address.rstrip('/')}{path}", headers=headers, timeout=20)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def stop(self) -> None:
        """End it as Ctrl+C does."""
        if self._running is None:
            return
        server, thread = self._running
        server.should_exit = True
        thread.join(20)
        assert not thread.is_alive()
        self._running = None


def write_images(folder: Path) -> None:
    """Write pictures, a volume and a damaged file."""
    for index in range(PICTURES):
        picture, _ = scene(index, shift=2 * index)
        cv2.imwrite(str(folder / f"picture-{index}.png"), _enlarge(picture))
    stack, _ = volume()
    # NIfTI's axes are the other way round than those of the slices.
    voxels = np.ascontiguousarray(stack.transpose(2, 1, 0))
    saving: Any = nib
    saving.save(
        saving.Nifti1Image(voxels, np.diag([-1.0, -1.0, 3.0, 1.0])), folder / "stack.nii.gz"
    )
    whole = (folder / "picture-0.png").read_bytes()
    (folder / "torn.png").write_bytes(whole[: len(whole) // 2])


@pytest.fixture(scope="session")
def chromium() -> Iterator[Browser]:
    """The browser; tests are skipped where it is not installed."""
    found = shutil.which("chromium") or shutil.which("chromium-browser")
    if found is None:
        pytest.skip("chromium is not installed: apt-get install chromium")
    api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    with api.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=found, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def model() -> LoadedModel:
    """The model of the server; files of tests may have one of their own."""
    return fake_model()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The images of the server; files of tests may have others."""
    made = tmp_path / "phantoms"
    made.mkdir()
    write_images(made)
    return made


@pytest.fixture
def server(folder: Path, model: LoadedModel) -> Iterator[Server]:
    """A server on its own folder."""
    running = Server(folder, model)
    running.start()
    yield running
    running.stop()


Browse = Callable[..., "Page"]


@pytest.fixture
def browse(chromium: Browser, server: Server) -> Iterator[Browse]:
    """Return what opens a page of its own; a mistake of its script fails the test.

    `author` is who works there, `sees_tour` whether it is the first visit, `at` the address of
    another server, `fragment` what stands behind it; all else is for Playwright's context.
    """
    contexts: list[BrowserContext] = []
    mistakes: list[str] = []

    def start(
        author: str = "",
        *,
        sees_tour: bool = False,
        at: str | None = None,
        fragment: str = f"token={TOKEN}",
        **wishes: Any,  # noqa: ANN401
    ) -> Page:
        context = chromium.new_context(**{"viewport": {"width": 1280, "height": 720}, **wishes})
        contexts.append(context)
        if not sees_tour:
            context.add_init_script("localStorage.setItem('medprism.tour', 'seen')")
        if author:
            context.add_init_script(f"localStorage.setItem('medprism.author', '{author}')")
        shown = context.new_page()
        shown.set_default_timeout(1000 * PATIENCE)
        shown.on("pageerror", lambda error: mistakes.append(str(error)))
        shown.goto(f"{at or server.address}#{fragment}")
        return shown

    yield start
    for context in contexts:
        context.close()
    assert mistakes == []


@pytest.fixture
def page(browse: Browse) -> Page:
    """A page that is signed in and has seen the tour."""
    shown = browse()
    shown.get_by_role("button", name="Begin").wait_for()
    return shown


def _enlarge(picture: np.ndarray) -> np.ndarray:
    return picture.repeat(ENLARGED, 0).repeat(ENLARGED, 1)


def _free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def _wait_until(is_so: Callable[[], bool], seconds: float = 20.0) -> None:
    ends = time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < ends
        time.sleep(0.02)
