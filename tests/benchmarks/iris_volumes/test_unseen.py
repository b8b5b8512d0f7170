from __future__ import annotations

import json
from pathlib import Path

import pytest
from benchmarks.iris_volumes.unseen import UNSEEN, main, summary

from benchmarks.iris_volumes import unseen
from medprism.data.vocabulary import training_concepts
from medprism.models.checkpoint import load_checkpoint
from tests.benchmarks.iris_volumes.phantoms import CLASSES, invoke, must_not_run


def test_a_class_that_training_never_saw_is_asked_for_by_its_reference(
    data: Path, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = ["--data", data, "--out", tmp_path, "--steps", 1, "--preset", "iris-nano"]
    asked += ["--without", "Dark-Bar"]
    status, printed = invoke(main, *asked)
    assert status == 0, printed
    shipped = load_checkpoint(tmp_path / "runs" / "unseen-1steps" / "last.safetensors")
    assert shipped.info.concepts.names == ("bright hook",)
    rows = json.loads((tmp_path / "unseen.json").read_text())["rows"]
    assert set(rows["phantoms | left out"]["value"]) == CLASSES
    page = (tmp_path / "unseen.md").read_text()
    assert "| left out of training | 1 |" in page
    assert page.index("| dark bar (left out) |") < page.index("| bright hook |")

    # Later a checkpoint that has seen both is put beside it; nothing is trained anew.
    monkeypatch.setattr(unseen, "train_without", must_not_run)
    status, printed = invoke(main, *asked, "--model", model)
    assert status == 0, printed
    beside = f"seen by {load_checkpoint(model).weights_hash[:12]}"
    assert f"| {beside} |" in (tmp_path / "unseen.md").read_text()


def test_the_chosen_structures_are_of_the_brain_and_of_no_other_set() -> None:
    brain, hippocampi = "miccai2012_oasis_brain_mri", "msd_hippocampus_mri"
    table = training_concepts()
    chosen = [table[table.row(name)] for name in UNSEEN]
    assert [one.name for one in chosen] == list(UNSEEN)
    for one in chosen:
        assert brain in one.label_ids
        assert hippocampi not in one.label_ids


def test_the_summary_tells_unseen_classes_from_seen_ones() -> None:
    cases = {"a": {"x": 0.5}, "b": {"x": 0.75}, "c": {"x": 1.0}}
    lines = summary({"left out": {"cases": cases}}, ["b"], {"x": "x"}).splitlines()
    assert lines[2:] == ["| left out of training | 1 | 0.750 |", "| seen in training | 2 | 0.750 |"]
