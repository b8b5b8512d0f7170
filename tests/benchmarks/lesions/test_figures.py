from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from benchmarks.lesions.figures import difference, figure, miou_of_sums, summarise, verdict
from benchmarks.lesions.measuring import Counted
from benchmarks.lesions.page import render
from benchmarks.lesions.words import NOT_YET
from sklearn.metrics import f1_score, jaccard_score

from medprism.core.randomness import counter_rng
from medprism.metrics.overlap import Overlap, count_overlap, miou_fg_bg

from .phantoms import LESION, ORGAN


def draw(seed: int) -> list[tuple[str, np.ndarray, np.ndarray]]:
    """Return masks and truths of two tasks, four images each."""
    rng = counter_rng(seed, "masks")
    return [(task, *(rng.random((2, 9, 14)) < 0.4)) for task in (LESION, "foot ulcer") * 4]


def counted(seed: int) -> list[Counted]:
    rows = []
    for number, (task, mask, truth) in enumerate(draw(seed)):
        counts = count_overlap(mask, truth)
        rows.append(
            Counted(
                task=task,
                asked=task,
                dataset="set",
                case=f"c{number}",
                patient=f"p{number // 2}",
                mask=counts.mask,
                reference=counts.reference,
                common=counts.common,
                pixels=mask.size,
            )
        )
    return rows


def test_the_three_measures_are_those_of_scikit_learn() -> None:
    found = figure(counted(1))
    dices: dict[str, list[float]] = {}
    ious: dict[str, list[float]] = {}
    pixels: dict[str, list[np.ndarray]] = {}
    for task, mask, truth in draw(1):
        flat = truth.ravel(), mask.ravel()
        dices.setdefault(task, []).append(f1_score(*flat))
        ious.setdefault(task, []).append(jaccard_score(*flat))
        pixels.setdefault(task, []).append(np.stack(flat))
    mious = [
        jaccard_score(*np.concatenate(own, axis=1), average="macro") for own in pixels.values()
    ]
    assert found["dice"][0] == pytest.approx(
        np.mean([np.mean(v) for v in dices.values()]), abs=1e-4
    )
    assert found["iou"][0] == pytest.approx(np.mean([np.mean(v) for v in ious.values()]), abs=1e-4)
    assert found["miou"][0] == pytest.approx(np.mean(mious), abs=1e-4)
    assert (found["images"], found["patients"]) == (8, 4)
    for name in ("dice", "miou", "iou"):
        mean, low, high = found[name]
        assert low <= mean <= high


def test_vectorised_miou_is_that_of_the_metrics() -> None:
    rng = counter_rng(2, "sums")
    rows = [[0, 0, 0, 12], [12, 12, 12, 12], [6, 0, 0, 12]]
    for _ in range(20):
        common, left, right, rest = (int(rng.integers(5)) for _ in range(4))
        rows.append([common + left, common + right, common, common + left + right + rest + 1])
    expected = [miou_fg_bg(Overlap(*row[:3]), row[3]) for row in rows]
    assert miou_of_sums(np.array(rows, np.float64)).tolist() == pytest.approx(expected)


def test_a_large_background_lifts_miou_above_dice() -> None:
    row = counted(1)[0]
    small = replace(row, mask=10, reference=10, common=6, pixels=10_000)
    found = figure([small])
    assert found["miou"][0] > found["dice"][0] > found["iou"][0]
    assert found["dice"] == [0.6, None, None]


def test_differences_are_paired_by_image() -> None:
    first = counted(1)
    worse = [replace(row, common=row.common // 2) for row in first]
    apart = difference(first, worse[::-1])
    assert apart is not None
    means = [figure(rows)["dice"][0] for rows in (first, worse)]
    assert apart["dice"][0] == pytest.approx(means[0] - means[1], abs=2e-4)
    assert verdict(apart["dice"]) == "higher"
    back = difference(worse, first)
    assert back is not None
    assert verdict(back["dice"]) == "lower"
    same = difference(first, first)
    assert same == {"dice": [0.0, 0.0, 0.0], "images": 8}
    assert verdict([0.0, 0.0, 0.0]) == "undecided"
    assert difference(first, [replace(row, case="other") for row in first]) is None


def rows_of(runs: dict[str, list[Counted]]) -> dict[str, dict[str, object]]:
    found: dict[str, dict[str, object]] = {}
    for name, rows in runs.items():
        minutes = 15.0 if name.endswith("min") else None
        facts = {"minutes asked": minutes, "minutes": 14.9, "steps": 1234, "parameters": 5}
        found[f"run | {name}"] = {"value": facts}
        found[f"test | {name} | set"] = {"value": [row.to_json() for row in rows]}
    return found


def test_organs_are_shown_but_count_in_no_mean() -> None:
    rows = counted(1)
    organs = [replace(row, task=ORGAN, asked=ORGAN, common=0) for row in rows]
    summary = summarise(rows_of({"tpseg@15min": [*rows, *organs]}))
    run = summary["runs"]["tpseg@15min"]["test"]
    assert run["tasks"][ORGAN]["dice"][0] == 0.0
    assert run["lesions"]["dice"] == figure(rows)["dice"]


def test_methods_are_compared_with_tp_seg_of_the_same_length() -> None:
    rows = counted(1)
    worse = [replace(row, common=row.common // 2) for row in rows]
    runs = {
        "tpseg@15min": rows,
        "unet@15min": worse,
        "tpseg@600steps": worse,
        "spider@9steps": rows,
    }
    summary = summarise(rows_of(runs))
    (one,) = summary["comparisons"]
    assert (one["length"], one["first"], one["second"]) == ("15min", "tpseg", "unet")
    page = render(summary)
    assert f"{figure(rows)['dice'][0]:.3f} (" in page
    assert "): higher |" in page
    minutes, steps = page.split("## Adapters and prototypes")
    assert "### 15min" in minutes
    assert "### 600steps" in steps
    assert "`tpseg` has no run of this length" in steps


def test_a_wrong_task_fails_where_the_other_structure_is_found() -> None:
    base = replace(counted(1)[0], mask=10, reference=10, pixels=100)
    rows = [
        replace(base, task=task, asked=asked, common=common)
        for asked, task, common in (
            (LESION, LESION, 9),
            (LESION, ORGAN, 4),
            (ORGAN, ORGAN, 8),
            (ORGAN, LESION, 0),
        )
    ]
    held = rows_of({"tpseg@15min": rows[:1]})
    held["wrong | tpseg@15min | polyp / liver"] = {"value": [row.to_json() for row in rows]}
    summary = summarise(held)
    found = {
        (one["asked"], one["task"]): (one["right"][0], one["wrong"][0], one["holds"])
        for one in summary["runs"]["tpseg@15min"]["wrong"]
    }
    assert found == {(LESION, ORGAN): (0.9, 0.4, False), (ORGAN, LESION): (0.8, 0.0, True)}
    assert "**1 of 2 fail.**" in render(summary)


def test_a_page_without_figures_says_so_in_every_part() -> None:
    page = render({})
    assert page.count(NOT_YET) == page.count("\n## ") == 10
    assert render(summarise({})) == page
