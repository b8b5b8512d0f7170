"""The parent's side of `runner`: a child in another interpreter, with a limit on every answer."""

from __future__ import annotations

import json
import os
import select
import shutil
import signal
import subprocess
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Final

import numpy as np
from jaxtyping import Shaped

from medprism.core.errors import ConfigError, InternalError, MedprismError
from medprism.evaluation.bench.official.runner import GREETING, pack, unpack

RUNNER: Final = Path(__file__).with_name("runner.py")

# What a table says in place of a figure.
PACKAGE_MISSING: Final = "package missing"
WEIGHTS_REFUSED: Final = "weights refused"
FAILED: Final = "package failed"
ENDED: Final = "process ended"
TOO_LATE: Final = "no answer in time"
UNREADABLE: Final = "answer unreadable"

_CHUNK: Final = 2**16
_LONGEST_LINE: Final = 2**20
_LARGEST_ARRAY: Final = 2**31
# How much a wrapper around an interpreter may print before the runner speaks.
_PREAMBLE: Final = 2**16
_LAST_WORDS: Final = 4096
_FAREWELL_SECONDS: Final = 5.0

Answer = tuple[dict[str, Any], Shaped[np.ndarray, "..."] | None]


class RunnerError(MedprismError):
    """A package gave no answer; `kind` says why in two or three words, for tables."""

    def __init__(self, message: str, kind: str) -> None:
        super().__init__(message)
        self.kind = kind


class _TooLateError(Exception):
    """The child did not answer, or did not listen, in its time."""


class _EndedError(Exception):
    """The child has closed its end."""


