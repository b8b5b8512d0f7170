from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from medprism.core.errors import FormatVersionError
from medprism.data.store import SliceStore
from medprism.evaluation.facts import facts_of
from medprism.evaluation.results import (
    Cell,
    ResultRow,
    read_cell,
    volume_of,
    write_cell,
)
from medprism.metrics.overlap import Overlap
from medprism.metrics.surface import SurfaceScore

ROW = ResultRow(
    dataset="d",
    role="train",
    split="test",
    case="c",
    patient=None,
    volume=None,
    concept="liver",
    method="m",
    protocol="interactive",
    values=(0.1, 1 / 3),
    overlap=Overlap(3, 4, 2),
    presence=None,
    milliseconds=1.5,
)


FULL = replace(ROW, shots=(1, 3), pixels=99, surface=SurfaceScore(2.5, 0.75, 1.0))


def test_a_unit_is_the_patient_or_the_case() -> None:
    assert ROW.unit == "case c"
    assert replace(ROW, patient="c").unit == "patient c"


def test_a_cell_comes_back_as_it_was(scenes: SliceStore, tmp_path: Path) -> None:
    facts = facts_of(scenes, "scenes", "test", [5])
    cell = Cell(facts, "m", {"limit": None, "clicks": 10}, (ROW, replace(ROW, patient="p"), FULL))
    write_cell(tmp_path / "cell.json", cell)
    assert read_cell(tmp_path / "cell.json") == cell


def test_a_cell_of_version_1_is_read(scenes: SliceStore, tmp_path: Path) -> None:
    path = tmp_path / "cell.json"
    cell = Cell(facts_of(scenes, "scenes", "test", [5]), "m", {}, (ROW,))
    write_cell(path, cell)
    document = json.loads(path.read_text())
    document["version"] = 1
    for row in document["rows"]:
        for name in ("shots", "pixels", "surface"):
            del row[name]
    path.write_text(json.dumps(document))
    assert read_cell(path) == cell


@pytest.mark.parametrize("damage", ["", "{}", "cut", "rows"])
def test_a_damaged_cell_is_refused(scenes: SliceStore, tmp_path: Path, damage: str) -> None:
    path = tmp_path / "cell.json"
    write_cell(path, Cell(facts_of(scenes, "scenes", "test", [5]), "m", {}, (ROW,)))
    text = path.read_text()
    path.write_text(
        {"cut": text[:-40], "rows": text.replace('"overlap"', '"overlop"')}.get(damage, damage)
    )
    with pytest.raises(FormatVersionError):
        read_cell(path)


@pytest.mark.parametrize(
    ("case", "slice_index", "volume"),
    [
        ("patient001_frame01_z001", 1, "patient001_frame01"),
        ("c1000ax_z036", 36, "c1000ax"),
        ("10001_66", 66, "10001"),
        ("105006", 6, "105"),
        ("110045", 45, "110"),
        ("100106", 106, "100"),
        ("la_003_1049", 49, "la_003_1"),
        ("case101_day20_slice_0078", 78, "case101_day20"),
        ("a_z000", 0, "a"),
        ("picture7", None, None),
    ],
)
def test_volumes_are_found_by_case_name(
    scenes: SliceStore, case: str, slice_index: int | None, volume: str | None
) -> None:
    row = replace(scenes.rows[0], case_id=case, slice_index=slice_index)
    assert volume_of(row) == volume
