from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from benchmarks.iris_volumes.cases import cases_of, open_sets, table_of_sets
from benchmarks.iris_volumes.kprism import by_session, main

from benchmarks.iris_volumes import kprism
from medprism.inference.session import Session
from medprism.metrics.dice import dice
from tests.benchmarks.iris_volumes.phantoms import CLASSES, invoke, must_not_run
from tests.inference.fake_segmenter import fake_model
from tests.models.checkpoints import save_nano


def test_a_volume_is_segmented_as_a_session_with_the_same_reference_does(data: Path) -> None:
    sets = open_sets([data])
    (cases,) = cases_of(sets, table_of_sets(sets))
    (reference,) = cases.first_references()
    query = cases.read("case3")
    found = by_session(cases, fake_model())(query)
    assert set(found) == CLASSES
    session = Session(fake_model())
    for name in CLASSES:
        session.set_references([reference.image], [reference.masks[name]], "mine")
        session.set_image(query.image)
        session.predict(labels=["mine"])
        alone = session.mask("mine")
        assert alone.shape == query.masks[name].shape
        assert dice(found[name], alone) == 1.0
    assert any(mask.any() for mask in found.values())


def test_cases_and_classes_are_those_of_iris(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    weights = tmp_path / "nano.safetensors"
    save_nano(weights)
    asked = ["--data", data, "--out", tmp_path / "out", "--model", weights, "--engine", "torch"]
    status, printed = invoke(main, *asked)
    assert status == 0, printed
    rows = json.loads((tmp_path / "out" / "kprism.json").read_text())["rows"]
    (row,) = rows.values()
    assert set(row["cases"]) == CLASSES
    assert all(list(values) == ["case3"] for values in row["cases"].values())
    assert all(0 <= value <= 1 for value in row["value"].values())
    page = (tmp_path / "out" / "kprism.md").read_text()
    assert f"| mean | {np.mean(list(row['value'].values())):.3f} |" in page
    monkeypatch.setattr(kprism, "measure_set", must_not_run)
    assert invoke(main, *asked)[0] == 0
