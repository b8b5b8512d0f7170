from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from benchmarks.iris_volumes.cases import Bench, benches_of, cases_of, open_sets
from benchmarks.iris_volumes.reference_choice import draw_references, main, measure_references
from benchmarks.iris_volumes.scores import measure
from benchmarks.iris_volumes.strategies import by_task

from benchmarks.iris_volumes import reference_choice
from medprism.engines.iris import load_iris
from medprism.inference.iris.encoding import encode_task
from tests.benchmarks.iris_volumes.phantoms import CLASSES, invoke


@pytest.fixture(scope="module")
def bench(data: Path, model: Path) -> Bench:
    loaded = load_iris(model)
    (bench,) = benches_of(loaded, cases_of(open_sets([data]), loaded.concepts))
    # Weights that find something, so that a wrong order of rows would show.
    with torch.no_grad():
        bench.loaded.model.decoder.head.bias.fill_(0.0)
    return bench


def test_references_beside_one_another_say_what_each_says_alone(bench: Bench) -> None:
    chosen = draw_references(bench, 10, seed=1)
    assert sorted(chosen) == ["case0", "case1"]
    found = measure_references(bench, chosen)
    for case in chosen:
        reference = bench.cases.read(case)
        task = encode_task(bench.loaded, [reference], bench.classes, spacing=bench.spacing)
        alone = measure(bench.cases, by_task(bench, task, "one-shot"))
        assert set(alone) == CLASSES
        for name, values in alone.items():
            assert values == pytest.approx(found[case][name], abs=1e-4)
    assert any(
        value for by_class in found.values() for v in by_class.values() for value in v.values()
    )


def test_the_spread_is_over_references_and_what_is_there_is_kept(
    data: Path, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = ["--data", data, "--model", model, "--out", tmp_path]
    status, printed = invoke(main, *asked, "--references", 1)
    assert status == 0, printed
    asked_for: list[tuple[str, ...]] = []
    measured = reference_choice.measure_references

    def noted(bench: Bench, chosen: tuple[str, ...]) -> object:
        asked_for.append(chosen)
        return measured(bench, chosen)

    monkeypatch.setattr(reference_choice, "measure_references", noted)
    assert invoke(main, *asked)[0] == 0
    # Of two references one was there.
    assert [len(one) for one in asked_for] == [1]
    rows = json.loads((tmp_path / "reference_choice.json").read_text())["rows"]
    assert set(rows) == {"phantoms | reference case0", "phantoms | reference case1"}
    page = (tmp_path / "reference_choice.md").read_text()
    values = [row["value"]["dark bar"] for row in rows.values()]
    assert f"| dark bar | 2 | {sum(values) / 2:.3f} |" in page
    assert f"| {min(values):.3f} | {max(values):.3f} |" in page
