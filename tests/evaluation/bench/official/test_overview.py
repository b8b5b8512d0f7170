from __future__ import annotations

from dataclasses import replace

from medprism.evaluation.bench.official.failures import Failure
from medprism.evaluation.bench.official.overview import overview_grids
from medprism.evaluation.results import Cell
from tests.evaluation.tables import make_cell

METHOD = "nnInteractive (official)"
PLAN = {
    "package": "nninteractive",
    "version": "2.6.0",
    "weights": "a" * 64,
    "weights_licence": "CC BY-NC-SA 4.0",
    "device": "cuda",
    "folds": ["0", "1"],
    "checkpoint": "checkpoint_final.pth",
}


def cell(dataset: str, **changes: object) -> Cell:
    made = make_cell(dataset, method=METHOD)
    return replace(made, plan={**made.plan, **PLAN, **changes})


def failure(dataset: str, reason: str) -> Failure:
    return Failure(METHOD, dataset, ("train",), ("interactive",), 10, "process ended", reason)


def test_a_bench_without_official_packages_says_nothing_of_them() -> None:
    assert overview_grids([make_cell("a", method="kprism")], []) == ()


def test_packages_weights_and_reasons_have_rows_of_their_own() -> None:
    cells = [
        cell("b"),
        cell("a"),
        cell("c", weights="b" * 64, weights_licence=None),
        make_cell("a", method="kprism"),
    ]
    lost = [failure("e", "it died"), failure("d", "it died"), failure("f", "too late")]
    (grid,) = overview_grids(cells, lost)
    assert all(len(row) == len(grid.header) for row in grid.rows)
    assert "trained elsewhere" in grid.notes[0]
    by_sets = {row[5]: row for row in grid.rows}
    assert set(by_sets) == {"a, b", "c", "d, e", "f"}
    whole = by_sets["a, b"]
    assert whole[:3] == (METHOD, "nninteractive 2.6.0", "a" * 12)
    assert "published weights CC BY-NC-SA 4.0; these weights say CC BY-NC-SA 4.0" in whole[3]
    assert whole[4] == "device cuda, folds 0 1, checkpoint checkpoint_final.pth"
    assert "these weights say" not in by_sets["c"][3]
    assert by_sets["d, e"][6] == "it died" and by_sets["f"][6] == "too late"
