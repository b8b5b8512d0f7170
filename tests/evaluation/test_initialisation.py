from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from medprism.core.errors import ConfigError, InternalError
from medprism.core.randomness import counter_rng
from medprism.data.store import SliceStore
from medprism.evaluation.cases import StoreReader, Target
from medprism.evaluation.initialisation import PairedClicks, pair_clicks, saved_share
from medprism.evaluation.protocols import (
    INTERACTIVE,
    REFINE_IN_CONTEXT,
    REFINE_SEMANTIC,
    ClickLimits,
    Exam,
    interactive,
    refine_semantic,
)
from medprism.evaluation.references import FixedReferences
from medprism.evaluation.results import ResultRow
from medprism.inference.session import Session
from medprism.metrics.bootstrap import bootstrap_difference
from tests.evaluation.phantoms import scene_model
from tests.evaluation.tables import make_row


def slow_clicks(values: tuple[float, ...], *, first: int, cap: int) -> float:
    """Count by walking; `first` is the number of clicks before the first value."""
    for clicks, value in enumerate(values, start=first):
        if value >= 0.9 and clicks <= cap:
            return float(clicks)
    return float(cap)


def rows_of(count: int = 14) -> list[ResultRow]:
    rng, rows = counter_rng(3, "rows"), []
    for number in range(count):
        common = {"case": f"c{number}", "patient": f"p{number % 4}"}
        for protocol, extra in ((INTERACTIVE, 0), (REFINE_SEMANTIC, 1)):
            worst = rng.uniform(0.3, 0.95)
            values = tuple(np.sort(rng.uniform(worst, 0.99, 6 + extra)).tolist())
            rows.append(make_row("ab"[number % 2], protocol=protocol, values=values, **common))
    return rows


def test_pairs_are_those_that_both_answered_and_count_like_a_slow_loop() -> None:
    rows = [*rows_of(), make_row(protocol=INTERACTIVE, values=(0.2,)), make_row()]
    pairs = pair_clicks(rows[::-1], REFINE_SEMANTIC, cap=5)
    assert len(pairs.after) == 14
    expected = {}
    for row in rows[:28]:
        is_refined = row.protocol == REFINE_SEMANTIC
        first = 0 if is_refined else 1
        value = slow_clicks(row.values, first=first, cap=5)
        expected.setdefault((row.dataset, row.case), {})[is_refined] = value
    found = sorted(zip(pairs.datasets, pairs.patients, pairs.nothing, pairs.after, strict=True))
    wanted = sorted(
        (name, f"{name}, patient p{int(case[1:]) % 4}", by[False], by[True])
        for (name, case), by in expected.items()
    )
    assert found == wanted
    assert 0.0 in pairs.after
    assert min(pairs.nothing) >= 1.0


def test_methods_are_not_mixed() -> None:
    rows = rows_of()
    others = [replace(row, method="other") for row in rows if row.protocol == INTERACTIVE]
    begun = [row for row in rows if row.protocol == REFINE_SEMANTIC]
    assert pair_clicks([*others, *begun], REFINE_SEMANTIC, cap=5).after == ()
    assert pair_clicks(rows, REFINE_IN_CONTEXT, cap=5).after == ()


def test_the_difference_is_paired_over_patients() -> None:
    pairs = pair_clicks(rows_of(), REFINE_SEMANTIC, cap=5)
    interval = bootstrap_difference(pairs.after, pairs.nothing, pairs.patients, seed=1)
    assert interval.mean == pytest.approx(np.mean(pairs.after) - np.mean(pairs.nothing))
    assert interval.low is not None
    assert interval.low < interval.mean
    shares = []
    for name in "ab":
        chosen = [place for place, dataset in enumerate(pairs.datasets) if dataset == name]
        after = sum(pairs.after[place] for place in chosen)
        shares.append(1 - after / sum(pairs.nothing[place] for place in chosen))
    saved = saved_share(pairs)
    assert saved.mean == pytest.approx(np.mean(shares))
    assert saved.low is not None
    assert saved.high is not None
    assert saved.low < saved.mean < saved.high


def test_a_mask_that_costs_clicks_saves_less_than_nothing() -> None:
    worse = PairedClicks(REFINE_SEMANTIC, 0.9, 10, (6.0,), (4.0,), ("p",), ("a",))
    assert saved_share(worse).mean == pytest.approx(-0.5)
    with pytest.raises(InternalError, match="at least one pair"):
        saved_share(replace(worse, after=(), nothing=(), patients=(), datasets=()))


def test_unequal_clicks_and_other_protocols_are_refused() -> None:
    rows = rows_of()
    low = [replace(row, values=tuple(0.5 * value for value in row.values)) for row in rows]
    assert set(pair_clicks(low, REFINE_SEMANTIC, cap=6).after) == {6.0}
    with pytest.raises(ConfigError, match="ended after 6 clicks below Dice 0.9"):
        pair_clicks(low, REFINE_SEMANTIC, cap=7)
    done = [replace(row, values=(0.1, 1.0)) for row in rows]
    assert set(pair_clicks(done, REFINE_SEMANTIC, cap=9).after) == {1.0}
    with pytest.raises(ConfigError, match="protocol 'interactive'"):
        pair_clicks(rows, INTERACTIVE, cap=5)
    with pytest.raises(ConfigError, match="cap of 0"):
        pair_clicks(rows, REFINE_SEMANTIC, cap=0)


def test_a_good_first_mask_saves_clicks_in_a_session(scenes: SliceStore) -> None:
    exam = Exam(
        session=Session(scene_model("scenes")),
        store=scenes,
        reader=StoreReader(scenes),
        references=FixedReferences(scenes, 0),
        method="fake",
        limits=ClickLimits(interactive=4, refine=4),
    )
    number = next(n for n, row in enumerate(scenes.rows) if row.case_id == "f")
    targets = [Target("scenes", "liver", (1,), True), Target("scenes", "polyp", (3,), True)]
    rows = [*interactive(exam, number, targets), *refine_semantic(exam, number, targets)]
    pairs = pair_clicks(rows, REFINE_SEMANTIC, cap=4, target=0.8)
    begun = [row.values[0] for row in rows if row.protocol == REFINE_SEMANTIC]
    assert [clicks == 0.0 for clicks in pairs.after] == [value >= 0.8 for value in begun]
    assert sum(pairs.after) < sum(pairs.nothing)