class RunnerProcess:
    """A package in the interpreter that has it; the child starts with the first request.

    It lives in a session of its own, so that Ctrl-C reaches the parent alone, which then ends it
    with all that it may have started. After any `RunnerError` but that of kind "package failed" the
    child is gone; the next request starts another, without weights.
    """

    def __init__(self, package: str, python: str, *, seconds: float) -> None:
        self._package = package
        self._python = find_program(python)
        self._seconds = seconds
        self._child: subprocess.Popen[bytes] | None = None
        self._said: IO[bytes] | None = None
        self._buffer = bytearray()

    def __enter__(self) -> RunnerProcess:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    @property
    def is_running(self) -> bool:
        """Whether there is a child."""
        return self._child is not None

    def ask(
        self,
        do: str,
        array: Shaped[np.ndarray, "..."] | None = None,
        **details: object,
    ) -> Answer:
        """Send a request and return what comes back.

        Raises:
            RunnerError: the package raised something, the child ended, gave no answer in time, or
                sent what is none.
        """
        until = time.monotonic() + self._seconds
        try:
            child = self._child or self._start(until)
            self._send(child, pack({"do": do, **details}, array), until)
            header = _read_header(self._line(child, until))
            content = self._take(child, header["bytes"], until)
            found = unpack(header, bytes(content))
        except _TooLateError as error:
            raise self._gone(f"gave no answer within {self._seconds:g} s", TOO_LATE) from error
        except _EndedError as error:
            raise self._gone(self._how_it_ended(), ENDED) from error
        except ValueError as error:
            raise self._gone(f"sent what is no answer ({error})", UNREADABLE) from error
        if "error" in header:
            raise RunnerError(f"{self._package}: {header['error']}", FAILED)
        return header, found

    def close(self) -> None:
        """End the child, politely at first."""
        child = self._child
        if child is None:
            return
        if child.stdin is not None:
            child.stdin.close()
        with suppress(subprocess.TimeoutExpired):
            child.wait(_FAREWELL_SECONDS)
        self._kill()

    def _start(self, until: float) -> subprocess.Popen[bytes]:
        self._said = tempfile.TemporaryFile()  # noqa: SIM115
        self._buffer.clear()
        try:
            child = subprocess.Popen(
                [self._python, str(RUNNER), self._package],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._said,
                bufsize=0,
                start_new_session=True,
            )
        except OSError as error:
            self._said.close()
            raise ConfigError(
                f"--python {self._python} cannot be started ({error.strerror}); name a Python "
                f"that has {self._package}"
            ) from error
        self._child = child
        os.set_blocking(_pipe(child.stdin).fileno(), False)
        preamble = 0
        while (line := self._line(child, until)) != GREETING:
            preamble += len(line)
            if preamble > _PREAMBLE:
                raise ValueError("it never greeted")
        return child

    def _send(self, child: subprocess.Popen[bytes], content: bytes, until: float) -> None:
        target, rest = _pipe(child.stdin).fileno(), memoryview(content)
        while rest:
            _, ready, _ = select.select([], [target], [], max(0.0, until - time.monotonic()))
            if not ready:
                raise _TooLateError
            try:
                rest = rest[os.write(target, rest[:_CHUNK]) :]
            except BrokenPipeError as error:
                raise _EndedError from error

    def _line(self, child: subprocess.Popen[bytes], until: float) -> bytes:
        while (end := self._buffer.find(b"\n")) < 0:
            if len(self._buffer) > _LONGEST_LINE:
                raise ValueError("a line without an end")
            self._fill(child, until)
        return bytes(self._cut(end + 1))

    def _take(self, child: subprocess.Popen[bytes], count: int, until: float) -> bytearray:
        while len(self._buffer) < count:
            self._fill(child, until)
        return self._cut(count)

    def _cut(self, count: int) -> bytearray:
        taken = self._buffer[:count]
        del self._buffer[:count]
        return taken

    def _fill(self, child: subprocess.Popen[bytes], until: float) -> None:
        source = _pipe(child.stdout).fileno()
        ready, _, _ = select.select([source], [], [], max(0.0, until - time.monotonic()))
        if not ready:
            raise _TooLateError
        part = os.read(source, _CHUNK)
        if not part:
            raise _EndedError
        self._buffer += part

    def _gone(self, what: str, kind: str) -> RunnerError:
        """End the child and return the error that says why."""
        self._kill()
        return RunnerError(f"{self._package} in {Path(self._python).name} {what}", kind)

    def _how_it_ended(self) -> str:
        if self._child is None:
            raise InternalError("a child that never was cannot have ended")
        with suppress(subprocess.TimeoutExpired):
            self._child.wait(_FAREWELL_SECONDS)
        status = self._child.poll()
        if status is None:
            how = "closed its output"
        elif status < 0:
            how = f"was ended by signal {-status} ({signal.strsignal(-status)})"
        else:
            how = f"ended with status {status}"
        words = self._last_words()
        return f"{how}; its last words: {words}" if words else how

    def _last_words(self) -> str:
        """Return the last line that the child wrote to its standard error."""
        if self._said is None:
            return ""
        size = self._said.seek(0, os.SEEK_END)
        self._said.seek(max(0, size - _LAST_WORDS))
        text = self._said.read().decode(errors="replace")
        lines = [line.strip() for line in text.splitlines() if line.strip()]
        return lines[-1][:300] if lines else ""

    def _kill(self) -> None:
        child, self._child = self._child, None
        if child is None:
            return
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(child.pid, signal.SIGKILL)
        child.wait()
        for end in (child.stdin, child.stdout, self._said):
            if end is not None:
                end.close()


def find_program(python: str) -> str:
    """Return the path of a program that can be run.

    Raises:
        ConfigError: there is none of that name.
    """
    found = shutil.which(python)
    if found is None:
        raise ConfigError(
            f"--python {python} is no program that can be run; name the Python that has the package"
        )
    # Links stay as they are: a virtual environment is known by the place of its own.
    return str(Path(found).absolute())


def _read_header(line: bytes) -> dict[str, Any]:
    """Return a reply's first line as plain data.

    Raises:
        ValueError: it is none.
    """
    header = json.loads(line)
    if not isinstance(header, dict):
        raise ValueError("a reply must be a JSON object")
    count = header.get("bytes")
    if not isinstance(count, int) or not 0 <= count <= _LARGEST_ARRAY:
        raise ValueError(f"a reply of {count!r} bytes")
    return header


def _pipe(end: IO[bytes] | None) -> IO[bytes]:
    if end is None:
        raise InternalError("a runner was started without a pipe")
    return end
