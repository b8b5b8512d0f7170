from __future__ import annotations

import json

import pytest
import typer
from benchmarks.iris import main, make_bench
from typer.testing import CliRunner


def test_every_cost_is_measured_in_a_process_of_its_own() -> None:
    app = typer.Typer()
    app.command()(main)
    asked = ["--preset", "iris-nano", "--repeats", "1", "--json"]
    printed = CliRunner().invoke(app, asked)
    assert printed.exit_code == 0, printed.output
    document = json.loads(printed.stdout)
    assert len(document["costs"]) == 6
    assert all(cost["cpu_seconds"] > 0 for cost in document["costs"])
    assert "1 of 150 volume passes measured" in document["costs"][-1]["note"]
    assert document["ratios"]["UniverSeg-style / Iris"] > 2


def test_slices_are_refused() -> None:
    with pytest.raises(typer.BadParameter, match="no preset .* of volumes"):
        make_bench("iris-compact-2d", 1, 1)
