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
from benchmarks.performance.targets import target_table, targets
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
    figured, measured = [], performance.measure
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
    _with_fewer(tmp_path / "figures.json", 3)
    monkeypatch.setattr(performance, "measure", lambda *_: figured.append(1) or measured(*_))
    went_on = CliRunner().invoke(app, [*asked, "--json", str(tmp_path / "figures.json")])
    assert went_on.exit_code == 0, went_on.output
    assert len(figured) == 3
    page.write_text(PAGE.read_text(encoding="utf-8"), encoding="utf-8")
    again = CliRunner().invoke(app, ["--from", str(tmp_path / "figures.json"), "--page", str(page)])
    assert again.exit_code == 0, again.output
    anew = page.read_text(encoding="utf-8")
    assert _part(anew, "figures") == _part(text, "figures")
    assert _part(anew, "targets") == _part(text, "targets")
    figures = json.loads((tmp_path / "figures.json").read_text())["figures"]
    assert all(one["cpu_seconds"] > 0 and one["gflop"] > 0 for one in figures)
    assert {"training", "sizes", "main"} < {one["table"] for one in figures}


def _with_fewer(path: Path, count: int) -> None:
    document = json.loads(path.read_text())
    del document["figures"][-count:]
    path.write_text(json.dumps(document))


def _part(page: str, name: str) -> str:
    return page.split(f"<!-- {name} -->")[1].split(f"<!-- /{name} -->")[0]


def test_targets_stand_for_every_engine_and_say_by_how_much_they_are_missed() -> None:
    def of(engine: str, what: str, seconds: float, threads: int = 1) -> Figured:
        line = Line(Setting("kprism-base", 512, engine), "main", what, lambda b: b.encode())
        return Figured(line, threads, Cost(seconds, seconds, seconds, 650.0, 1.0, 0.6, 5))

    figures = [
        of("torch", SESSION, 20.0),
        of("torch-bf16", SESSION, 7.0),
        of("openvino", SESSION, 5.0),
        of("openvino", SESSION, 1.0, threads=2),
        of("torch", LITERAL, 50.0),
        of("torch", "encode", 1.0),
    ]
    rows = {(one.what, one.engine): one for one in targets(figures)}
    session = rows[f"base, 512, {SESSION}", "openvino"]
    assert (session.value, session.limit, session.verdict) == (5.0, 5.6, "holds")
    assert rows[f"base, 512, {SESSION}", "torch-bf16"].verdict == "missed, 1.25 of the target"
    plain = rows[f"base, 512, {SESSION}", "torch"]
    assert (plain.value, plain.verdict) == (20.0, "missed, 1.25 of the target")
    assert rows[f"base, 512, {SESSION} over its literal form", "openvino"].value == pytest.approx(
        0.1
    )
    assert rows["base, 512, share of the matmul rate in the encoder", "torch"].verdict == "holds"
    assert rows["compact, 256, a further click, p95", "torch"].verdict == "not measured"
    assert "missed, 1.25" in target_table(figures)


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
