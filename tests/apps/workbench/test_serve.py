"""The program itself, in a process of its own, with a tiny untrained model."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import httpx
import numpy as np
import pytest

from medprism.apps.workbench.serve import address_of, listen
from medprism.apps.workbench.settings import WorkbenchSettings
from medprism.core.errors import ConfigError
from medprism.project.project import Project
from medprism.project.shelf import ImageShelf
from tests.apps.conftest import Command
from tests.apps.workbench.conftest import TOKEN, unpack, write_images
from tests.untrained import save_untrained


class Program:
    """`medprism annotate` as it is started by hand."""

    def __init__(self, folder: Path, model: Path, *options: str) -> None:
        command = [sys.executable, "-m", "medprism.apps.cli", "annotate", str(folder)]
        self.process = subprocess.Popen(
            [*command, "--port", "0", "--no-browser", "--model", str(model), *options],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONUNBUFFERED": "1", "OMP_NUM_THREADS": "1"},
            # A shell in the background hands an ignored SIGINT on.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        )
        assert self.process.stdout is not None
        self.said: list[str] = []
        while not self.said or not self.said[-1].startswith("open "):
            line = self.process.stdout.readline()
            assert line, self.process.communicate()[1]
            self.said.append(line)
        found = re.match(r"open (http://[^/]+/)#token=(\S+)", self.said[-1])
        assert found is not None
        headers = {"Authorization": f"Bearer {found[2]}", "X-Author": "Ada"}
        self.client = httpx.Client(base_url=found[1], headers=headers, timeout=30)
        self.token = found[2]
        for _ in range(200):
            try:
                self.client.get("/healthz")
                break
            except httpx.ConnectError:
                threading.Event().wait(0.05)

    def end(self, number: int) -> tuple[int, str]:
        """Send a signal and return the exit status with what was said on stderr."""
        self.client.close()
        self.process.send_signal(number)
        _, said = self.process.communicate(timeout=30)
        return self.process.returncode, said


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("weights") / "nano.safetensors"
    save_untrained(path)
    return path


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    yield write_images(tmp_path / "images")


def test_work_survives_an_end_and_a_kill_of_the_server(folder: Path, model: Path) -> None:
    program = Program(folder, model)
    assert len(program.token) >= 32
    client = program.client
    assert httpx.get(f"{client.base_url}api/project").status_code == 401
    state = client.post("/api/sessions", json={"image": 1}).json()
    session = f"/api/sessions/{state['session']}"
    click = {"kind": "point", "label": "thing", "row": 30, "col": 30}
    assert client.post(f"{session}/prompts", json=click).status_code == 200
    drawn = {"kind": "brush", "label": "thing", "points": [[10, 10], [20, 40]], "radius": 4}
    mask = client.post(f"{session}/prompts", json=drawn).json()["masks"]["thing"]
    assert unpack(mask)[10, 10]
    status, said = program.end(signal.SIGINT)
    assert status == 130, said
    assert "Traceback" not in said
    # What was not accepted was saved at the end, too.
    program = Program(folder, model)
    client = program.client
    state = client.post("/api/sessions", json={"image": 1}).json()
    session = f"/api/sessions/{state['session']}"
    assert client.get(f"{session}/masks").json()["masks"]["thing"] == mask
    accepted = client.post(f"{session}/accept", json={}).json()["accepted"]
    assert [one["author"] for one in accepted] == ["Ada"]
    assert program.end(signal.SIGKILL)[0] == -signal.SIGKILL
    project = Project(folder)
    (kept,) = project.masks.of(1)
    like = ImageShelf(project).get(1)
    assert np.array_equal(project.masks.read(kept, like), unpack(mask))
    assert project.images.get(1).state == "accepted"
    assert project.works.of(1) is not None
    project.close()


def test_wrong_beginnings_are_one_sentence(
    medprism: Command, tmp_path: Path, folder: Path, model: Path
) -> None:
    common = ("--no-browser", "--model", model)
    taken = socket.create_server(("127.0.0.1", 0))
    port = str(taken.getsockname()[1])
    for arguments, told in (
        ((tmp_path / "nowhere", *common, "--port", "0"), "there is no folder"),
        ((folder, *common, "--port", port), "choose another one with --port"),
        ((folder, *common, "--token", "short"), "can be guessed"),
        ((folder, *common, "--no-token", "--host", "0.0.0.0"), "leave out --no-token"),
        ((folder, *common, "--no-token", "--token", TOKEN), "contradict"),
        ((folder, "--no-browser", "--model", "nothing", "--port", "0"), "neither a file nor"),
    ):
        ended = medprism("annotate", *arguments)
        assert (ended.status, told in ended.err) == (2, True), ended.err
        assert ended.out == ""
    taken.close()


def test_the_token_stands_where_only_the_browser_sees_it() -> None:
    six = WorkbenchSettings(host="::1", port=9, token=TOKEN)
    assert address_of(six) == f"http://[::1]:9/#token={TOKEN}"
    assert address_of(WorkbenchSettings(port=9)) == "http://127.0.0.1:9/"


def test_the_socket_does_not_hold_small_answers_back() -> None:
    listening = listen(WorkbenchSettings(port=0))
    assert listening.proto == socket.IPPROTO_TCP
    with pytest.raises(ConfigError, match="cannot listen"):
        listen(WorkbenchSettings(host="203.0.113.1", port=0, token=TOKEN))
    listening.close()
