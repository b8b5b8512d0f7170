"""Hold masks out of a small set: a share of its patients, so that every class is on both sides."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Final

from medprism.core.errors import ConfigError
from medprism.core.randomness import counter_rng
from medprism.data.slice_row import SliceRow
from medprism.data.store import SliceStore

# A mask is a picture, or a slice of a volume, that shows the class.
LEAST_MASKS: Final = 5
LEAST_CASES: Final = 2
_DRAWS: Final = 64

ClassIds = Mapping[str, Mapping[str, tuple[int, ...]]]
"""Class -> dataset -> label ids."""


def hold_out(store: SliceStore, classes: ClassIds, share: float, seed: int) -> SliceStore:
    """Return a view of a store whose rows are all of role `train`, in splits `train` and `val`.

    About `share` of the cases are held out as `val`. A case is a patient where one is known, else
    an image with all its slices. The draw depends on the rows and the seed only; the first seed
    from `seed` on that leaves every class masks on both sides counts.

    Raises:
        ConfigError: a class has too few masks, or all of them are of one case.
    """
    rows = list(store.rows)
    cases = [_case(row) for row in rows]
    shown = {name: _showing(rows, ids) for name, ids in classes.items()}
    for name, numbers in shown.items():
        _refuse_too_few(name, len(numbers), len({cases[n] for n in numbers}))
    for draw in range(_DRAWS):
        held = _draw(cases, share, seed + draw)
        sides = [{cases[n] in held for n in numbers} for numbers in shown.values()]
        if all(len(side) == 2 for side in sides):
            return _with_splits(store, ["val" if case in held else "train" for case in cases])
    raise ConfigError(
        f"{_DRAWS} draws found no way to hold masks out so that each of {', '.join(classes)} is on "
        "both sides; train fewer classes at once, or add cases"
    )


def keep_splits(store: SliceStore, classes: ClassIds) -> SliceStore | None:
    """Return a view with the splits as they are written, None where they do not serve.

    They serve where every class is shown in `train` and in `val`; rows of `test` are left alone.
    """
    for ids in classes.values():
        sides = {store.rows[number].split for number in _showing(list(store.rows), ids)}
        if not {"train", "val"} <= sides:
            return None
    return _with_splits(store, [row.split for row in store.rows])


def count_masks(store: SliceStore, ids: Mapping[str, tuple[int, ...]], split: str) -> int:
    """Return how many rows of a split show any of the label ids."""
    return len([n for n in _showing(list(store.rows), ids) if store.rows[n].split == split])


def count_cases(store: SliceStore, ids: Mapping[str, tuple[int, ...]], split: str) -> int:
    """Return how many cases of a split show any of the label ids."""
    rows = [store.rows[n] for n in _showing(list(store.rows), ids)]
    return len({_case(row) for row in rows if row.split == split})


def _draw(cases: Sequence[str], share: float, seed: int) -> set[str]:
    """Return cases that hold up to a share of the rows, and at least one case."""
    sizes = Counter(cases)
    names = sorted(sizes)
    room = max(1, round(share * len(cases)))
    held: set[str] = set()
    for index in counter_rng(seed, "held out").permutation(len(names)):
        name = names[int(index)]
        if sizes[name] <= room:
            held.add(name)
            room -= sizes[name]
    return held or {min(names, key=lambda name: (sizes[name], name))}


def _refuse_too_few(name: str, masks: int, cases: int) -> None:
    if masks < LEAST_MASKS:
        raise ConfigError(
            f"{name!r} has {masks} masks; training a class needs at least {LEAST_MASKS}, so add "
            f"{LEAST_MASKS - masks} more"
        )
    if cases < LEAST_CASES:
        raise ConfigError(
            f"the {masks} masks of {name!r} are all of one patient or image; training a class "
            f"needs at least {LEAST_CASES}, since masks of another one must be held out to measure"
        )


def _case(row: SliceRow) -> str:
    # The content names the image and the plane; slices of one volume share the image.
    image = row.content.rpartition(":")[0]
    return f"image {image}" if row.patient is None else f"patient {row.dataset} {row.patient}"


def _showing(rows: Sequence[SliceRow], ids: Mapping[str, tuple[int, ...]]) -> list[int]:
    return [
        number
        for number, row in enumerate(rows)
        if any(label_id in row.areas for label_id in ids.get(row.dataset, ()))
    ]


def _with_splits(store: SliceStore, splits: Sequence[str]) -> SliceStore:
    rows = tuple(
        replace(row, split=split, role="train")
        for row, split in zip(store.rows, splits, strict=True)
    )
    infos = {name: replace(info, role="train") for name, info in store.infos.items()}
    return store.with_rows(rows, infos)
