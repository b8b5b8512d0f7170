"""GDCM in a process of its own: on damaged lossless JPEG or JPEG-LS it ends its whole process.

The child reads one JSON request a line and answers with one JSON line, then the raw pixels.
"""

from __future__ import annotations

import faulthandler
import json
import os
import subprocess
import sys
import warnings
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, Final

import numpy as np
from jaxtyping import Shaped
from pydicom.pixels.utils import pixel_array

from medprism.io.foreign import DAMAGE, first_line

_LIMIT_SECONDS: Final = 120


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
            RuntimeError: GDCM refuses the file, crashes on it, or needs more than two minutes.
        """
        if self._child is None:
            # -P: a file in the working folder must not stand in for a library.
            command = [sys.executable, "-P", "-m", "medprism.io.isolated_decoder"]
            pipe, nothing = subprocess.PIPE, subprocess.DEVNULL
            self._child = subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=nothing)
        reply, content = _ask(self._child, path)
        if reply is None:
            self._end()
            raise RuntimeError("the decoder crashed on it")
        if "error" in reply:
            raise RuntimeError(reply["error"])
        return np.frombuffer(content, dtype=reply["dtype"]).reshape(reply["shape"])

    def _end(self) -> None:
        if self._child is not None:
            # Closing its input ends the child's loop.
            self._child.communicate()
            self._child = None


def _ask(child: subprocess.Popen[bytes], path: Path) -> tuple[dict[str, Any] | None, bytearray]:
    """Send one request; no reply means that the child has died."""
    if child.stdin is None or child.stdout is None:
        return None, bytearray()
    try:
        child.stdin.write(json.dumps(str(path.absolute())).encode() + b"\n")
        child.stdin.flush()
    except BrokenPipeError:
        return None, bytearray()
    line = child.stdout.readline()
    if not line:
        return None, bytearray()
    reply: dict[str, Any] = json.loads(line)
    content = bytearray(child.stdout.read(reply.get("bytes", 0)))
    is_whole = len(content) == reply.get("bytes", 0)
    return (reply if is_whole else None), content


def _serve(requests: BinaryIO, replies: BinaryIO) -> None:
    """Answer requests until there are no more: the child's whole life."""
    for line in requests:
        faulthandler.dump_traceback_later(_LIMIT_SECONDS, exit=True)
        reply, content = _answer(Path(json.loads(line)))
        faulthandler.cancel_dump_traceback_later()
        replies.write(json.dumps(reply).encode() + b"\n" + content)
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
    _serve(sys.stdin.buffer, replies)
