from __future__ import annotations

from typing import Any

import pytest
from benchmarks.results_page import FLOORS, METHOD, beside, floors, headline, replace_part

from medprism.core.errors import ConfigError


def _report(value: float) -> dict[str, Any]:
    figures: dict[str, dict[str, Any]] = {}
    for role, measure, _ in FLOORS:
        figures.setdefault(role, {})[measure] = {"value": value}
    return {
        "headlines": [
            {"method": METHOD, "rule": rule, "role": role, "figures": found}
            for rule in ("classes", "sets")
            for role, found in figures.items()
        ]
    }


@pytest.mark.parametrize(("value", "missed"), [(0.9, 0), (0.1, 9), (0.6, 5)])
def test_floors_count_what_is_missed(value: float, missed: int) -> None:
    text = floors(_report(value))
    assert f"**{missed} of 9 are missed.**" in text
    assert text.count("| no |") == missed
    assert f"| train, clicks@5 | 0.83 | {value:.3f} | {value:.3f} |" in text


def test_a_set_has_every_measure_of_every_method_in_its_row() -> None:
    facts = {"role": "unseen", "dataset": "b", "num_images": 30}
    comparisons = [
        {
            "facts": facts,
            "measure": measure,
            "num_pairs": 7,
            "figures": {"ours": {"value": ours}, "GrabCut": {"value": 0.25}},
        }
        for measure, ours in (("clicks@1", 0.5), ("clicks@5", 0.75), ("semantic", 0.125))
    ]
    text = beside({"comparisons": comparisons}, "unseen", ("clicks@1", "clicks@5"))
    assert text.splitlines()[-1] == "| b | 30 | 7 | 0.250 | 0.500 | 0.250 | 0.750 |"
    assert len(beside({"comparisons": comparisons}, "train", ("clicks@1",)).splitlines()) == 2


def test_parts_of_a_page_are_replaced_and_nothing_else() -> None:
    page = "before\n<!-- a -->\n\nold\n\n<!-- /a -->\nafter\n"
    assert replace_part(page, "a", "new") == page.replace("old", "new")
    with pytest.raises(ConfigError, match="no part between <!-- b -->"):
        replace_part(page, "b", "new")


def test_the_headline_of_a_report_is_cut_out() -> None:
    assert headline("# E\n\n## Headline\n\nAverage.\n\n| a |\n\n## Next\n") == "Average.\n\n| a |"
