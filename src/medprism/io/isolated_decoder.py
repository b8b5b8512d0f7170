"""GDCM in a process of its own: on damaged lossless JPEG or JPEG-LS it ends its whole process.

The child says when it is ready, then reads one JSON request a line and answers with the length of a
JSON document (8 bytes), the document and the raw pixels. It has five seconds for a file, or one a
megabyte where that is more; then it is killed, and the next file starts another.
"""

from __future__ import annotations

import faulthandler
import json
import os
import select
import subprocess
import sys
import time
import warnings
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from types import TracebackType
from typing import IO, Any, BinaryIO, Final

import numpy as np
from jaxtyping import Shaped
from pydicom.pixels.utils import pixel_array

from medprism.core.errors import InternalError
from medprism.io.foreign import DAMAGE, first_line

LEAST_SECONDS: Final = 5.0
# GDCM decodes at least ten times as fast; the rest is for a busy machine.
SECONDS_A_MEGABYTE: Final = 1.0
# Loading libraries from a slow disk is no fault of the file.
_START_SECONDS: Final = 120.0
_READY: Final = b"ready\n"
_CHUNK: Final = 2**20


class _TooLateError(Exception):
    """The child did not answer in its time."""


def limit_seconds(size: int) -> float:
    """Return how long a file of `size` bytes may take: a second a megabyte, five at least.

    >>> limit_seconds(300), limit_seconds(60 * 2**20)
    (5.0, 60.0)
    """
    return max(LEAST_SECONDS, SECONDS_A_MEGABYTE * size / 2**20)


class IsolatedDecoder:
    """Decode files in a child process, which starts with the first file and ends with `with`."""

    def __init__(self) -> None:
        self._child: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> IsolatedDecoder:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._end()

    def decode(self, path: Path) -> Shaped[np.ndarray, "..."]:
        """Return the stored pixels of a DICOM file, as `pydicom.pixels.pixel_array` gives them.

        Raises:
            RuntimeError: GDCM refuses the file, crashes on it, or takes longer than `limit_seconds`
                of its size; a child that hangs is killed.
        """
        try:
            seconds = limit_seconds(path.stat().st_size)
        except OSError as error:
            raise RuntimeError(first_line(error)) from error
        try:
            reply, content = self._ask(path, seconds)
        except _TooLateError as error:
            self._kill()
            raise RuntimeError(
                f"the decoder gave no answer within {seconds:g} s and was stopped"
            ) from error
        if reply is None:
            self._kill()
            raise RuntimeError("the decoder crashed on it")
        if "error" in reply:
            raise RuntimeError(reply["error"])
        return np.frombuffer(content, dtype=reply["dtype"]).reshape(reply["shape"])

    def _ask(self, path: Path, seconds: float) -> tuple[dict[str, Any] | None, bytearray]:
        """Send one request; no reply means that the child has died."""
        child = self._child
        if child is None:
            child = self._child = _start()
            if _read(child, len(_READY), time.monotonic() + _START_SECONDS) != _READY:
                return None, bytearray()
        request = {"path": str(path.absolute()), "seconds": seconds}
        until = time.monotonic() + seconds
        try:
            _pipe(child.stdin).write(json.dumps(request).encode() + b"\n")
        except BrokenPipeError:
            return None, bytearray()
        length = int.from_bytes(_read(child, 8, until), "big")
        line = _read(child, length, until)
        if not line or len(line) < length:
            return None, bytearray()
        reply: dict[str, Any] = json.loads(line)
        content = _read(child, reply.get("bytes", 0), until)
        is_whole = len(content) == reply.get("bytes", 0)
        return (reply if is_whole else None), content

    def _kill(self) -> None:
        if self._child is not None:
            self._child.kill()
            self._child.communicate()
            self._child = None

    def _end(self) -> None:
        if self._child is not None:
            # Closing its input ends the child's loop.
            with suppress(BrokenPipeError):
                self._child.communicate()
            self._child = None


def _start() -> subprocess.Popen[bytes]:
    # -P: a file in the working folder must not stand in for a library.
    command = [sys.executable, "-P", "-m", "medprism.io.isolated_decoder"]
    pipe, nothing = subprocess.PIPE, subprocess.DEVNULL
    # Without buffers, so that `select` sees all there is to read.
    return subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=nothing, bufsize=0)


def _pipe(end: IO[bytes] | None) -> IO[bytes]:
    if end is None:
        raise InternalError("the decoder was started without a pipe")
    return end


def _read(child: subprocess.Popen[bytes], count: int, until: float) -> bytearray:
    """Return `count` bytes, or what came before the child ended.

    Raises:
        _TooLateError: they are not there by `until`, on the monotonic clock.
    """
    source = _pipe(child.stdout).fileno()
    content = bytearray()
    while len(content) < count:
        ready, _, _ = select.select([source], [], [], max(0.0, until - time.monotonic()))
        if not ready:
            raise _TooLateError
        part = os.read(source, min(_CHUNK, count - len(content)))
        if not part:
            break
        content += part
    return content


def _serve(requests: BinaryIO, replies: BinaryIO) -> None:
    """Answer requests until there are no more: the child's whole life."""
    replies.write(_READY)
    replies.flush()
    for line in requests:
        request = json.loads(line)
        # Where the parent has died, nobody else would end a child that hangs.
        faulthandler.dump_traceback_later(2 * request["seconds"], exit=True)
        reply, content = _answer(Path(request["path"]))
        faulthandler.cancel_dump_traceback_later()
        text = json.dumps(reply).encode()
        replies.write(len(text).to_bytes(8, "big") + text + content)
        replies.flush()


def _answer(path: Path) -> tuple[dict[str, object], bytes]:
    try:
        pixels = np.ascontiguousarray(pixel_array(path, decoding_plugin="gdcm"))
    except DAMAGE as error:
        return {"error": first_line(error)}, b""
    content = pixels.tobytes()
    reply = {"dtype": pixels.dtype.str, "shape": pixels.shape, "bytes": len(content)}
    return reply, content


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    # GDCM may print on standard output, where only replies belong.
    replies = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    # Part of the start, not of the first file's time.
    import_module("gdcm")
    _serve(sys.stdin.buffer, replies)
