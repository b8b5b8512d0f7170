from __future__ import annotations

from pathlib import Path

import pytest
import torch

from medprism.apps.doctor import machine
from medprism.apps.doctor.machine import (
    check_folders,
    check_memory,
    check_threads,
    check_weights,
    working_folders,
)
from tests.models.checkpoints import save_nano


def test_threads_are_compared_with_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch, "get_num_threads", lambda: 1)
    found = check_threads({"OMP_WAIT_POLICY": "passive"})
    assert found.state == "ok"
    assert found.found.startswith("1 on ")
    assert found.found.endswith("OMP_WAIT_POLICY=passive")
    monkeypatch.setattr(torch, "get_num_threads", lambda: 4096)
    crowded = check_threads({})
    assert crowded.state == "note"
    assert "--threads" in crowded.advice


def test_too_little_memory_is_a_problem() -> None:
    assert check_memory().state == "ok"
    small = check_memory(2**30)
    assert (small.state, small.found) == ("problem", "1.0 GiB for this process")
    assert "needs 2 GiB" in small.advice


def test_folders_are_tried_by_writing(tmp_path: Path) -> None:
    assert {finding.state for finding in check_folders(working_folders())} <= {"ok", "note"}
    (good,) = check_folders({"temporary files": tmp_path})
    assert "can be written" in good.found
    assert list(tmp_path.iterdir()) == []
    gone = tmp_path / "gone"
    temporary, current = check_folders({"temporary files": gone, "current folder": gone})
    assert temporary.state == "problem"
    assert temporary.advice.endswith("TMPDIR names another folder")
    assert current.state == "note"


def test_weights_are_compared_with_their_hash(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "kprism-compact.safetensors"
    monkeypatch.setattr(machine, "shipped_path", lambda name: tmp_path / f"{name}.safetensors")
    (missing,) = check_weights()
    assert (missing.state, missing.found) == ("problem", "not there")
    save_nano(path)
    (whole,) = check_weights()
    assert whole.state == "ok"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(bytes(content))
    (damaged,) = check_weights()
    assert damaged.state == "problem"
    assert damaged.found.startswith("damaged")
    assert "the file is damaged" in damaged.advice
