"""Clicks and boxes as they are typed: `120,88,+`, `-31.5,12,190,+` in mm, `10,20,60,80` a box."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

from medprism.core.errors import PromptError

if TYPE_CHECKING:
    from medprism.inference.knowledge import BoxMark, PointMark

_SIGNS: Final = {"+": True, "-": False}


def parse_click(text: str) -> PointMark:
    """Return the click of `row,col,+` or, on a volume, `slice,row,col,-`.

    Raises:
        PromptError: other parts than these.

    >>> parse_click("3,120,88,-")
    PointMark(position=(3, 120, 88), is_positive=False, is_world=False)
    """
    from medprism.inference.knowledge import PointMark

    parts = text.split(",")
    numbers = _numbers(parts[:-1])
    if numbers is None or len(numbers) not in (2, 3) or parts[-1].strip() not in _SIGNS:
        raise PromptError(
            f"--click {text!r} is no click; give row,col,+ (or slice,row,col,+ on a volume), "
            "with - in place of + for what does not belong to the structure"
        )
    return PointMark(tuple(numbers), _SIGNS[parts[-1].strip()])


def parse_click_mm(text: str) -> PointMark:
    """Return the click of `x,y,z,+`: a position in millimetres, x to the right, y to the front.

    Raises:
        PromptError: other parts than these.

    >>> parse_click_mm("-31.5,12,190,-")
    PointMark(position=(-31.5, 12.0, 190.0), is_positive=False, is_world=True)
    """
    from medprism.inference.knowledge import PointMark

    *place, sign = (part.strip() for part in text.split(","))
    try:
        position = tuple(float(part) for part in place)
    except ValueError:
        position = ()
    if len(position) != 3 or not all(map(math.isfinite, position)) or sign not in _SIGNS:
        raise PromptError(
            f"--click-mm {text!r} is no click; give x,y,z,+ in millimetres (RAS+: x grows to the "
            "right, y to the front, z upwards), with - in place of + for what does not belong to "
            "the structure"
        )
    return PointMark(position, _SIGNS[sign], is_world=True)


def parse_box(text: str) -> BoxMark:
    """Return the box of `top,left,bottom,right`, with the slice in front on a volume.

    Bottom and right are not inside any more. A sign at the end is optional: a box with `-` holds
    nothing of the structure.

    Raises:
        PromptError: other parts than these.

    >>> parse_box("10,20,60,80")
    BoxMark(ranges=((10, 60), (20, 80)), is_positive=True)
    """
    from medprism.inference.knowledge import BoxMark

    parts = text.split(",")
    sign = parts.pop().strip() if parts[-1].strip() in _SIGNS else "+"
    numbers = _numbers(parts)
    if numbers is None or len(numbers) not in (4, 5):
        raise PromptError(
            f"--box {text!r} is no box; give top,left,bottom,right "
            "(or slice,top,left,bottom,right on a volume)"
        )
    top, left, bottom, right = numbers[-4:]
    in_plane = ((top, bottom), (left, right))
    first = numbers[0]
    ranges = in_plane if len(numbers) == 4 else ((first, first + 1), *in_plane)
    return BoxMark(ranges, _SIGNS[sign])


def _numbers(parts: list[str]) -> list[int] | None:
    try:
        return [int(part) for part in parts]
    except ValueError:
        return None
