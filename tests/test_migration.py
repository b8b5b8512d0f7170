"""Old files are read, newer ones are refused in a sentence, and the page lists every format.

The small files beside this test were written once by the version that they name and never change.
Formats with golden files of their own are tested on their floors; the page says where.
"""

from __future__ import annotations

import importlib
import json
import pkgutil
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import nn

import medprism
from medprism.core.errors import CheckpointError, FormatVersionError
from medprism.data.source_record import read_record
from medprism.data.store import SliceStore
from medprism.evaluation.results import read_cell
from medprism.inference.iris.task_file import load_task
from medprism.inference.work_file import read_work
from medprism.models.checkpoint import load_checkpoint
from medprism.project.migrations import MIGRATIONS
from medprism.training.config import TrainConfig
from medprism.training.iris.run import IrisRecord
from medprism.training.run_record import RUN_FILE, RunRecord
from medprism.training.state import average_of, load_state, read_average, read_document

ROOT = Path(__file__).resolve().parents[1]
GOLDEN = Path(__file__).parent / "golden"
PAGE = (ROOT / "docs" / "migration.md").read_text(encoding="utf-8")
ROW = re.compile(r"^\| `([\w.-]+)` \| (\d+) \|.*\| ([^|]+) \|$", re.MULTILINE)


def _formats() -> set[tuple[str, int]]:
    """Return every format of the package with its version."""
    found: set[tuple[str, int]] = {("project.sqlite", len(MIGRATIONS))}
    for module in pkgutil.walk_packages(medprism.__path__, "medprism."):
        if module.name.endswith("__main__"):
            continue
        known = vars(importlib.import_module(module.name))
        found |= {
            (value, known["VERSION"])
            for name, value in known.items()
            if name.endswith("FORMAT") and str(value).startswith("medprism-")
        }
    return found


def test_the_page_lists_every_format_with_its_version_and_a_test() -> None:
    rows = ROW.findall(PAGE)
    assert {(name, int(version)) for name, version, _ in rows} == _formats()
    assert len(rows) == len({name for name, _, _ in rows})
    for name, _, tests in rows:
        places = re.findall(r"`([^`]+)`", tests)
        assert places, name
        assert all((ROOT / place).exists() for place in places), (name, places)


def _as(folder: Path, name: str, kind: str, version: int) -> Path:
    (folder / name).write_text(json.dumps({"format": kind, "version": version}))
    return folder / name


def _tensors(folder: Path, name: str, kind: str, version: int) -> Path:
    metadata = {"medprism": json.dumps({"format": kind, "version": version})}
    save_file({"a": torch.zeros(1)}, str(folder / name), metadata)
    return folder / name


Make = Callable[[Path, str, str, int], Path]
Open = Callable[[Path], object]
READERS: dict[str, tuple[str, Make, Open]] = {
    "medprism-work": ("work.json", _as, read_work),
    "medprism-run": (RUN_FILE, _as, lambda path: RunRecord.load(path.parent)),
    "medprism-iris-run": (RUN_FILE, _as, lambda path: IrisRecord.load(path.parent)),
    "medprism-slice-store": ("store.json", _as, lambda path: SliceStore.open(path.parent)),
    "medprism-slice-store-sources": ("one.sources.json", _as, read_record),
    "medprism-benchmark-cell": ("cell.json", _as, read_cell),
    "medprism-checkpoint": ("a.safetensors", _tensors, load_checkpoint),
    "medprism-training-state": ("state.safetensors", _tensors, read_document),
    "medprism-task": ("a.task", _tensors, load_task),
}


@pytest.mark.parametrize("kind", READERS)
def test_a_newer_file_is_refused_in_a_sentence_and_left_alone(tmp_path: Path, kind: str) -> None:
    name, make, read = READERS[kind]
    version = dict(_formats())[kind] + 1
    path = make(tmp_path, name, kind, version)
    before = path.read_bytes()
    with pytest.raises(FormatVersionError, match=f"version {version}.*update medprism") as refused:
        read(path)
    assert "\n" not in str(refused.value)
    assert path.read_bytes() == before


@pytest.mark.parametrize("kind", READERS)
def test_a_file_of_another_format_is_named(tmp_path: Path, kind: str) -> None:
    name, make, read = READERS[kind]
    path = make(tmp_path, name, "medprism-other", 1)
    with pytest.raises((FormatVersionError, CheckpointError)) as refused:
        read(path)
    assert "\n" not in str(refused.value) and path.name in str(refused.value)


def test_the_record_of_an_old_run_is_read(tmp_path: Path) -> None:
    # It belongs to the training of a checkpoint that was shipped.
    shutil.copy(ROOT / "docs" / "results" / "training" / "5-continued.json", tmp_path / RUN_FILE)
    record = RunRecord.load(tmp_path)
    assert (record.recipe, record.config.steps) == ("kprism-compact-continued", 4400)
    assert record.config.preset == "kprism-compact" and len(record.concepts) == 101


class _Tiny(nn.Module):
    """The model of the golden state."""

    def __init__(self) -> None:
        super().__init__()
        self.line = nn.Linear(2, 1)


def test_the_state_of_an_old_run_is_gone_on_with() -> None:
    path = GOLDEN / "state-1.safetensors"
    document = read_document(path)
    assert (document["step"], document["best"], document["seconds"]) == (3, 0.5, 12.5)
    config = TrainConfig.from_json(document["config"])
    model = _Tiny()
    average, optimizer = average_of(model), torch.optim.AdamW(model.parameters())
    position = load_state(path, _Settings(document["config"]), model, average, optimizer)
    assert position.step == 3 and position.history == ({"step": 2, "score": 0.5},)
    assert config.preset == "kprism-nano"
    assert model.line.weight.tolist() == [[0.25, -0.5]]
    assert read_average(path)["line.bias"].tolist() == [0.125]
    assert optimizer.state[model.line.bias]["step"] == 3


class _Settings:
    """Settings as they stand in the file."""

    def __init__(self, content: dict[str, object]) -> None:
        self._content = content

    def to_json(self) -> dict[str, object]:
        """Return them."""
        return self._content


def test_an_old_task_file_is_read() -> None:
    task = load_task(GOLDEN / "task-1.task")
    assert task.classes == ("big comma", "small comma")
    assert task.sources == ("a.nii.gz", "b.nii.gz")
    assert (task.spacing, task.is_tuned) == (1.5, False)
    with safe_open(str(GOLDEN / "task-1.task"), framework="pt") as stored:
        assert torch.equal(task.described, stored.get_tensor("described"))


@pytest.mark.parametrize("version", [1, 2])
def test_old_results_are_read(version: int) -> None:
    cell = read_cell(GOLDEN / f"cell-{version}.json")
    (row,) = cell.rows
    assert (row.dataset, row.concept, row.values) == ("phantoms", "big comma", (0.25, 0.75))
    assert row.pixels == (None if version == 1 else 2640)
    assert row.surface is None
