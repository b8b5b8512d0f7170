from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
from benchmarks.iris_volumes.ablation import FULL, SIZES, STEPS
from benchmarks.iris_volumes.embeddings import FIGURES
from benchmarks.iris_volumes.kprism import WHAT
from benchmarks.iris_volumes.report import DOCS, FLOOR_SET, NOT_YET, main
from benchmarks.iris_volumes.results import FORMAT, VERSION
from benchmarks.iris_volumes.scores import Dices, means

from medprism.core.durable import write_json
from tests.benchmarks.iris_volumes.phantoms import invoke

LENGTH = {"preset": "iris-nano", "steps": 1200, "minutes": None, "seed": 1}
PATIENTS = {FLOOR_SET: {"x": "p", "y": "q"}, "heart": {"z": "r"}}


def _dices(value: float, dataset: str = FLOOR_SET) -> Dices:
    cases = {case: value for case in PATIENTS[dataset]}
    return {"front": cases, "back": {case: value + 0.1 for case in cases}}


def _row(value: float, dataset: str = FLOOR_SET) -> dict[str, Any]:
    dices = _dices(value, dataset)
    return {"value": means(dices), "cases": dices, "cpu_seconds": 90.0}


def _write(folder: Path, name: str, about: dict[str, Any], rows: dict[str, Any]) -> None:
    folder.mkdir(exist_ok=True)
    payload = {"about": about, "patients": PATIENTS, "rows": rows}
    write_json(folder / f"{name}.json", FORMAT, VERSION, payload)


def _checkpoint() -> dict[str, Any]:
    return {"weights_hash": "0123456789abcdef", "preset": "iris-nano", "steps": 7, "minutes": 2.0}


def _share(value: float) -> dict[str, Any]:
    dices = {name: _dices(value) for name in ("ensemble", "tuned")}
    return {
        "value": {name: means(one) for name, one in dices.items()},
        "cases": dices,
        "cpu_seconds": 6.0,
    }


@pytest.fixture
def docs(tmp_path: Path) -> Path:
    (tmp_path / "docs" / "results").mkdir(parents=True)
    shutil.copy(DOCS / "results" / "iris.md", tmp_path / "docs" / "results" / "iris.md")
    return tmp_path / "docs"


def _report(results: Path, docs: Path) -> str:
    status, printed = invoke(main, results, "--docs", docs)
    assert status == 0, printed
    return (docs / "results" / "iris.md").read_text(encoding="utf-8")


def test_the_page_is_what_its_command_makes_of_the_figures_beside_it(docs: Path) -> None:
    committed = (DOCS / "results" / "iris.md").read_text(encoding="utf-8")
    assert _report(DOCS / "results" / "iris", docs) == committed


def test_what_is_not_there_is_said_to_be_missing(docs: Path, tmp_path: Path) -> None:
    page = _report(tmp_path / "nothing", docs)
    assert page.count(NOT_YET) == 10
    status, printed = invoke(main, tmp_path / "nothing", "--docs", docs)
    assert status == 0
    assert "0 parts" in printed


def test_rivals_stand_beside_one_shot_and_the_floor_is_judged(docs: Path, tmp_path: Path) -> None:
    results = tmp_path / "results"
    rows = {
        f"{FLOOR_SET} | one-shot": _row(0.6),
        f"{FLOOR_SET} | tuned, 60 steps": _row(0.7),
        f"{FLOOR_SET} | UNet, 5 min": _row(0.67),
        "heart | one-shot": _row(0.5, "heart"),
        f"{FLOOR_SET} | share 0.05": _share(0.6),
        f"{FLOOR_SET} | share 1": _share(0.7),
    }
    _write(results, "volumes", _checkpoint(), rows)
    _write(results, "kprism", {"weights_hash": "k"}, {f"{FLOOR_SET} | {WHAT}": _row(0.4)})
    page = _report(results, docs)
    assert "`iris-nano`, weights 0123456789ab: 7 steps in 2 minutes." in page
    assert "| one-shot | 0.650 | 0.550 | 0.600 (0.600 to 0.600) | - |" in page
    assert "| UNet, 5 min | 0.720 | - | - | +0.070 (+0.070 to +0.070) |" in page
    assert f"| {WHAT} | 0.450 | - | - | -0.200 (-0.200 to -0.200) |" in page
    assert "is **missed**: -0.070" in page
    assert "Not measured yet: bank, class tokens." in page
    assert "| 5% | 0.650 | 0.650 |" in page
    assert "| volumes | 6 | 6.2 |" in page
    assert (docs / "results" / "iris" / "shares.png").exists()
    # Kept beside the page, from where the same page comes again.
    assert _report(docs / "results" / "iris", docs) == page
    rows[f"{FLOOR_SET} | UNet, 5 min"] = _row(0.64)
    _write(results, "volumes", _checkpoint(), rows)
    assert "is reached: -0.040" in _report(results, docs)


def test_every_other_question_has_its_part(docs: Path, tmp_path: Path) -> None:
    results = tmp_path / "results"
    sizes = {"value": {FLOOR_SET: {"front": 90.0, "back": 4000.0}}, "cpu_seconds": 1.0}
    trials = {f"{FLOOR_SET} | {FULL}": _row(0.6), f"{FLOOR_SET} | no query tokens": _row(0.5)}
    steps = {"value": 1200, "cpu_seconds": 0.0}
    _write(results, "ablation", LENGTH, {SIZES: sizes, STEPS: steps, **trials})
    without = {**LENGTH, "without": ["back"]}
    _write(results, "unseen", without, {f"{FLOOR_SET} | left out": _row(0.3)})
    choices = {
        f"{FLOOR_SET} | reference {case}": _row(value) for case, value in (("a", 0.3), ("b", 0.5))
    }
    _write(results, "reference_choice", _checkpoint(), choices)
    crossed = {**LENGTH, "steps": None, "minutes": 2.5}
    _write(results, "folds", crossed, {f"{FLOOR_SET} | fold 1": _row(0.2)})
    points = [
        {"dataset": FLOOR_SET, "case": "x", "concept": name, "x": x, "y": -x}
        for name, x in (("front", 0.5), ("back", -0.5))
    ]
    value = {
        "points": points,
        "variance": [0.75, 0.25],
        "nearest": {"same": 0.5, "chance": 0.25},
        "alike": {"neighbours": {"cosine": 0.5, "pairs": 3}},
    }
    _write(results, "embeddings", _checkpoint(), {FIGURES: {"value": value, "cpu_seconds": 2.0}})
    page = _report(results, docs)
    assert "`iris-nano`, 1,200 steps each." in page
    assert "| no query tokens | 2 | 0.550 (0.550 to 0.550) | -0.100 (-0.100 to -0.100) |" in page
    assert "Small structures only (front):" in page
    assert "| left out of training | 1 | 0.400 (0.400 to 0.400) |" in page
    assert "| front | 2 | 0.400 | 0.141 | 0.300 | 0.500 |" in page
    assert "`iris-nano`, 2.5 minutes a fold." in page
    assert "in 50.0% of cases (by chance: 25.0%)" in page
    assert (docs / "results" / "iris" / "embeddings.png").exists()
