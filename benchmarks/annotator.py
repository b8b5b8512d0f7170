"""One person at the workbench's server: what the browser's buttons send, and nothing else."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Final

import httpx
import numpy as np

from benchmarks.server_process import RunningServer
from medprism.core.errors import MedprismError
from medprism.core.labels import decode_runs, encode_runs
from medprism.core.prompt import Click, Mask2d

Json = dict[str, Any]

# Files sent in one request.
_BATCH: Final = 20
# Seconds between two looks at a job.
_LOOK_EVERY: Final = 0.2


class Annotator:
    """A client that shows the token and a name; every refusal of the server is an error."""

    def __init__(self, server: RunningServer, name: str = "simulated user") -> None:
        headers = {"Authorization": f"Bearer {server.token}", "X-Author": name}
        self._client = httpx.Client(base_url=server.address, headers=headers, timeout=900)

    def __enter__(self) -> Annotator:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._client.close()

    def ask(self, method: str, path: str, body: Json | None = None, **more: Any) -> Any:  # noqa: ANN401
        """Return the document that a request is answered with, None where there is none.

        Raises:
            MedprismError: the server refused; its own sentence is in the message.
        """
        answer = self._client.request(method, path, json=body, **more)
        if answer.is_error:
            raise MedprismError(
                f"{method} {path} was answered with {answer.status_code}: {answer.text}"
            )
        return answer.json() if answer.content else None

    def change_settings(self, **settings: bool | int | str) -> None:
        """Change settings of the project."""
        self.ask("PATCH", "/api/settings", settings)

    def add_images(self, files: Sequence[tuple[str, Path]]) -> list[int]:
        """Upload files under the names given and return their numbers, in the same order.

        Raises:
            MedprismError: the server refused one.
        """
        numbers: dict[str, int] = {}
        for start in range(0, len(files), _BATCH):
            parts = [
                ("files", (name, path.read_bytes())) for name, path in files[start : start + _BATCH]
            ]
            report = self.ask("POST", "/api/images", files=parts)
            if report["refused"]:
                raise MedprismError(f"the server refused {report['refused'][0]}")
            numbers.update({Path(one["name"]).name: one["id"] for one in report["added"]})
        return [numbers[name] for name, _ in files]

    def open(self, image: int) -> Json:
        """Open an image, pre-segmented with what the project knows; return the session's state."""
        state: Json = self.ask("POST", "/api/sessions", {"image": image, "presegment": True})
        return state

    def go_on(self, state: Json) -> Json | None:
        """End a session and open the next image of the list; None if all are done."""
        following: Json = self.ask("POST", f"{_path(state)}/next", {"order": "list"})
        return None if following["session"] is None else following

    def close(self, state: Json) -> None:
        """End a session."""
        self.ask("DELETE", _path(state))

    def mask(self, state: Json, label: str) -> Mask2d | None:
        """Return what is found of a label on the open image, None if nobody asked for it."""
        masks = self.ask("GET", f"{_path(state)}/masks")["masks"]
        return _unpack(masks[label]) if label in masks else None

    def click(self, state: Json, label: str, click: Click) -> Mask2d:
        """Click and return the mask that comes back."""
        prompt = {
            "kind": "point",
            "label": label,
            "row": click.row,
            "col": click.col,
            "is_positive": click.is_positive,
        }
        answer = self.ask("POST", f"{_path(state)}/prompts", prompt)
        return _unpack(answer["masks"][label])

    def draw(self, state: Json, label: str, mask: Mask2d) -> None:
        """Make a mask that was drawn by hand the label's mask."""
        runs = {"shape": list(mask.shape), "runs": encode_runs(mask)}
        prompt = {"kind": "mask", "label": label, "mask": runs}
        self.ask("POST", f"{_path(state)}/prompts", prompt)

    def accept(self, state: Json, label: str, *, as_reference: bool) -> None:
        """Accept the label's mask; the image is done."""
        body = {"labels": [label], "as_reference": as_reference}
        self.ask("POST", f"{_path(state)}/accept", body)

    def unlock(self, state: Json, label: str) -> None:
        """Let a label that was accepted be changed again."""
        self.ask("POST", f"{_path(state)}/locks", {"label": label, "is_locked": False})

    def predict(self, state: Json, name: str) -> None:
        """Ask for a class of the model by its name."""
        self.ask("POST", f"{_path(state)}/predict", {"classes": [name]})

    def step(self, state: Json, direction: str) -> None:
        """Take the last step back ("undo") or do it again ("redo")."""
        self.ask("POST", f"{_path(state)}/{direction}", {})

    def run_job(self, **what: Any) -> Json:  # noqa: ANN401
        """Start a job, wait until it has ended, and return it.

        Raises:
            MedprismError: it failed; its own sentence is in the message.
        """
        job: Json = self.ask("POST", "/api/jobs", what)
        while job["state"] in ("queued", "running"):
            time.sleep(_LOOK_EVERY)
            job = self.ask("GET", f"/api/jobs/{job['id']}")
        if job["state"] != "done":
            raise MedprismError(f"job {what} is {job['state']}: {job['message']}")
        return job

    def fetch(self, path: str) -> bytes:
        """Return the bytes that a request is answered with.

        Raises:
            MedprismError: the server refused.
        """
        answer = self._client.get(path)
        if answer.is_error:
            raise MedprismError(f"GET {path} was answered with {answer.status_code}")
        return answer.content

    def skip(self, state: Json, reason: str) -> None:
        """Leave the image without a mask; this ends the session."""
        self.ask("POST", f"{_path(state)}/skip", {"reason": reason})


def _path(state: Json) -> str:
    return f"/api/sessions/{state['session']}"


def _unpack(mask: Json) -> Mask2d:
    height, width = mask["shape"]
    return np.asarray(decode_runs(mask["runs"], (height, width)))
