from __future__ import annotations

import pytest

from medprism.apps.demo.row import FLOORS, Knowledge, Row


def _row(knowledge: Knowledge, dice: float | None, before: float | None = None) -> Row:
    clicks = 0 if before is None else 1
    return Row(
        what="a tissue",
        knowledge=knowledge,
        clicks=clicks,
        milliseconds=41.6,
        file="a.png",
        dice=dice,
        before=before,
    )


@pytest.mark.parametrize("knowledge", list(FLOORS))
def test_a_first_answer_must_reach_the_floor_of_its_knowledge(knowledge: Knowledge) -> None:
    floor = FLOORS[knowledge]
    assert 0 < floor < 1
    assert not _row(knowledge, floor).is_below_floor
    assert _row(knowledge, floor - 0.01).is_below_floor


def test_refinements_and_images_without_truth_are_not_judged() -> None:
    assert not _row("class", 0.1, before=0.05).is_below_floor
    assert not _row("clicks", None).is_below_floor


def test_rows_are_shown_with_what_a_click_changed() -> None:
    assert _row("class", 0.456).cells() == ("a tissue", "class", "0", "42", "0.46", "a.png")
    assert _row("reference", 0.5, before=0.25).cells() == (
        *("a tissue", "reference + click", "1", "42", "0.25 -> 0.50", "a.png"),
    )
    assert _row("clicks", None).cells()[4] == ""
