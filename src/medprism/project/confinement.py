"""Paths inside a project: nothing outside it is ever opened, whatever a name says."""

from __future__ import annotations

import re
import unicodedata
from pathlib import Path

from medprism.core.errors import OutsideError, ProjectError

_LONGEST = 120


def inside(root: Path, relative: str | Path) -> Path:
    """Return the path of a file below a folder.

    Raises:
        OutsideError: it leads out of the folder, by `..`, as an absolute path or over a link.

    >>> inside(Path("/data"), "ct/a.nii").as_posix()
    '/data/ct/a.nii'
    """
    top = root.resolve()
    found = (top / relative).resolve()
    if found != top and top not in found.parents:
        raise OutsideError(
            f"{Path(relative).name!r} lies outside the project; only files in its folder are opened"
        )
    return found


def safe_name(name: str) -> str:
    """Return a file name for what somebody uploaded: its last part, without anything special.

    Raises:
        ProjectError: nothing is left of it.

    >>> safe_name("../../etc/pass wd.png")
    'pass_wd.png'
    """
    last = re.split(r"[\\/]", unicodedata.normalize("NFC", name))[-1]
    kept = re.sub(r"[^\w.\-]+", "_", last).lstrip(".")
    if not kept.strip("_."):
        raise ProjectError(f"{name[:40]!r} is no file name; give one such as scan.png")
    return kept[-_LONGEST:].lstrip(".")
