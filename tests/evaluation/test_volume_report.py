from __future__ import annotations

import json
from pathlib import Path

import pytest

from medprism.core.errors import StoreError
from medprism.evaluation.intervals import Score, macro_interval
from medprism.evaluation.results import Cell
from medprism.evaluation.volume_report import headline, write_volume_report
from medprism.metrics.surface import SurfaceScore
from tests.evaluation.tables import make_cell, make_row

DICE = {"liver": (0.9, 0.7, 0.8, 0.6), "cyst": (0.2, 0.4, 0.3, 0.1)}
DISTANCE = (3.0, 7.0, 5.0, 9.0)


def volumes() -> Cell:
    """Return a cell of four volumes of two patients; the last knows no spacing."""
    rows = []
    for concept, values in DICE.items():
        for place, value in enumerate(values):
            surface = SurfaceScore(DISTANCE[place], dice=value / 2, tolerance_mm=2.0)
            row = make_row(
                "scans",
                case=f"v{place}",
                patient=f"p{place % 2}",
                concept=concept,
                protocol="volume-semantic",
                values=(value,),
                surface=None if place == 3 else surface,
            )
            rows.append(row)
    made = make_cell("scans", num_images=4)
    plan = {"weights": "0123456789abcdef", "engine": "torch", "tolerance_mm": 2.0, "shots": 1}
    return Cell(made.facts, "ours", plan, tuple(rows))


def test_every_class_has_dice_hd95_and_nsd_with_intervals_over_patients(tmp_path: Path) -> None:
    figures = write_volume_report([volumes()], tmp_path, {"scans": ["spleen"]})
    page = (tmp_path / "volumes.md").read_text()
    scores = [Score("scans", "liver", f"p{n % 2}", v) for n, v in enumerate(DICE["liver"])]
    dice = macro_interval(scores)
    assert dice.low is not None and dice.high is not None
    line = next(line for line in page.splitlines() if line.startswith("| liver |"))
    cells = [cell.strip() for cell in line.strip("|").split("|")]
    assert cells[:4] == [
        *("liver", "4", "2"),
        f"{dice.mean:.3f} ({dice.low:.3f} to {dice.high:.3f})",
    ]
    # Three of them know distances.
    assert cells[4].startswith("5.0 (")
    assert cells[5].startswith("0.400 (")
    mean = next(line for line in page.splitlines() if line.startswith("| mean |"))
    assert "| 8 | 2 | 0.500 (" in mean
    assert "the model lacks it: spleen" in page
    assert "by slices of one other volume" not in page.lower()
    said = headline(figures)
    assert said.startswith("scans (train), ours by class: Dice 0.500 (")
    assert ", HD95 5.0 (" in said and " mm, NSD 0." in said
    document = json.loads((tmp_path / "volumes.json").read_text())
    (one,) = document["sets"]
    assert one["summary"]["by_class"]["cyst"]["volume HD95"]["value"] == pytest.approx(5.0)
    assert one["lacking"] == ["spleen"]


def test_results_of_slices_are_left_out(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="no results of whole volumes"):
        write_volume_report([make_cell("set")], tmp_path)
    assert len(write_volume_report([make_cell("set"), volumes()], tmp_path)) == 1
