"""Splits by patient: drawn once from a seed, written to disk, checked for leaks."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from medprism.core.durable import make_folder, read_json, write_json
from medprism.core.errors import ConfigError
from medprism.core.randomness import counter_rng
from medprism.data.case import SPLITS

FORMAT: Final = "medprism-split"
VERSION: Final = 1


@dataclass(frozen=True, kw_only=True)
class SplitConfig:
    """Shares of train, val and test (they add up to 1) and the seed of the draw."""

    train: float = 0.7
    val: float = 0.1
    test: float = 0.2
    seed: int = 0

    def __post_init__(self) -> None:
        shares = (self.train, self.val, self.test)
        if min(shares) < 0 or abs(sum(shares) - 1) > 1e-6:
            raise ConfigError(f"split shares {shares} must not be negative and must add up to 1")


def draw_split(patients: Mapping[str, str | None], config: SplitConfig) -> dict[str, str]:
    """Assign every case to train, val or test; all cases of a patient go to the same side.

    A case without a patient is a patient of its own. Groups are shuffled by the seed, then dealt
    to the split that lacks most cases of its share, so small sets still fill all three.

    >>> halves = SplitConfig(train=0.5, val=0.0, test=0.5)
    >>> split = draw_split({"a1": "a", "a2": "a", "b": None}, halves)
    >>> split["a1"] == split["a2"]
    True
    """
    groups: dict[str, list[str]] = defaultdict(list)
    for case_id in sorted(patients):
        patient = patients[case_id]
        groups[f"case {case_id}" if patient is None else f"patient {patient}"].append(case_id)
    names = sorted(groups)
    order = counter_rng(config.seed, "split").permutation(len(names))
    wanted = {name: getattr(config, name) * len(patients) for name in SPLITS}
    assigned: dict[str, str] = {}
    for index in order:
        members = groups[names[int(index)]]
        target = max(SPLITS, key=lambda name: wanted[name])
        wanted[target] -= len(members)
        assigned |= dict.fromkeys(members, target)
    return assigned


def load_or_draw_split(
    path: Path, patients: Mapping[str, str | None], config: SplitConfig
) -> dict[str, str]:
    """Return the split written at `path`, or draw it and write it there.

    Cases that were not there at the time keep the old assignment valid: they follow their patient,
    or are dealt among the new ones alone.
    """
    known: dict[str, str] = {}
    if path.exists():
        known = dict(read_json(path, FORMAT, VERSION)["cases"])
        if set(patients) <= set(known):
            return {case_id: known[case_id] for case_id in patients}
    homes = {
        patient: known[case_id]
        for case_id, patient in patients.items()
        if patient is not None and case_id in known
    }
    fresh = {c: p for c, p in patients.items() if c not in known and p not in homes}
    followers = {c: homes[p] for c, p in patients.items() if p in homes and c not in known}
    cases = {**known, **followers, **draw_split(fresh, config)}
    make_folder(path.parent)
    write_json(path, FORMAT, VERSION, {"seed": config.seed, "cases": dict(sorted(cases.items()))})
    return {case_id: cases[case_id] for case_id in patients}


def find_leaks(rows: Iterable[tuple[str, str, str]]) -> tuple[tuple[str, ...], ...]:
    """Return groups of cases that hold the same image on different sides of a split.

    Rows are (case, split, content hash). The same image twice on one side is no leak.

    >>> find_leaks([("a", "train", "x"), ("b", "test", "x"), ("c", "train", "y")])
    (('a', 'b'),)
    """
    by_content: dict[str, list[tuple[str, str]]] = defaultdict(list)
    for case_id, split, content in rows:
        by_content[content].append((case_id, split))
    return tuple(
        tuple(case_id for case_id, _ in members)
        for members in by_content.values()
        if len({split for _, split in members}) > 1
    )
