from __future__ import annotations

from pathlib import Path

import pytest

from medprism.core.errors import FormatVersionError
from medprism.evaluation.volume_ledger import ExaminedVolume, VolumeLedger
from medprism.metrics.surface import SurfaceScore
from tests.evaluation.tables import make_row

PLAN = {"weights": "abc", "tolerance_mm": 2.0}


def examined(case: str) -> ExaminedVolume:
    surface = SurfaceScore(hausdorff_95=4.25, dice=0.5, tolerance_mm=2.0)
    return ExaminedVolume("p", (make_row(case=case, surface=surface), make_row(case=case)))


def test_what_was_written_down_is_found_again_by_the_same_settings_alone(tmp_path: Path) -> None:
    cell = tmp_path / "nano--scans.json"
    first = VolumeLedger(cell, PLAN)
    assert first.find("a") is None
    first.add("a", examined("a"))
    first.add("b", ExaminedVolume(None, ()))
    again = VolumeLedger(cell, PLAN)
    assert again.find("a") == examined("a")
    assert again.find("b") == ExaminedVolume(None, ())
    assert again.find("c") is None
    other = VolumeLedger(cell, {**PLAN, "tolerance_mm": 1.0})
    assert other.find("a") is None
    again.close()
    assert list(tmp_path.iterdir()) == []
    again.close()


def test_a_damaged_ledger_is_said(tmp_path: Path) -> None:
    (tmp_path / "nano--scans.part").write_text("{")
    with pytest.raises(FormatVersionError, match="scans.part"):
        VolumeLedger(tmp_path / "nano--scans.json", PLAN)
