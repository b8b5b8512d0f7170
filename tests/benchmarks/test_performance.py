from __future__ import annotations

import json
from pathlib import Path
from time import sleep

import pytest
import torch
import typer
from benchmarks.performance import __main__ as performance
from benchmarks.performance.cost import Cost, Way, measure
from benchmarks.performance.pieces import Bench, Setting, literal_session
from benchmarks.performance.plan import LITERAL, QUICK, SESSION, Line, Scale, expert_lines, lines
from benchmarks.performance.report import Figured, experts, ratios, tables
from typer.testing import CliRunner

NANO = Setting("kprism-nano", 32)
PAGE = Path(__file__).resolve().parents[2] / "docs" / "performance.md"
SMALL = QUICK.__class__((1, 2), (1,), (1,), (), (32,), (1, 2), 2, 1)


def _figured(what: str, table: str, seconds: float, amount: int | None = None) -> Figured:
    line = Line(NANO, table, what, lambda bench: bench.encode(), amount)
    return Figured(line, 1, Cost(seconds, seconds, seconds, 100.0, 1.0, 0.5, 5))


def test_a_matrix_product_costs_what_arithmetic_says() -> None:
    def prepare() -> object:
        one = torch.randn(64, 32)
        return lambda: one @ one.T

    cost = measure(prepare, 10.0, Way(2, 1, seconds=9.0))  # type: ignore[arg-type]
    assert cost.gflop == pytest.approx(2 * 64 * 64 * 32 / 1e9, abs=5e-4)
    assert cost.wall_p95 >= cost.wall_p50 >= 0
    assert cost.megabytes > 10


def test_a_measurement_that_dies_is_no_figure() -> None:
    def prepare() -> object:
        raise SystemExit(3)

    with pytest.raises(RuntimeError, match="status 3"):
        measure(prepare, 1.0, Way(1, 1, seconds=9.0))  # type: ignore[arg-type]


def test_the_literal_session_encodes_every_time_and_ends_alike() -> None:
    bench = Bench(NANO.segmenter(1), NANO.side)
    calls = {"encode": 0}
    encode = bench.segmenter.encode

    def counted(image: torch.Tensor) -> object:
        calls["encode"] += 1
        return encode(image)

    bench.segmenter.encode = counted  # type: ignore[method-assign, assignment]
    with torch.inference_mode():
        bench.session(3)()
        assert calls["encode"] == 1
        literal_session(bench, 3)()
    assert calls["encode"] == 4


def test_every_figure_of_the_plan_has_a_line() -> None:
    found = list(lines(NANO, QUICK, has_volume=True))
    assert {one.table for one in found} == {"main", "classes", "references", "clicks", "slices"}
    assert [one.what for one in found].count(LITERAL) == 1
    assert len(list(expert_lines(NANO, QUICK))) == 3 * len(QUICK.experts)


def test_ratios_are_those_of_cpu_seconds() -> None:
    figures = [
        _figured(SESSION, "main", 2.0),
        _figured(LITERAL, "main", 8.0),
        _figured("one", "classes", 1.0, 1),
        _figured("ten", "classes", 4.0, 10),
        _figured("1 experts", "experts, 2 queries", 1.0, 1),
        _figured("5 experts", "experts, 2 queries", 1.1, 5),
    ]
    text = ratios(figures)
    assert "0.250" in text
    assert "ten / one (classes)" in text
    assert "| 4.00 |" in text
    assert "1.100 (1.10)" in experts(figures)
    assert "experts" not in tables(figures).split("### ")[0]


def test_the_command_measures_all_and_fills_the_page(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(performance, "QUICK", SMALL)
    monkeypatch.setattr(performance, "load_average", lambda: 0.1)
    page = tmp_path / "performance.md"
    page.write_text(PAGE.read_text(encoding="utf-8"), encoding="utf-8")
    app = typer.Typer()
    app.command()(performance.main)
    asked = ["--quick", "--threads", "1", "--repeats", "1", "--engines", "torch"]
    printed = CliRunner().invoke(
        app, [*asked, "--page", str(page), "--json", str(tmp_path / "figures.json")]
    )
    assert printed.exit_code == 0, printed.output
    text = page.read_text(encoding="utf-8")
    assert "Not measured yet" not in text
    assert "### kprism-nano, 32 pixels, torch, 1 thread" in text
    assert "aten::" in text
    assert (tmp_path / "performance-growth.png").stat().st_size > 1000
    figures = json.loads((tmp_path / "figures.json").read_text())["figures"]
    assert all(one["cpu_seconds"] > 0 and one["gflop"] > 0 for one in figures)
    assert {"training", "sizes", "main"} < {one["table"] for one in figures}


def test_a_busy_machine_fills_no_page(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(performance, "load_average", lambda: 1.5)
    app = typer.Typer()
    app.command()(performance.main)
    ended = CliRunner().invoke(app, ["--page", str(tmp_path / "page.md")])
    assert ended.exit_code == 2


def test_repeats_end_once_they_have_taken_their_seconds() -> None:
    cost = measure(lambda: lambda: sleep(0.05), 1.0, Way(50, 1, seconds=0.12, counts=False))
    assert 1 < cost.repeats <= 3


def test_other_engines_are_measured_where_there_is_a_target() -> None:
    brief = Scale().brief()
    assert (brief.classes, brief.references, brief.slices) == ((1, 13), (1, 9, 32), (133,))
    assert brief.clicks == (1,)
