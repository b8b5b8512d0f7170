"""The run-length code of COCO: runs down the columns, as a list or as its compressed text."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from jaxtyping import Bool

from medprism.core.errors import ImageReadError
from medprism.core.labels import encode_runs

Mask2d = Bool[np.ndarray, "height width"]

# Five bits a character, a sixth says that more follow; 48 makes them printable.
_FIRST: Final = 48
_BITS: Final = 5
_MORE: Final = 32
_SIGN: Final = 16


def column_runs(mask: Mask2d) -> list[int]:
    """Return the lengths of alternating runs down the columns, outside first.

    >>> column_runs(np.array([[False, True], [True, True]]))
    [1, 3]
    """
    return encode_runs(np.ascontiguousarray(mask.T))


def compress(runs: list[int]) -> str:
    """Return runs as COCO's text: from the fourth on the difference to the run before the last.

    >>> compress([1, 3]), compress([5, 2, 40, 1])
    ('13', '52X1O')
    """
    letters: list[str] = []
    for index, run in enumerate(runs):
        value = run - runs[index - 2] if index > 2 else run
        is_open = True
        while is_open:
            digit = value & (_MORE - 1)
            value >>= _BITS
            is_open = value != (-1 if digit & _SIGN else 0)
            letters.append(chr(_FIRST + digit + (_MORE if is_open else 0)))
    return "".join(letters)


def expand(text: str) -> list[int]:
    """Undo `compress`.

    Raises:
        ImageReadError: a character that the code does not have, or an end within a number.

    >>> expand("52X1O")
    [5, 2, 40, 1]
    """
    runs: list[int] = []
    value, shift = 0, 0
    for letter in text:
        digit = ord(letter) - _FIRST
        if not 0 <= digit < 2 * _MORE or shift > 60:
            raise ImageReadError(
                f"its run-length text holds {letter!r}, which the code of COCO does not; export it "
                "again"
            )
        value |= (digit & (_MORE - 1)) << shift
        shift += _BITS
        if digit & _MORE:
            continue
        if digit & _SIGN:
            value -= 1 << shift
        runs.append(value + (runs[-2] if len(runs) > 2 else 0))
        value, shift = 0, 0
    if shift:
        raise ImageReadError("its run-length text ends within a number; export it again")
    return runs


def from_runs(runs: list[Any], height: int, width: int) -> Mask2d:
    """Undo `column_runs`, of runs that a file says.

    Raises:
        ImageReadError: runs that are no lengths, or do not add up to the picture.
    """
    are_lengths = all(isinstance(run, int) and 0 <= run <= height * width for run in runs)
    if not are_lengths or sum(runs) != height * width:
        raise ImageReadError(
            f"its {len(runs)} run lengths do not add up to {height} x {width} pixels; export it "
            "again"
        )
    values = np.arange(len(runs)) % 2 == 1
    return np.repeat(values, np.asarray(runs, np.int64)).reshape(width, height).T
