from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from medprism.core.durable import read_json
from medprism.data.store import SliceStore
from medprism.evaluation.baselines.clicked import ClickedBaseline
from medprism.evaluation.benchmark import Plan, read_cells, run
from medprism.evaluation.cases import StoreReader
from medprism.evaluation.examiners import SessionExaminer
from medprism.evaluation.figures import make_figures
from medprism.evaluation.page import render
from medprism.evaluation.protocols import ClickLimits
from medprism.evaluation.report import FORMAT, VERSION, write_report
from medprism.evaluation.results import Cell
from medprism.evaluation.summary import RULES
from medprism.metrics.surface import SurfaceScore
from tests.evaluation.phantoms import concept_table, scene_model
from tests.evaluation.tables import make_cell, make_row


def several() -> list[Cell]:
    return [
        make_cell("b"),
        make_cell("a"),
        make_cell("tiny", num_images=4),
        make_cell("blocks", knows_patients=False),
        make_cell("far", role="external"),
        make_cell("a", method="GrabCut", protocols=("interactive",)),
    ]


def test_the_page_has_every_set_in_its_block_and_every_rule() -> None:
    page = render(make_figures(several()))
    blocks = page.split("## ours: every set")[1].split("## Side")[0].split("### ")
    assert [line.split(" |")[0] for line in blocks[1].splitlines() if line.startswith("| ")] == [
        "| set",
        "| a",
        "| b",
        "| far",
    ]
    assert "| tiny | train | 12 / 4 | 5 |" in blocks[2]
    assert "| blocks | train | 12 / 30 | ? |" in blocks[3]
    for rule in ("classes", "sets", "all", "set", "interval"):
        assert RULES[rule] in page
    assert "weights 0123456789ab" in page
    assert "0123456789abcdef" not in page


def test_headline_leaves_out_small_and_unknown_sets() -> None:
    figures = make_figures(several())
    headlines = {(h.method, h.role, h.rule): h.figures for h in figures.headlines}
    classes = headlines["ours", "train", "classes"]["semantic"]
    everything = headlines["ours", "train", "all"]["semantic"]
    assert (classes.num_sets, everything.num_sets) == (2, 4)
    means = []
    for cell in several()[:2]:
        for concept in ("liver", "kidney", "cyst"):
            values = [
                r.values[0] for r in cell.rows if (r.concept, r.protocol) == (concept, "semantic")
            ]
            means.append(sum(values) / len(values))
    assert classes.value == pytest.approx(sum(means) / len(means))
    assert "semantic" not in headlines["GrabCut", "train", "classes"]


def test_a_set_of_two_roles_appears_in_both() -> None:
    cell = make_cell("mixed", role="external")
    rows = tuple(replace(r, role="unseen") if r.concept == "cyst" else r for r in cell.rows)
    figures = make_figures([replace(cell, rows=rows)])
    assert [(one.facts.role, set(one.by_class)) for one in figures.sets] == [
        ("external", {"liver", "kidney"}),
        ("unseen", {"cyst"}),
    ]
    roles = {h.role: h.figures["semantic"].num_classes for h in figures.headlines}
    assert roles == {"external": 2, "unseen": 1}


def test_times_are_per_mask() -> None:
    rows = (make_row(protocol="interactive", values=(0.1, 0.2, 0.3, 0.4), milliseconds=100.0),)
    figures = make_figures([replace(make_cell("a"), rows=rows)])
    assert figures.milliseconds == {"ours": {"interactive": 25.0}}


def test_a_method_without_any_row_is_no_error() -> None:
    empty = replace(make_cell("a", method="UNet"), rows=())
    page = render(make_figures([make_cell("a"), empty]))
    assert "| a | train | 12 / 30 |" in page


def test_all_three_files_are_written_from_a_real_run(scenes: SliceStore, tmp_path: Path) -> None:
    reader, concepts = StoreReader(scenes), concept_table("scenes")
    ours = SessionExaminer(
        scene_model("scenes"),
        scenes,
        reader,
        limits=ClickLimits(interactive=3, refine=1),
        protocols=("semantic", "interactive"),
    )
    run(ours, scenes, concepts, Plan(), tmp_path)
    run(ClickedBaseline("GrabCut", scenes, reader, clicks=3), scenes, concepts, Plan(), tmp_path)
    figures = write_report(read_cells(tmp_path), tmp_path)
    payload = read_json(tmp_path / "report.json", FORMAT, VERSION)
    assert len(payload["sets"]) == len(figures.sets) == 4
    assert payload["rules"]["reference"].startswith("one reference per")
    json.dumps(payload, allow_nan=False)
    page = (tmp_path / "report.md").read_text()
    assert "### Sets with fewer than 20 images" in page
    assert "| scenes | train | 3 / 3 | =3 |" in page
    assert "| outside | external | 4 / 4 | 2 |" in page
    assert "## Side by side: clicks@3" in page
    assert not (tmp_path / "convergence.png").exists()


def test_clicks_of_headline_sets_are_drawn(tmp_path: Path) -> None:
    write_report(several(), tmp_path)
    assert (tmp_path / "convergence.png").stat().st_size > 10_000
    assert "![Dice over clicks](convergence.png)" in (tmp_path / "report.md").read_text()


def test_other_ways_of_measuring_have_tables_of_their_own() -> None:
    rows = (
        make_row("a", protocol="k-shot", values=(0.1, 0.2, 0.3, 0.4), shots=(1, 3, 5, 7)),
        make_row("a", protocol="reference-draws", values=(0.2, 0.4), shots=(1, 1)),
        make_row(
            "a", protocol="volume-semantic", values=(0.7,), surface=SurfaceScore(3.5, 0.9, 2.0)
        ),
    )
    page = render(make_figures([replace(make_cell("a"), rows=rows), make_cell("b")]))
    shots = page.split("### One to nine references")[1].split("###")[0]
    assert "| a | train | 12 / 30 | 5 | 1 | 0.100 | 0.200 | 0.300 | 0.400 | 7.000 |" in shots
    assert "| b |" not in shots
    assert "9-shot: Dice by 9 references, or all there are" in shots
    assert "| 1 | 0.300 | 0.100 | 0.200 | 0.400 |" in page.split("### Ten single")[1]
    assert "| 1 | 0.700 | 3.500 | 0.900 |" in page.split("### Whole volumes in")[1]
    assert "### Up to 20 clicks" not in page
    assert "### Slices of one other volume" not in page
