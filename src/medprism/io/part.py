"""Files that hold several images: which one is meant."""

from __future__ import annotations

from medprism.core.errors import ImageReadError


def choose_volume(part: str | None, count: int) -> int:
    """Return the index of the wanted volume of a file that holds `count`.

    Raises:
        ImageReadError: the file holds several and none is named, or the name is no index of one.

    >>> choose_volume("4", 30), choose_volume(None, 1)
    (4, 0)
    """
    if part is None and count == 1:
        return 0
    if part is None:
        raise ImageReadError(
            f"it holds {count} volumes and one is needed; choose it with --series 0 to "
            f'{count - 1}, in Python part="0" to part="{count - 1}"'
        )
    if not part.isdecimal() or int(part) >= count:
        raise ImageReadError(
            f"it has no part {part!r}; choose --series 0 to {count - 1}, in Python "
            f'part="0" to part="{count - 1}"'
        )
    return int(part)
