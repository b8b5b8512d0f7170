from __future__ import annotations

import json
from pathlib import Path

import pytest

from medprism.core.errors import FormatVersionError
from medprism.evaluation.bench.official.failures import (
    Failure,
    forget_failure,
    read_failures,
    write_failure,
)
from tests.evaluation.tables import make_cell

LOST = Failure(
    method="SAM 2 (official)",
    dataset="set_a",
    roles=("external", "unseen"),
    protocols=("interactive",),
    clicks=10,
    kind="package missing",
    reason="sam2: ModuleNotFoundError: No module named 'sam2'",
)
GOLDEN = Path(__file__).parent / "golden"


def test_a_failure_is_kept_until_it_is_forgotten_or_the_cell_is_there(tmp_path: Path) -> None:
    assert read_failures(tmp_path) == ()
    write_failure(tmp_path, LOST)
    assert read_failures(tmp_path, [make_cell("set_b", method=LOST.method)]) == (LOST,)
    assert read_failures(tmp_path, [make_cell("set_a", method="other (official)")]) == (LOST,)
    assert read_failures(tmp_path, [make_cell("set_a", method=LOST.method)]) == ()
    forget_failure(tmp_path, LOST.method, "set_a")
    forget_failure(tmp_path, LOST.method, "set_a")
    assert read_failures(tmp_path) == ()


def test_the_golden_file_of_version_1_is_read_and_written_as_it_is(tmp_path: Path) -> None:
    (golden,) = (GOLDEN / "official").glob("*.json")
    assert read_failures(GOLDEN) == (LOST,)
    write_failure(tmp_path, LOST)
    written = tmp_path / "official" / golden.name
    assert json.loads(written.read_text()) == json.loads(golden.read_text())


@pytest.mark.parametrize("change", [{"version": 2}, {"kind": None, "roles": 3}, {"reason": ...}])
def test_a_damaged_or_newer_file_is_said(tmp_path: Path, change: dict[str, object]) -> None:
    write_failure(tmp_path, LOST)
    (path,) = (tmp_path / "official").glob("*.json")
    document = json.loads(path.read_text()) | change
    path.write_text(json.dumps({k: v for k, v in document.items() if v is not ...}))
    with pytest.raises(FormatVersionError):
        read_failures(tmp_path)
