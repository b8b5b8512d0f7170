"""A process that works until its disk gives way: `python -m tests.apps.faults.child`.

It imports once and forks for every order, a JSON object a line on stdin. What the fork says comes
as JSON objects on stdout: `told` (something is done for good), `said` (how it ended, in its own
words) with `points` (calls that changed the disk), and `ended` with the exit status: 0 done, 2
refused in a sentence, 1 a mistake of ours, below 0 the signal that killed it.
"""

from __future__ import annotations

import json
import os
import sys
import traceback
from pathlib import Path
from typing import Any, Final

import cv2
import torch

from medprism.core.errors import MedprismError
from tests.apps.faults.disk import Disk, limit_file_size
from tests.apps.faults.scenes import SCENES

_SAY: Final = os.write


def _say(**what: object) -> None:
    # One write a line, so that parent and child never mix theirs.
    _SAY(1, json.dumps(what).encode() + b"\n")


def _obey(order: dict[str, Any]) -> int:
    folder = Path(order["folder"])
    disk = Disk(folder, order["at"], order["how"])
    if order["how"] == "limit":
        limit_file_size(order["at"])
    else:
        disk.install()
    status, said = 0, ""
    try:
        SCENES[order["scene"]].work(folder, order["version"], lambda line: _say(told=line))
    except MedprismError as error:
        status, said = error.exit_status, f"{type(error).__name__}: {error}"
    except BaseException:
        status, said = 1, traceback.format_exc()
    _say(said=said, points=disk.count)
    return status


def main() -> None:
    """Fork for every order, and say how each fork ended."""
    torch.set_num_threads(1)
    cv2.setNumThreads(0)
    # An optimizer brings half of torch along when it is first made; here once for all forks.
    torch.optim.AdamW([torch.nn.Parameter(torch.zeros(1))]).step()
    _say(ready=True)
    for line in sys.stdin:
        child = os.fork()
        if child == 0:
            os._exit(_obey(json.loads(line)))
        _say(pid=child)
        _, status = os.waitpid(child, 0)
        _say(ended=os.waitstatus_to_exitcode(status))


if __name__ == "__main__":
    main()
