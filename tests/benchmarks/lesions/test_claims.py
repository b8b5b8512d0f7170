from __future__ import annotations

import pytest
from benchmarks.lesions.claims import COMPARED, FAILS, HOLDS, UNDECIDED, judge
from benchmarks.lesions.methods import METHODS
from benchmarks.lesions.page import render


def compared(first: str, second: str, dice: list[float | None]) -> dict[str, object]:
    return {"length": "9min", "first": first, "second": second, "dice": dice, "images": 3}


@pytest.mark.parametrize(
    ("dice", "judgement"),
    [
        ([0.1, 0.05, 0.2], HOLDS),
        ([-0.1, -0.2, -0.01], FAILS),
        ([0.1, -0.01, 0.2], UNDECIDED),
        ([0.1, None, None], UNDECIDED),
    ],
)
def test_a_difference_is_judged_by_its_interval(dice: list[float | None], judgement: str) -> None:
    for claim in COMPARED:
        (found,) = judge({"comparisons": [compared(claim.better, claim.worse, dice)]})
        assert (found.words, found.where, found.judgement) == (claim.words, "9min", judgement)
        assert f"{dice[0]:+.3f}" in found.found


def test_claims_are_about_methods_that_there_are() -> None:
    names = {name for claim in COMPARED for name in (claim.better, claim.worse)}
    assert names == set(METHODS)


def test_one_wrong_task_that_finds_the_other_structure_fails_the_claim() -> None:
    run = {"external": {}, "test": {}, "minutes asked": 9}
    runs = {
        "tpseg@9min": {**run, "wrong": [{"holds": True}, {"holds": False}]},
        "checkpoint": {**run, "wrong": [{"holds": True}, {"holds": True}]},
        "unet@9min": {**run, "wrong": [{"holds": False}]},
    }
    found = {one.where: (one.found, one.judgement) for one in judge({"runs": runs})}
    assert found == {"tpseg@9min": ("1 of 2", FAILS), "checkpoint": ("2 of 2", HOLDS)}


def test_gradients_are_compared_part_by_part() -> None:
    gradients = {
        "tpseg@9steps": {"trunk": {"across": 0.2}, "decoders": {"across": 0.1}},
        "tpseg-shared@9steps": {"trunk": {"across": 0.1}, "decoders": {"across": 0.3}},
        "tpseg@7steps": {"trunk": {"across": 0.2}},
    }
    found = judge({"gradients": gradients})
    assert [one.judgement for one in found] == [HOLDS, FAILS]
    assert [one.words.split(": ")[1] for one in found] == ["trunk", "decoders"]


def test_claims_that_fail_are_on_the_page() -> None:
    summary = {"comparisons": [compared("tpseg", "unet", [-0.1, -0.2, -0.01])]}
    assert "| TP-Seg is above one UNet | 9min | Dice -0.100 (-0.200 to -0.010) | fails |" in render(
        summary
    )
