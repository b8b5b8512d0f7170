"""Lists on the command line: names with commas between them."""

from __future__ import annotations

from collections.abc import Sequence

from medprism.core.errors import ConfigError


def split_list(text: str, option: str, known: Sequence[str] = ()) -> tuple[str, ...]:
    """Return the names of a list, in order and without doubles.

    Raises:
        ConfigError: no name at all, or one that is not among the known ones.

    >>> split_list("polyp, left kidney,polyp", "--classes")
    ('polyp', 'left kidney')
    """
    names = tuple(dict.fromkeys(name.strip() for name in text.split(",") if name.strip()))
    if not names:
        raise ConfigError(f"{option} {text!r} names nothing; give names with commas between them")
    wrong = [name for name in names if known and name not in known]
    if wrong:
        raise ConfigError(f"{option} has no {wrong[0]!r}; known: {', '.join(known)}")
    return names
