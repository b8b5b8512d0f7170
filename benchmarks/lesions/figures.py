"""From counted pixels to figures: what a page shows, as plain data.

Dice (`dice_image_mean`) is the mean over images of an image's own Dice. mIoU (`miou_fg_bg_dataset`)
is of all pixels of a task's images together, the mean of lesion and background, which is the one
definition that fits the published table. IoU (`iou_image_mean`) is the lesion's own, by image.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import groupby
from typing import Any, Final

import numpy as np
from jaxtyping import Float64

from benchmarks.lesions.measuring import Counted
from benchmarks.lesions.methods import REFERENCE
from benchmarks.lesions.tasks import NEIGHBOURS
from medprism.evaluation.intervals import Score, macro_interval, pooled_interval
from medprism.metrics.bootstrap import Interval
from medprism.metrics.dice import dice_of_counts
from medprism.metrics.overlap import iou_of_counts

Rows = Mapping[str, Mapping[str, Any]]
Figure = dict[str, Any]

WRONG_LIMIT: Final = 0.10
CHECKPOINT: Final = "checkpoint"
# Beside TP-Seg with every other method: what a plain model gains or loses by being one.
MORE: Final = (("unet-per-task", "unet"),)
_BESIDE: Final = {task.name for task in NEIGHBOURS}


def summarise(rows: Rows) -> dict[str, Any]:
    """Return everything that the page shows, from the rows of a file of results."""
    parts = {key: [word.strip() for word in key.split("|")] for key in rows}
    names = list(dict.fromkeys(words[1] for words in parts.values() if words[0] == "run"))
    by_run = {name: _counted(rows, "test", name) for name in names}
    return {
        "tasks": rows["tasks"]["value"] if "tasks" in rows else [],
        "runs": {name: _run(rows, name, by_run[name]) for name in names},
        "comparisons": _comparisons(by_run),
        "gradients": _values(rows, "gradients"),
        "cost": _values(rows, "cost"),
        "prototypes": _prototypes(rows),
    }


def figure(rows: Sequence[Counted], group: Callable[[Counted], str] | None = None) -> Figure:
    """Return the three measures over some answers: the mean over groups, which are tasks."""
    key = group or (lambda row: row.task)
    return {
        "dice": _interval(_macro(rows, key, lambda row: dice_of_counts(row.overlap))),
        "miou": _interval(_pooled_miou(rows, key)),
        "iou": _interval(_macro(rows, key, lambda row: iou_of_counts(row.overlap))),
        "images": len(rows),
        "patients": len({(row.dataset, row.patient) for row in rows}),
    }


def difference(first: Sequence[Counted], second: Sequence[Counted]) -> Figure | None:
    """Return the mean over tasks of Dice of the first minus the second, image by image.

    None where they have no image in common.
    """
    others = {(row.task, row.dataset, row.case): row for row in second}
    scores = [
        Score(
            row.task,
            row.task,
            f"{row.dataset}/{row.patient}",
            dice_of_counts(row.overlap) - dice_of_counts(other.overlap),
        )
        for row in first
        if (other := others.get((row.task, row.dataset, row.case))) is not None
    ]
    if not scores:
        return None
    return {"dice": _interval(macro_interval(scores)), "images": len(scores)}


def lesions_of(rows: Sequence[Counted]) -> list[Counted]:
    """Return the answers about lesions, without the structures beside them."""
    return [row for row in rows if row.task not in _BESIDE]


def verdict(interval: Sequence[float | None]) -> str:
    """Say what an interval of a difference says.

    >>> verdict([0.02, 0.01, 0.04]), verdict([0.02, -0.01, 0.04]), verdict([0.5, None, None])
    ('higher', 'undecided', 'undecided')
    """
    _, low, high = interval
    if low is None or high is None:
        return "undecided"
    if low > 0:
        return "higher"
    return "lower" if high < 0 else "undecided"


def _run(rows: Rows, name: str, test: Sequence[Counted]) -> dict[str, Any]:
    external = _counted(rows, "external", name)
    wrong = _counted(rows, "wrong", name)
    return {
        **rows[f"run | {name}"]["value"],
        "test": _by_task(test),
        "external": {
            key: figure(list(own))
            for key, own in groupby(sorted(external, key=_set_and_task), key=_set_and_task)
        },
        "wrong": [_wrong(asked, task, wrong) for asked, task in _asked(wrong)],
    }


def _by_task(rows: Sequence[Counted]) -> dict[str, Any]:
    if not rows:
        return {}
    tasks = {task: figure([r for r in rows if r.task == task]) for task in _tasks(rows)}
    lesions = lesions_of(rows)
    return {"lesions": figure(lesions) if lesions else None, "tasks": tasks}


def _wrong(asked: str, task: str, rows: Sequence[Counted]) -> dict[str, Any]:
    """Return Dice of one answer beside the truth of its own task and of the other one."""
    own = [row for row in rows if (row.asked, row.task) == (asked, asked)]
    other = [row for row in rows if (row.asked, row.task) == (asked, task)]
    value = figure(other)["dice"]
    return {
        "asked": asked,
        "task": task,
        "right": figure(own)["dice"],
        "wrong": value,
        "images": len(other),
        "holds": value[0] < WRONG_LIMIT,
    }


def _asked(rows: Sequence[Counted]) -> list[tuple[str, str]]:
    found = dict.fromkeys((row.asked, row.task) for row in rows)
    return [(asked, task) for asked, task in found if asked != task]


def _comparisons(by_run: Mapping[str, Sequence[Counted]]) -> list[dict[str, Any]]:
    """Return Dice of one method minus another of the same length, on lesions."""
    found = []
    for name, rows in by_run.items():
        method, _, length = name.partition("@")
        for first, second in ((REFERENCE, method), *((a, b) for a, b in MORE if b == method)):
            better = by_run.get(f"{first}@{length}")
            apart = None
            if first != second and better:
                apart = difference(lesions_of(better), lesions_of(rows))
            if apart is not None:
                found.append({"length": length, "first": first, "second": second, **apart})
    return found


def _prototypes(rows: Rows) -> dict[str, Any]:
    ways = list(
        dict.fromkeys(key.split(" | ")[1] for key in rows if key.startswith("prototypes | "))
    )
    counted = {way: _counted(rows, "prototypes", way) for way in ways}
    found: dict[str, Any] = {}
    for way, own in counted.items():
        found[way] = {
            **_by_task(own),
            "minus first": difference(lesions_of(own), lesions_of(counted[ways[0]])),
        }
    return found


def _counted(rows: Rows, kind: str, name: str) -> list[Counted]:
    prefix = f"{kind} | {name} | "
    return [
        Counted(*one) for key, row in rows.items() if key.startswith(prefix) for one in row["value"]
    ]


def _values(rows: Rows, kind: str) -> dict[str, Any]:
    prefix = f"{kind} | "
    return {k.removeprefix(prefix): row["value"] for k, row in rows.items() if k.startswith(prefix)}


def _tasks(rows: Sequence[Counted]) -> list[str]:
    return list(dict.fromkeys(row.task for row in rows))


def _set_and_task(row: Counted) -> str:
    return f"{row.dataset}: {row.task}"


def _macro(
    rows: Sequence[Counted], key: Callable[[Counted], str], of: Callable[[Counted], float]
) -> Interval:
    return macro_interval(
        [Score(key(row), key(row), f"{row.dataset}/{row.patient}", of(row)) for row in rows]
    )


def _pooled_miou(rows: Sequence[Counted], key: Callable[[Counted], str]) -> Interval:
    groups = []
    for name in dict.fromkeys(key(row) for row in rows):
        own = [row for row in rows if key(row) == name]
        counts = np.array(
            [[row.mask, row.reference, row.common, row.pixels] for row in own], np.float64
        )
        groups.append((counts, [f"{row.dataset}/{row.patient}" for row in own]))
    return pooled_interval(groups, miou_of_sums)


def miou_of_sums(sums: Float64[np.ndarray, "sums 4"]) -> Float64[np.ndarray, " sums"]:
    """Return `metrics.overlap.miou_fg_bg` of every row: mask, reference, common, pixels."""
    mask, reference, common, pixels = sums.T
    union = mask + reference - common
    with np.errstate(invalid="ignore", divide="ignore"):
        lesion = np.where(union > 0, common / union, 1.0)
        background = np.where(pixels > common, (pixels - union) / (pixels - common), 1.0)
    return np.asarray((lesion + background) / 2)


def _interval(found: Interval) -> list[float | None]:
    return [
        None if value is None else round(value, 4) for value in (found.mean, found.low, found.high)
    ]
