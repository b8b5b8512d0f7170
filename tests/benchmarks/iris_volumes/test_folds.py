from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import typer
from benchmarks.iris_volumes.cases import open_sets
from benchmarks.iris_volumes.folds import main, split_by_fold

from benchmarks.iris_volumes import folds
from tests.benchmarks.iris_volumes.phantoms import CLASSES, invoke, must_not_run


def test_every_patient_is_tested_once_and_never_trained_on_then(data: Path) -> None:
    (dataset,) = open_sets([data])
    dataset.patients["case2"] = "patient0"
    tested = []
    for fold in range(3):
        split = split_by_fold(dataset, 3, fold, seed=1).split
        held = {dataset.patients[case] for case, side in split.items() if side == "test"}
        kept = {dataset.patients[case] for case, side in split.items() if side == "train"}
        assert held
        assert not held & kept
        tested += sorted(str(one) for one in held)
    assert sorted(tested) == ["patient0", "patient1", "patient3"]
    orders = {str(split_by_fold(dataset, 3, 0, seed).split) for seed in range(8)}
    assert len(orders) > 1
    with pytest.raises(typer.BadParameter, match="3 patients, which cannot be dealt into 4"):
        split_by_fold(dataset, 4, 0, seed=1)


def test_each_fold_is_trained_without_its_patients_and_measured_on_them(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = ["--data", data, "--out", tmp_path, "--steps", 1, "--preset", "iris-nano"]
    asked += ["--datasets", "phantoms", "--folds", 2]
    status, printed = invoke(main, *asked)
    assert status == 0, printed
    rows = json.loads((tmp_path / "folds.json").read_text())["rows"]
    tested = []
    for fold in (1, 2):
        cases = rows[f"phantoms | fold {fold}"]["cases"]
        assert set(cases) == CLASSES
        tested.append(set(cases["dark bar"]))
    assert not tested[0] & tested[1]
    assert tested[0] | tested[1] == {"case0", "case1", "case2", "case3"}
    everything = [v for row in rows.values() for v in row["cases"]["dark bar"].values()]
    page = (tmp_path / "folds.md").read_text()
    assert "| class | fold 1 | fold 2 | all folds |" in page
    dark = next(line for line in page.splitlines() if line.startswith("| dark bar |"))
    assert dark.endswith(f"| {np.mean(everything):.3f} |")
    monkeypatch.setattr(folds, "read_ground", must_not_run)
    assert invoke(main, *asked)[0] == 0
