"""Find images and their masks by the paths an official release gives them.

A release is described as data: a regular expression for the paths of images, and a template for
the masks of each. The same description serves pairs of folders, nnU-Net raw, a folder a case and
masks beside their image with a suffix.
"""

from __future__ import annotations

import glob
import os
import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

from medprism.core.errors import ImageReadError


@dataclass(frozen=True, kw_only=True)
class FilePattern:
    """Images of one official part of a set, and where the masks of each lie.

    `image` is matched against the whole path relative to the set's folder ("/" between the parts;
    folders above it are allowed, since archives differ in them). Its named groups fill the
    templates: `masks` (each needs at least one file; `*` matches within a name, and of several
    templates with `|` between them the first that matches counts), `case` and `patient`.
    `also` matches companions that are neither. With `is_folder` images and masks are folders of
    slices; with `has_frames` they are rows of volumes of which some are labelled.
    """

    image: str
    masks: tuple[str, ...]
    case: str = "{case}"
    patient: str | None = None
    part: str = "train"
    also: str | None = None
    is_folder: bool = False
    has_frames: bool = False


@dataclass(frozen=True)
class FoundCase:
    """One image of a release with its masks, in the order of the templates."""

    case_id: str
    patient: str | None
    part: str
    image: Path
    masks: tuple[Path, ...]
    has_frames: bool = False

    def files(self) -> tuple[Path, ...]:
        """Return all files, those of folders of slices one by one."""
        return tuple(file for path in (self.image, *self.masks) for file in _files_of(path))


@dataclass(frozen=True)
class Findings:
    """What a folder holds: cases, images without a mask (and which), files that fit nothing."""

    cases: tuple[FoundCase, ...]
    without_mask: tuple[tuple[Path, str], ...]
    odd: tuple[Path, ...]


def find_cases(folder: Path, patterns: Sequence[FilePattern]) -> Findings:
    """Look for the images of all patterns and the masks of each, sorted by case.

    Odd are files beside masks, with the suffix of masks, that no pattern explains.

    Raises:
        ImageReadError: the folder is missing, or two images give the same case.
    """
    if not folder.is_dir():
        raise ImageReadError(f"{folder} is not a folder; pass the folder the release is in")
    index = _Index(folder)
    cases: dict[str, FoundCase] = {}
    lacking: list[tuple[Path, str]] = []
    explained: set[str] = set()
    for pattern in patterns:
        compiled = re.compile(rf"(?P<root>(?:[^/]+/)*?){pattern.image}")
        for path in index.folders if pattern.is_folder else index.files:
            match = compiled.fullmatch(path)
            if match is None:
                continue
            explained.add(path)
            masks, missing = _masks(match, pattern, index)
            if missing is not None:
                lacking.append((folder / path, missing))
                continue
            explained.update(masks)
            found = _case(folder, match, pattern, masks)
            former = cases.setdefault(found.case_id, found)
            if former is not found:
                raise ImageReadError(
                    f"{found.image} and {former.image} both give the case {found.case_id!r}; "
                    "pass a folder that holds the release once"
                )
    ordered = tuple(cases[name] for name in sorted(cases))
    return Findings(ordered, tuple(lacking), _odd(folder, index, patterns, ordered, explained))


class _Index:
    """Relative paths of all files and folders under a folder; hidden ones are left out."""

    def __init__(self, folder: Path) -> None:
        self.files: list[str] = []
        self.folders: list[str] = []
        self._names: dict[str, list[str]] = defaultdict(list)
        for root, folders, files in os.walk(folder):
            folders[:] = sorted(name for name in folders if not name.startswith((".", "__MACOSX")))
            above = Path(root).relative_to(folder).as_posix()
            prefix = "" if above == "." else f"{above}/"
            for name in folders:
                self.folders.append(prefix + name)
                self._names[prefix].append(name)
            for name in sorted(files):
                if not name.startswith("."):
                    self.files.append(prefix + name)
                    self._names[prefix].append(name)

    def matching(self, template: str) -> list[str]:
        head, slash, name = template.rpartition("/")
        prefix = glob_free(head) + slash
        return [prefix + found for found in self._names[prefix] if fnmatchcase(found, name)]


def glob_free(text: str) -> str:
    """Undo `glob.escape` on a text without wildcards.

    >>> glob_free(glob.escape("a[1]*"))
    'a[1]*'
    """
    return re.sub(r"\[([*?[])\]", r"\1", text)


def _masks(
    match: re.Match[str], pattern: FilePattern, index: _Index
) -> tuple[list[str], str | None]:
    """Return the masks of an image, or the template that matches nothing."""
    groups = {name: glob.escape(value or "") for name, value in match.groupdict().items()}
    found: list[str] = []
    for template in pattern.masks:
        places = [groups["root"] + place.format(**groups) for place in template.split("|")]
        matching = next(filter(None, (_others(index, place, match) for place in places)), None)
        if matching is None:
            return [], glob_free(places[0])
        found.extend(matching)
    return found, None


def _others(index: _Index, place: str, match: re.Match[str]) -> list[str]:
    return [path for path in index.matching(place) if path != match.string]


def _case(
    folder: Path, match: re.Match[str], pattern: FilePattern, masks: Iterable[str]
) -> FoundCase:
    groups = match.groupdict()
    return FoundCase(
        # Cases name rows of the store and files: a slash would make folders.
        case_id=pattern.case.format(**groups).replace("/", "_"),
        patient=None if pattern.patient is None else pattern.patient.format(**groups),
        part=pattern.part,
        image=folder / match.string,
        masks=tuple(folder / path for path in masks),
        has_frames=pattern.has_frames,
    )


def _odd(
    folder: Path,
    index: _Index,
    patterns: Sequence[FilePattern],
    cases: Iterable[FoundCase],
    explained: set[str],
) -> tuple[Path, ...]:
    masks = [mask for case in cases for mask in case.masks if mask.is_file()]
    places = {(mask.parent, mask.suffix) for mask in masks}
    also = [re.compile(rf"(?:[^/]+/)*?{p.also}") for p in patterns if p.also is not None]
    return tuple(
        folder / path
        for path in index.files
        if path not in explained
        and ((folder / path).parent, Path(path).suffix) in places
        and not any(companion.fullmatch(path) for companion in also)
    )


def _files_of(path: Path) -> tuple[Path, ...]:
    return tuple(sorted(p for p in path.iterdir() if p.is_file())) if path.is_dir() else (path,)
