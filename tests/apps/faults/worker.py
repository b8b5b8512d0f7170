"""The process of `child.py`, as tests give it orders."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[3]


@dataclass
class Ended:
    """How an order ended; `seconds` is how long it took."""

    status: int = 0
    said: str = ""
    points: int = 0
    seconds: float = 0.0
    told: list[str] = field(default_factory=list)


class Worker:
    """Gives orders to a process that forks for each."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.apps.faults.child"],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
        )
        assert self._hear() == {"ready": True}

    def run(
        self,
        scene: str,
        folder: Path,
        version: int = 1,
        *,
        at: int = 0,
        how: str = "kill",
        kill_after: float | None = None,
    ) -> Ended:
        """Do a scene's work, and let the disk give way at a call, or kill it after seconds."""
        order = {"scene": scene, "folder": str(folder), "version": version, "at": at, "how": how}
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(order) + "\n")
        self._process.stdin.flush()
        started, found = time.monotonic(), Ended()
        while True:
            line = self._hear()
            if "pid" in line and kill_after is not None:
                time.sleep(kill_after)
                # It may have ended before.
                with suppress(ProcessLookupError):
                    os.kill(line["pid"], signal.SIGKILL)
            elif "told" in line:
                found.told.append(line["told"])
            elif "said" in line:
                found.said, found.points = line["said"], line["points"]
            elif "ended" in line:
                found.status = line["ended"]
                found.seconds = time.monotonic() - started
                return found

    def close(self) -> None:
        """End the process."""
        self._process.kill()
        self._process.communicate()

    def _hear(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        assert line, "the process that works has ended"
        heard: dict[str, Any] = json.loads(line)
        return heard
