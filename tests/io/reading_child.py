"""Readers in a process of their own: what a file does to it is seen from outside.

A request is one line with a path; the answer is one line of JSON. The memory that a reader may
take on top of the libraries is limited, so that one that asks for more gets a MemoryError.
"""

from __future__ import annotations

import json
import os
import resource
import select
import subprocess
import sys
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
SECONDS = 5.0
BYTES = 2**30
# Of the wall clock; a busy machine may give a process a small part of its time.
PATIENCE_SECONDS = 60.0


@dataclass(frozen=True)
class Verdict:
    """What reading one file came to; `fault` is None where it is as it should be."""

    said: tuple[str, ...]
    seconds: float
    fault: str | None


class ReadingChild:
    """A child that reads files; one that died or was stopped is replaced."""

    def __init__(self) -> None:
        self._child: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> ReadingChild:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stop()

    def read(self, path: Path, like: Path | None = None) -> Verdict:
        """Read a file or folder as an image and as a mask, that of the image `like` if given."""
        child = self._started()
        assert child.stdin is not None and child.stdout is not None
        request = [str(path), None if like is None else str(like)]
        child.stdin.write(json.dumps(request).encode() + b"\n")
        child.stdin.flush()
        ready, _, _ = select.select([child.stdout], [], [], PATIENCE_SECONDS)
        line = child.stdout.readline() if ready else b""
        if not line:
            fault = "it ended the process" if ready else "it hangs"
            self._stop()
            return Verdict((), PATIENCE_SECONDS, fault)
        answer = json.loads(line)
        return Verdict(tuple(answer["said"]), answer["seconds"], _fault(answer))

    def _started(self) -> subprocess.Popen[bytes]:
        if self._child is None:
            pipe = subprocess.PIPE
            self._child = subprocess.Popen(
                [sys.executable, "-m", "tests.io.reading_child"],
                stdin=pipe,
                stdout=pipe,
                stderr=subprocess.DEVNULL,
                cwd=ROOT,
            )
        return self._child

    def _stop(self) -> None:
        if self._child is not None:
            self._child.kill()
            self._child.communicate()
            self._child = None


def _fault(answer: dict[str, Any]) -> str | None:
    if answer["seconds"] > SECONDS:
        return f"it took {answer['seconds']:.1f} s of processor time"
    return None if answer["fault"] is None else str(answer["fault"])


def _serve() -> None:
    from medprism.io import dicom
    from medprism.io.isolated_decoder import IsolatedDecoder

    warnings.simplefilter("error")
    _warm_up()
    used = int(Path("/proc/self/statm").read_text().split()[5]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_DATA, (used + BYTES, used + BYTES))
    decoder = IsolatedDecoder()

    class Kept:
        """One decoder for all files, since each new one starts a process."""

        def __enter__(self) -> IsolatedDecoder:
            return decoder

        def __exit__(self, *_: object) -> None:
            pass

    dicom.IsolatedDecoder = Kept  # type: ignore[misc, assignment]
    # Libraries may print on standard output, where only answers belong.
    answers = os.fdopen(os.dup(1), "wb", buffering=0)
    os.dup2(2, 1)
    for line in sys.stdin:
        answers.write(json.dumps(_judge(*json.loads(line))).encode() + b"\n")


def _warm_up() -> None:
    """Load what is loaded late."""
    import SimpleITK

    SimpleITK.ImageFileReader()


def _judge(name: str, like_name: str | None) -> dict[str, Any]:
    from medprism.core.image import Image
    from medprism.io.mask_file import MaskFile
    from medprism.io.reader import read_image, read_mask

    if "READING_CHILD_PLAYS_BAD" in os.environ:
        read_image = read_mask = _play_bad
    path, like = Path(name), None if like_name is None else read_image(like_name)
    said: list[str] = []
    fault: str | None = None

    def read_its_mask(path: Path) -> MaskFile:
        return read_mask(path, like)

    reads: list[tuple[Callable[[Path], object], type]] = [
        (read_image, Image),
        (read_its_mask, MaskFile),
    ]
    if path.suffix == ".svs":
        reads.append((_read_levels, Image))
    started = _processor_seconds()
    for read, kind in reads:
        try:
            found = read(path)
            said.append(type(found).__name__)
            fault = fault or (None if isinstance(found, kind) else f"a {type(found).__name__}")
        except Exception as error:
            said.append(str(error))
            fault = fault or _fault_of(error, path)
    return {"said": said, "seconds": _processor_seconds() - started, "fault": fault}


def _read_levels(path: Path) -> object:
    """Read the first tile of every level of a slide; return the last one."""
    from medprism.io.whole_slide import open_slide

    with open_slide(path) as slide:
        return [slide.tile(level, 0, 0) for level in range(len(slide.levels))][-1]


def _play_bad(path: Path | str) -> Any:  # noqa: ANN401
    """Do what no reader should, by the name of the file: the check of this check."""
    name = Path(path).name
    if name == "crash":
        os.abort()
    if name == "hang":
        time.sleep(1000)
    if name == "hunger":
        return bytearray(BYTES)
    until = time.process_time() + 0.5
    while name == "slow" and time.process_time() < until:
        pass
    raise KeyError(name)


def _fault_of(error: Exception, path: Path) -> str | None:
    from medprism.core.errors import MedprismError

    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, MemoryError) or "bad_alloc" in str(cause):
            return f"it asks for more than {BYTES} bytes: {error}"
        cause = cause.__cause__ or cause.__context__
    if not isinstance(error, MedprismError):
        return f"{type(error).__name__}: {error}"
    if "\n" in str(error) or path.name not in str(error):
        return f"not one sentence that names the file: {error}"
    return None


def _processor_seconds() -> float:
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + children.ru_utime + children.ru_stime


if __name__ == "__main__":
    _serve()
