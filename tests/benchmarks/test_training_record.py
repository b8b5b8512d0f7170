from __future__ import annotations

import json
from pathlib import Path

import pytest
from benchmarks.training_record import command_of, keep

from medprism.core.errors import ConfigError, FormatVersionError
from medprism.training.run_record import RUN_FILE, RunRecord

SHIPPED = Path(__file__).resolve().parents[2] / "docs" / "results" / "training"


def test_a_run_is_kept_with_its_command_and_no_place_of_somebody(tmp_path: Path) -> None:
    run, out = tmp_path / "run", tmp_path / "out"
    run.mkdir()
    out.mkdir()
    record = json.loads((SHIPPED / "5-continued.json").read_text())
    record |= {
        "store": "/somewhere/private/store",
        "start": "/somewhere/private/4-continued/best.safetensors",
    }
    (run / RUN_FILE).write_text(json.dumps(record))
    with pytest.raises(ConfigError, match="has no log"):
        keep(run, out, 5)
    (run / "log.jsonl").write_text('{"step": 20}\n')
    kept = keep(run, out, 5)
    assert kept.name == "5-kprism-compact-continued.json"
    assert kept.with_suffix(".jsonl").read_bytes() == b'{"step": 20}\n'
    told = json.loads(kept.read_text())
    assert "private" not in kept.read_text()
    assert told["command"].startswith("medprism train kprism-compact-continued --store STORE")
    assert (
        "--steps 4400" in told["command"]
        and "--init 4-continued/best.safetensors" in told["command"]
    )
    # It is a record still.
    kept.rename(run / RUN_FILE)
    assert RunRecord.load(run).sets == tuple(record["sets"])
    with pytest.raises(FormatVersionError):
        keep(out, out, 1)


def test_only_what_differs_from_the_recipe_is_said() -> None:
    record = {"recipe": "kprism-nano", "config": {"steps": 9, "seed": 77}, "task_change": 0.5}
    expected = "medprism train kprism-nano --store STORE --steps 9 --seed 77 --task-change 0.5"
    assert command_of(record) == f"{expected} --out RUN"
