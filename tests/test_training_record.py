"""What made the shipped checkpoints is in the repository: command, settings, data, log."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from medprism.engines.loading import shipped_path
from medprism.models.checkpoint import CheckpointInfo, load_checkpoint

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "docs" / "results"
# Where the logs of a checkpoint's runs are, the last one last, and the page that names the command.
LOGS = {
    "kprism-compact": (RESULTS / "training", "*.jsonl"),
    "iris-compact": (RESULTS / "iris", "training-*.jsonl"),
}


def _info(name: str) -> CheckpointInfo:
    if not shipped_path(name).is_file():
        pytest.skip(f"the checkout ships no weights of {name}")
    return load_checkpoint(shipped_path(name)).info


def test_every_shipped_checkpoint_is_looked_at() -> None:
    shipped = {path.stem for path in (ROOT / "src" / "medprism" / "weights").glob("*.safetensors")}
    assert shipped <= set(LOGS)


@pytest.mark.parametrize("name", LOGS)
def test_the_log_of_the_last_run_leads_to_the_checkpoint(name: str) -> None:
    info = _info(name)
    folder, pattern = LOGS[name]
    lines = sorted(folder.glob(pattern))[-1].read_text(encoding="utf-8").splitlines()
    steps = [json.loads(line)["step"] for line in lines]
    assert info.training["steps"] in steps
    assert info.training["steps"] <= info.training["run"]["steps"]


@pytest.mark.parametrize("name", LOGS)
def test_the_checkpoint_names_its_settings_and_its_sets_with_licences(name: str) -> None:
    training = _info(name).training
    assert training["run"]["seed"] is not None
    assert training["sets"] and all(one["name"] and one["licence"] for one in training["sets"])


def test_the_record_of_the_last_run_is_that_of_the_checkpoint() -> None:
    info = _info("kprism-compact")
    record = json.loads(sorted((RESULTS / "training").glob("*.json"))[-1].read_text())
    assert record["config"] == info.training["run"]
    assert record["sets"] == [one["name"] for one in info.training["sets"]]
    # The content of every set, by the hash of its sources.
    assert set(record["parts"]) == set(record["sets"])
    assert record["command"].startswith(f"medprism train {record['recipe']} ")


def test_the_command_that_made_the_volumes_checkpoint_is_on_its_page() -> None:
    page = (RESULTS / "iris.md").read_text(encoding="utf-8")
    assert "medprism train iris-compact --data FOLDER" in page
