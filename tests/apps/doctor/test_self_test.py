from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from medprism.apps.doctor import self_test as subject
from medprism.apps.doctor.self_test import draw_structure, self_test
from medprism.engines.loading import shipped_path
from tests.models.checkpoints import save_nano


def test_the_structure_has_no_symmetry() -> None:
    _, mask = draw_structure()
    rows, cols = np.nonzero(mask)
    cut = mask[rows.min() : rows.max() + 1, cols.min() : cols.max() + 1]
    assert all(not np.array_equal(cut, other) for other in (cut[::-1], cut[:, ::-1]))


@pytest.mark.skipif(
    not shipped_path("kprism-compact").is_file(), reason="this checkout ships no weights"
)
def test_the_shipped_checkpoint_passes() -> None:
    found = self_test()
    assert found.state in ("ok", "note"), found
    assert float(found.found.split()[1]) >= subject.LEAST_DICE


def test_weights_that_find_something_else_are_a_problem(tmp_path: Path) -> None:
    """An untrained model loads and answers, but not with the structure."""
    save_nano(tmp_path / "nano.safetensors")
    found = self_test(tmp_path / "nano.safetensors")
    assert found.state == "problem"
    assert "damaged" in found.advice


def test_no_model_is_one_sentence(tmp_path: Path) -> None:
    found = self_test(tmp_path / "gone.safetensors")
    assert (found.state, found.found) == ("problem", "no model to test with")
    assert "neither a file nor a preset" in found.advice


def test_slowness_is_noted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save_nano(tmp_path / "nano.safetensors")
    monkeypatch.setattr(subject, "LEAST_DICE", 0.0)
    monkeypatch.setattr(subject, "_SECONDS", 0.0)
    assert self_test(tmp_path / "nano.safetensors").state == "note"
