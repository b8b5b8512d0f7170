"""A real server in a thread, on a folder of small pictures, with a model of brightness."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import httpx
import nibabel as nib
import numpy as np
import pytest

from medprism.apps.workbench.app import create_app
from medprism.apps.workbench.serve import listen, make_server
from medprism.apps.workbench.settings import WorkbenchSettings
from medprism.apps.workbench.workbench import Workbench
from medprism.core.labels import decode_runs
from medprism.engines.loaded import LoadedModel
from medprism.project.project import Project
from medprism.training.finetune import FineTuneConfig
from tests.inference.fake_segmenter import fake_model
from tests.inference.phantom import scene, volume

TOKEN = "0123456789abcdef0123"
PICTURES = 4
VOLUME = PICTURES + 1
SETTINGS = WorkbenchSettings(
    token=TOKEN, author="annotator", autosave_seconds=0.05, wrong_token_seconds=0.0
)

Json = dict[str, Any]


class Desk:
    """One person at the server: a client that shows the token and a name."""

    def __init__(self, client: httpx.Client, name: str = "Ada") -> None:
        self.client = client
        self.headers = {"Authorization": f"Bearer {TOKEN}", "X-Author": name}

    def ask(self, method: str, path: str, status: int = 200, **more: Any) -> Any:  # noqa: ANN401
        """Return the document that a request is answered with; the status must be as expected."""
        answer = self.client.request(method, path, headers=self.headers, **more)
        assert answer.status_code == status, f"{method} {path}: {answer.status_code} {answer.text}"
        if status == 204:
            return None
        if method == "HEAD":
            return answer
        is_json = answer.headers.get("content-type", "").startswith("application/json")
        return answer.json() if is_json else answer

    def get(self, path: str, status: int = 200, **more: Any) -> Any:  # noqa: ANN401
        return self.ask("GET", path, status, **more)

    def post(self, path: str, body: Json | None = None, status: int = 200) -> Any:  # noqa: ANN401
        return self.ask("POST", path, status, json={} if body is None else body)

    def open(self, image: int, **wishes: bool) -> str:
        """Open an image and return the path of its session."""
        state = self.post("/api/sessions", {"image": image, **wishes}, 201)
        return f"/api/sessions/{state['session']}"

    def click(self, session: str, row: int, col: int, label: str = "thing", **more: Any) -> Json:  # noqa: ANN401
        prompt = {"kind": "point", "label": label, "row": row, "col": col, **more}
        answer: Json = self.post(f"{session}/prompts", prompt)
        return answer

    def finish(self, job: int) -> Json:
        """Wait until a job has ended and return it."""
        for _ in range(400):
            shown: Json = self.get(f"/api/jobs/{job}")
            if shown["state"] not in ("queued", "running"):
                return shown
            time.sleep(0.02)
        raise AssertionError(f"job {job} does not end")


def unpack(mask: Json) -> np.ndarray:
    """Return the mask of an answer."""
    return decode_runs(mask["runs"], tuple(mask["shape"]))


def write_images(root: Path) -> Path:
    """Write four pictures and a volume."""
    root.mkdir()
    for number in range(PICTURES):
        assert cv2.imwrite(str(root / f"{number}.png"), scene(number, shift=4 * number)[0])
    stack = np.ascontiguousarray(volume()[0].transpose(2, 1, 0))
    nib.save(nib.Nifti1Image(stack, np.diag([0.8, 0.9, 4.0, 1.0])), root / "scan.nii.gz")
    return root


class Live:
    """A server that listens on a free port until it is ended."""

    def __init__(
        self,
        images: Path,
        model: LoadedModel,
        settings: WorkbenchSettings,
        training: FineTuneConfig | None = None,
    ) -> None:
        self.project = Project(images, lease_seconds=settings.lease_seconds)
        self.project.scan()
        self.socket = listen(replace(settings, port=0))
        self.address = f"http://127.0.0.1:{self.socket.getsockname()[1]}"
        self.bench = Workbench(self.project, model, settings)
        if training is not None:
            # Before it starts: a job of an earlier server is gone on with at once.
            self.bench.trainer.config = training
        self.app = create_app(self.bench)
        self.server = make_server(self.app)
        self.thread = threading.Thread(
            target=self.server.run, kwargs={"sockets": [self.socket]}, daemon=True
        )
        self.thread.start()
        while not self.server.started:
            assert self.thread.is_alive()
            time.sleep(0.005)
        self.client = httpx.Client(base_url=self.address, timeout=30)

    def end(self) -> None:
        """End it as Ctrl-C does."""
        self.client.close()
        self.server.should_exit = True
        self.thread.join(timeout=20)
        assert not self.thread.is_alive()
        self.socket.close()


Serve = Callable[..., Live]


@pytest.fixture
def images(tmp_path: Path) -> Path:
    return write_images(tmp_path / "images")


@pytest.fixture
def serve(images: Path) -> Iterator[Serve]:
    """Return what starts a server on the folder; starting another one ends the first."""
    running: list[Live] = []

    def start(model: LoadedModel | None = None, **changes: Any) -> Live:  # noqa: ANN401
        while running:
            running.pop().end()
        running.append(Live(images, model or fake_model(), replace(SETTINGS, **changes)))
        return running[0]

    yield start
    while running:
        running.pop().end()


@pytest.fixture
def live(serve: Serve) -> Live:
    """Return a server."""
    return serve()


@pytest.fixture
def desk(live: Live) -> Desk:
    """Return Ada's desk."""
    return Desk(live.client)
