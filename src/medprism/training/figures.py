"""Where the figures of a run go: a file of JSON lines, and TensorBoard where it is installed."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, runtime_checkable

import numpy as np
from jaxtyping import UInt8

from medprism.core.errors import WriteError

if TYPE_CHECKING:
    from torch.utils.tensorboard.writer import SummaryWriter

Picture = UInt8[np.ndarray, "height width 3"]

_log = logging.getLogger(__name__)


@runtime_checkable
class Shows(Protocol):
    """A log that also takes pictures."""

    def scalars(self, step: int, values: dict[str, float]) -> None:
        """Write named figures of a step."""

    def pictures(self, named: Mapping[str, Picture]) -> None:
        """Take pictures; they belong to the step of the figures that come next."""


class JsonLines:
    """One line a step that is logged; a resumed run goes on in the same file.

    A line that was torn when the run was killed is taken away, so that the next one stands alone.
    """

    def __init__(self, path: Path) -> None:
        """Open the log of a run.

        Raises:
            WriteError: a torn line cannot be taken away.
        """
        self._path = path
        with _told(path):
            _cut_torn_line(path)

    def scalars(self, step: int, values: dict[str, float]) -> None:
        """Append the figures with the time of day in seconds."""
        line = {"step": step, "time": round(time.time(), 3), **values}
        with _told(self._path), self._path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")

    def pictures(self, named: Mapping[str, Picture]) -> None:
        """Leave pictures out."""


class TensorBoard:
    """Curves and sample pictures for `tensorboard --logdir RUN`."""

    def __init__(self, folder: Path) -> None:
        from torch.utils.tensorboard.writer import SummaryWriter

        self._folder = folder
        with _told(folder):
            self._writer: SummaryWriter = SummaryWriter(str(folder))
        self._waiting: dict[str, Picture] = {}

    def scalars(self, step: int, values: dict[str, float]) -> None:
        """Write the figures, and the pictures that wait for a step."""
        with _told(self._folder):
            for name, value in values.items():
                self._writer.add_scalar(name, value, step)
            for name, picture in self._waiting.items():
                self._writer.add_image(name, picture, step, dataformats="HWC")
            self._waiting.clear()
            self._writer.flush()

    def pictures(self, named: Mapping[str, Picture]) -> None:
        """Keep pictures until the next figures say which step they belong to."""
        self._waiting.update(named)


class Together:
    """Several logs as one."""

    def __init__(self, logs: Iterable[Shows]) -> None:
        self._logs = tuple(logs)

    def scalars(self, step: int, values: dict[str, float]) -> None:
        """Hand figures to every log."""
        for log in self._logs:
            log.scalars(step, values)

    def pictures(self, named: Mapping[str, Picture]) -> None:
        """Hand pictures to every log."""
        for log in self._logs:
            log.pictures(named)


def open_logs(folder: Path, *others: Shows) -> Together:
    """Return the logs of a run folder: `log.jsonl`, TensorBoard if it is there, and others."""
    logs: list[Shows] = [JsonLines(folder / "log.jsonl"), *others]
    if find_spec("tensorboard") is None:
        _log.info("tensorboard is not installed; figures go to log.jsonl only")
    else:
        logs.append(TensorBoard(folder / "tensorboard"))
    return Together(logs)


@contextmanager
def _told(path: Path) -> Iterator[None]:
    """Turn a refusal of the disk into a sentence."""
    try:
        yield
    except OSError as error:
        raise WriteError(
            f"cannot write the figures of the run to {path} ({error.strerror or error}); free "
            "space, then go on with --resume"
        ) from error


def _cut_torn_line(path: Path) -> None:
    content = path.read_bytes() if path.exists() else b""
    whole = content.rfind(b"\n") + 1
    if whole < len(content):
        with path.open("rb+") as file:
            file.truncate(whole)
