"""Calls into decoders of others: whatever they raise on damaged bytes becomes one sentence."""

from __future__ import annotations

import logging
import lzma
import struct
import threading
import warnings
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from medprism.core.errors import (
    FormatVersionError,
    GeometryError,
    ImageReadError,
    WriteError,
)
from medprism.io.memory_budget import check_unpacked

_log = logging.getLogger(__name__)

# Decoders do not promise which error a flipped bit gives; this list is what fuzzing found.
DAMAGE: Final = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    BufferError,
    EOFError,
    LookupError,
    MemoryError,
    OSError,
    RuntimeError,
    StopIteration,
    SyntaxError,
    TypeError,
    ValueError,
    lzma.LZMAError,
    struct.error,
    zlib.error,
)

# Warning filters belong to the process: two threads inside at once would restore wrong ones.
_filters = threading.RLock()

# No byte of a deflate stream can stand for more than this many bytes (zlib documentation).
DEFLATE_LIMIT: Final = 1032


@contextmanager
def decoding(kind: str, *failures: type[Exception], is_private: bool = False) -> Iterator[None]:
    """Turn any failure of a decoder into an ImageReadError and log its warnings.

    Args:
        kind: the format for people, such as "NIfTI".
        failures: error classes of the decoder's own that derive from Exception alone.
        is_private: warnings may quote what names a patient, so they are dropped.

    Raises:
        ImageReadError: the decoder gave up; the message starts with "cannot be read as".
    """
    damage: tuple[type[Exception], ...] = (*DAMAGE, *failures)
    with _filters, warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            yield
        except damage as error:
            raise ImageReadError(
                f"cannot be read as {kind} ({first_line(error)}); "
                "it may be truncated or damaged, export it again"
            ) from error
    for warning in () if is_private else caught:
        _log.info("%s: %s", kind, warning.message)


@contextmanager
def naming(path: Path) -> Iterator[None]:
    """Put the path before the reason that a reader gives.

    Raises:
        ImageReadError: as what it wraps; GeometryError and FormatVersionError likewise.
    """
    try:
        yield
    except (ImageReadError, GeometryError, FormatVersionError) as error:
        # What a header says may be quoted in the reason, line breaks and all.
        reason = "".join(c if c.isprintable() else " " for c in str(error))
        raise type(error)(f"{path}: {' '.join(reason.split())}") from error


@contextmanager
def encoding(kind: str) -> Iterator[None]:
    """Turn any failure of an encoder into a WriteError; OSError passes.

    Its warnings may quote what names a patient, so only their kind is logged.

    Raises:
        WriteError: the encoder gave up; the message starts with "cannot be written as".
    """
    with _filters, warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            yield
        except OSError:
            raise
        except DAMAGE as error:
            raise WriteError(
                f"the mask cannot be written as {kind} ({first_line(error)}); mend that, or write "
                ".nii.gz"
            ) from error
    for warning in caught:
        _log.info("%s: %s", kind, type(warning.message).__name__)


def first_line(error: BaseException) -> str:
    r"""Return the telling line of an error of others, shortened to 160 characters.

    Lines that only locate C++ source are skipped; a line that ends in a colon takes the next.

    >>> first_line(RuntimeError("Exception thrown in f: /a/b.cxx:94:\nsitk::ERROR: no such file"))
    'sitk::ERROR: no such file'
    """
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    telling = [line for line in lines if ".cxx:" not in line and ".cpp:" not in line]
    chosen = telling or lines or [type(error).__name__]
    text = " ".join(chosen[:2]) if chosen[0].endswith(":") else chosen[0]
    return text if len(text) <= 160 else text[:157] + "..."


def check_promise(promised: int, available: int, *, is_compressed: bool) -> None:
    """Refuse a header that promises more bytes than its file can hold, before they are allocated.

    Raises:
        ImageReadError: the file is truncated, its header is damaged, or it would unpack to more
            than `memory_budget` allows.
    """
    holds = available * (DEFLATE_LIMIT if is_compressed else 1)
    if promised > holds:
        raise ImageReadError(
            f"its header promises {promised} bytes of pixels but the file holds {available}; "
            "it is truncated or damaged, export it again"
        )
    if is_compressed:
        check_unpacked(promised, available)
