"""`medprism annotate` in a process of its own, as it is started by hand, on a free port."""

from __future__ import annotations

import os
import re
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx

from benchmarks.resident_memory import resident_megabytes
from medprism.core.errors import InternalError


@dataclass(frozen=True)
class RunningServer:
    """Where a server listens, the token it wants, and its process."""

    address: str
    token: str
    process_id: int

    def resident_megabytes(self) -> float:
        """Return the resident memory of the process in MB (2**20 bytes), as Linux counts it."""
        return resident_megabytes(self.process_id)

    def processor_seconds(self) -> float:
        """Return the processor time that the process has used."""
        text = Path(f"/proc/{self.process_id}/stat").read_text()
        # The name in brackets may hold spaces.
        fields = text.rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def open_handles(self) -> int:
        """Return how many files, sockets and pipes the process holds open, as Linux lists them."""
        return sum(1 for _ in Path(f"/proc/{self.process_id}/fd").iterdir())


@contextmanager
def running_server(folder: Path, model: str) -> Iterator[RunningServer]:
    """Serve a folder on loopback while the block runs, then end it as Ctrl-C does.

    Raises:
        InternalError: the server does not start; its own words are in the message.
    """
    token = secrets.token_urlsafe(24)
    command = [sys.executable, "-m", "medprism.apps.cli", "annotate", str(folder)]
    process = subprocess.Popen(
        [*command, "--port", "0", "--no-browser", "--token", token, "--model", model],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
        # A shell in the background hands an ignored SIGINT on.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    try:
        address = _wait_until_open(process)
        yield RunningServer(address, token, process.pid)
    finally:
        process.send_signal(signal.SIGINT)
        try:
            process.communicate(timeout=60)
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()


def _wait_until_open(process: subprocess.Popen[str]) -> str:
    said: list[str] = []
    assert process.stdout is not None
    while not said or not said[-1].startswith("open "):
        line = process.stdout.readline()
        if not line:
            raise InternalError(f"the server did not start: {''.join(said).strip()}")
        said.append(line)
    found = re.match(r"open (http://[^/]+)/", said[-1])
    if found is None:
        raise InternalError(f"the server names no address: {said[-1].strip()}")
    while True:
        try:
            httpx.get(f"{found[1]}/healthz")
        except httpx.ConnectError:
            time.sleep(0.05)
        else:
            return found[1]
