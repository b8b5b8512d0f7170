"""Compare what a folder holds with what a paper counted: missing files, odd files, counts."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from medprism.core.errors import CancelledError, MedprismError
from medprism.core.progress import Progress, SilentProgress
from medprism.data.case import SPLITS
from medprism.data.datasets.file_pattern import Findings, FoundCase, find_cases
from medprism.data.datasets.published import Counts, PublishedSet, Use
from medprism.data.datasets.published_dataset import assign_split, labelled_frames, read_case

# Problems listed one by one; the rest is a number.
_LISTED: Final = 10


@dataclass(frozen=True)
class CountRow:
    """One count of a paper beside what was found; `expected` is None where it is not stated."""

    paper: str
    what: str
    split: str
    found: int
    expected: int | None

    @property
    def agrees(self) -> bool:
        """Whether the paper says nothing else."""
        return self.expected is None or self.expected == self.found


@dataclass(frozen=True)
class CheckReport:
    """What `check` found in a folder.

    `missing` are names of the release that are not there, and masks that images lack; `odd` are
    files that nothing explains; `unreadable` are cases that could not be read, with the reason.
    """

    dataset: str
    counts: tuple[CountRow, ...]
    missing: tuple[str, ...]
    odd: tuple[str, ...]
    unreadable: tuple[str, ...] = field(default=())

    @property
    def is_complete(self) -> bool:
        """Whether nothing is missing, odd or unreadable, and all counts agree."""
        problems = self.missing or self.odd or self.unreadable
        return not problems and all(row.agrees for row in self.counts)

    def lines(self) -> tuple[str, ...]:
        """Return the report as lines of text."""
        rows = [
            f"{row.paper:8} {row.split:6} {row.what:10} found {row.found:7,}   expected "
            f"{'unknown' if row.expected is None else f'{row.expected:,}'}"
            f"{'' if row.agrees else '   DIFFERS'}"
            for row in self.counts
        ]
        lists = {"missing": self.missing, "odd": self.odd, "unreadable": self.unreadable}
        for word, problems in lists.items():
            rows.extend(f"{word}: {problem}" for problem in problems[:_LISTED])
            if len(problems) > _LISTED:
                rows.append(f"{word}: and {len(problems) - _LISTED} more")
        verdict = "complete" if self.is_complete else "not as the papers describe it"
        return (*rows, f"{self.dataset}: {verdict}")


def check(
    published: PublishedSet,
    folder: Path,
    *,
    reads_all: bool = False,
    progress: Progress | None = None,
) -> CheckReport:
    """Compare a folder with the counts that the papers give for a set.

    Files are counted by name. With `reads_all` every case is read: labelled slices are counted,
    and files that cannot be read or hold unknown labels are reported.

    Raises:
        ImageReadError: the folder is missing, or two images give the same case.
        CancelledError: the progress was cancelled.
    """
    findings = find_cases(folder, published.patterns)
    progress = progress or SilentProgress()
    weights, unreadable = _volumes(findings)
    slices: dict[str, int] = {}
    if reads_all:
        slices, broken = _labelled_slices(published, findings, progress)
        unreadable = (*unreadable, *(reason for reason in broken if reason not in unreadable))
    rows: list[CountRow] = []
    with TemporaryDirectory() as drawn:
        for number, use in enumerate(published.uses):
            split = assign_split(use, findings.cases, Path(drawn) / str(number), published)
            # Papers count the tiles of a tiled set, and only reading tells which are labelled.
            stated = use.cases if published.tile is None else Counts()
            rows.extend(_rows(use, published.unit, stated, split, weights))
            if use.total is not None:
                found = sum(weights.values())
                rows.append(CountRow(use.paper, published.unit, "all", found, use.total))
            if reads_all and published.tile is not None:
                rows.extend(_pooled(use, "tiles", use.cases, split, slices))
            elif reads_all and published.unit == "volumes":
                rows.extend(_pooled(use, "slices", use.slices, split, slices))
    return CheckReport(
        published.name,
        tuple(rows),
        _missing(published, findings, folder),
        _odd(findings, folder),
        unreadable,
    )


def _pooled(
    use: Use, what: str, expected: Counts, split: dict[str, str], weights: dict[str, int]
) -> list[CountRow]:
    """Return rows by split, or their sum where cases were drawn: our draw is not the paper's."""
    if all(isinstance(target, str) for target in use.split.values()):
        return _rows(use, what, expected, split, weights)
    stated = [count for side in SPLITS if (count := expected.of(side)) is not None]
    found = sum(weights.get(case_id, 0) for case_id in split)
    return [CountRow(use.paper, what, "all", found, sum(stated) if stated else None)]


def _rows(
    use: Use, what: str, expected: Counts, split: dict[str, str], weights: dict[str, int]
) -> list[CountRow]:
    counted: Counter[str] = Counter()
    for case_id, side in split.items():
        counted[side] += weights.get(case_id, 0)
    return [
        CountRow(use.paper, what, side, counted[side], expected.of(side))
        for side in SPLITS
        if counted[side] or expected.of(side)
    ]


def _volumes(findings: Findings) -> tuple[dict[str, int], tuple[str, ...]]:
    """Return how many volumes each case is: its labelled frames, or one."""
    weights: dict[str, int] = {}
    unreadable: list[str] = []
    for case in findings.cases:
        try:
            weights[case.case_id] = len(labelled_frames(case.masks[0])) if case.has_frames else 1
        except MedprismError as error:
            unreadable.append(str(error))
    return weights, tuple(unreadable)


def _labelled_slices(
    published: PublishedSet, findings: Findings, progress: Progress
) -> tuple[dict[str, int], list[str]]:
    counted: dict[str, int] = {}
    unreadable: list[str] = []
    for done, case in enumerate(findings.cases, start=1):
        if progress.is_cancelled():
            raise CancelledError(f"checking {published.name} was cancelled; nothing was written")
        try:
            counted[case.case_id] = _slices_of(published, case)
        except MedprismError as error:
            unreadable.append(str(error))
        progress.report(done, len(findings.cases), case.case_id)
    return counted, unreadable


def _slices_of(published: PublishedSet, case: FoundCase) -> int:
    return sum(int(numbers.any((1, 2)).sum()) for _, _, numbers in read_case(published, case))


def _missing(published: PublishedSet, findings: Findings, folder: Path) -> tuple[str, ...]:
    here = {case.case_id for case in findings.cases} | {case.patient for case in findings.cases}
    unmasked = [
        f"{wanted} (the mask of {image.relative_to(folder).as_posix()})"
        for image, wanted in findings.without_mask
    ]
    absent = [name for name in published.expected if name not in here]
    return (*unmasked, *absent)


def _odd(findings: Findings, folder: Path) -> tuple[str, ...]:
    return tuple(path.relative_to(folder).as_posix() for path in findings.odd)
