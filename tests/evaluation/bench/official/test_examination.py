"""Packages in a process of their own, against the same done here: slices, clicks, resets, names."""

from __future__ import annotations

import importlib.util
import json
import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from medprism.core.errors import CancelledError, CheckpointError, StoreError
from medprism.core.prompt import Click, Interactions, Mask2d
from medprism.data.store import SliceStore
from medprism.evaluation.bench.examination import CELLS, Examination
from medprism.evaluation.bench.official.examination import Outcome, examine_official
from medprism.evaluation.bench.official.failures import read_failures
from medprism.evaluation.bench.official.packages import OfficialOrder
from medprism.evaluation.bench.official.process import (
    ENDED,
    FAILED,
    PACKAGE_MISSING,
    WEIGHTS_REFUSED,
)
from medprism.evaluation.benchmark import Plan, read_cells
from medprism.evaluation.cases import StoreReader, targets_of
from medprism.evaluation.examiners import SessionExaminer
from medprism.evaluation.protocols import INTERACTIVE, SEMANTIC, ClickLimits
from medprism.evaluation.results import ResultRow
from medprism.metrics.dice import dice
from medprism.prompts.simulate import simulate_clicks
from tests.evaluation.bench.official.packages import (
    INTERPRETER,
    REACH,
    nninteractive_folder,
    nnunet_folder,
    order_of,
    sam2_file,
)
from tests.evaluation.phantoms import IDS, changed, concept_table, scene_model
from tests.inference.phantom import LEVELS

CLICKS = 4
PLAN = Plan(roles=("train", "external"), limit=2)


def examine(
    order: OfficialOrder, store: SliceStore, out: Path, plan: Plan = PLAN, clicks: int = CLICKS
) -> Outcome:
    examination = Examination(plan=plan, limits=ClickLimits(interactive=clicks))
    return examine_official(order, store, out, examination)


def rows_in(out: Path) -> list[ResultRow]:
    return [row for cell in read_cells(out / CELLS) for row in cell.rows]


def number_of(store: SliceStore, row: ResultRow) -> int:
    same = (row.dataset, row.case)
    return next(n for n, one in enumerate(store.rows) if (one.dataset, one.case_id) == same)


def truth_of(store: SliceStore, row: ResultRow) -> Mask2d:
    return store.plane(number_of(store, row), (IDS[row.concept],))


def pixels_of(store: SliceStore, row: ResultRow) -> np.ndarray:
    return store.image(number_of(store, row))[..., 0].astype(int)


def flooded(pixels: np.ndarray, clicks: Sequence[Click], reach: int) -> Mask2d:
    """Return what the small packages find by clicks, done here."""
    spec = importlib.util.spec_from_file_location("flood_of_tests", INTERPRETER / "flood.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    shown = np.zeros(pixels.shape, bool)
    for click in clicks:
        near = np.abs(pixels - pixels[click.row, click.col]) <= reach
        shown[module.flood(near, (click.row, click.col))] = click.is_positive
    return shown


@pytest.mark.parametrize("reach", [5, 90], ids=["finds too little", "finds too much"])
@pytest.mark.parametrize("package", ["nninteractive", "sam2"])
def test_every_click_is_that_of_the_simulated_user_on_a_clean_image(
    package: str, reach: int, python: str, scenes: SliceStore, tmp_path: Path
) -> None:
    write = sam2_file if package == "sam2" else nninteractive_folder
    order = order_of(package, python, tmp_path, weights=write(tmp_path / "w", reach=reach))
    outcome = examine(order, scenes, tmp_path, replace(PLAN, limit=1))
    assert outcome == Outcome(("scenes", "outside"), (), ())
    rows = rows_in(tmp_path)
    assert {row.concept for row in rows} == set(IDS)
    signs = set()
    for row in rows:
        pixels = pixels_of(scenes, row)

        def predict(said: Interactions, pixels: np.ndarray = pixels) -> Mask2d:
            return flooded(pixels, said.clicks, reach)

        rounds = simulate_clicks(predict, truth_of(scenes, row), dice, limit=CLICKS)
        assert row.values == rounds.scores
        assert (row.protocol, row.presence, row.milliseconds > 0) == (INTERACTIVE, None, True)
        signs |= {click.is_positive for click in rounds.clicks}
    assert max(len(row.values) for row in rows) == CLICKS
    assert signs == ({True} if reach == 5 else {True, False})


def test_the_same_questions_are_asked_as_of_our_own_model(
    python: str, scenes: SliceStore, tmp_path: Path
) -> None:
    examine(order_of("sam2", python, tmp_path / "w"), scenes, tmp_path, clicks=1)
    reader, ours = StoreReader(scenes), scene_model("scenes")
    concepts = concept_table("scenes")
    limits = ClickLimits(interactive=1)
    examiner = SessionExaminer(ours, scenes, reader, protocols=(INTERACTIVE,), limits=limits)
    theirs = rows_in(tmp_path)
    for number, row in enumerate(scenes.rows):
        found = [one for one in theirs if number_of(scenes, one) == number]
        if found:
            targets = targets_of(scenes, row.dataset, concepts)
            mine = examiner.examine(number, targets)
            assert [one.key for one in mine] == [one.key for one in found]
            assert [one.role for one in mine] == [one.role for one in found]


def test_labels_of_nnunet_are_found_by_name_on_every_slice(
    python: str, scenes: SliceStore, tmp_path: Path
) -> None:
    outcome = examine(order_of("nnunetv2", python, tmp_path / "w"), scenes, tmp_path)
    assert outcome == Outcome(("scenes", "outside"), (), ())
    rows = rows_in(tmp_path)
    assert {row.concept for row in rows} == {"liver", "left kidney"}
    assert {row.role for row in rows} == {"train", "external"}
    for row in rows:
        mask = np.abs(pixels_of(scenes, row) - LEVELS[row.concept]) <= REACH
        assert row.values == (dice(mask, truth_of(scenes, row)),)
        assert row.values[0] > 0.9
        assert row.protocol == SEMANTIC


def test_a_cell_says_what_made_it(
    python: str, scenes: SliceStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    about = tmp_path / "site" / "nnInteractive-2.6.0.dist-info"
    about.mkdir(parents=True)
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: nnInteractive\nVersion: 2.6.0\n")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join((str(INTERPRETER), str(about.parent))))
    order = order_of("nninteractive", python, tmp_path / "w", name="nnI, mine", device="auto")
    external = replace(PLAN, roles=("external",))
    examine(order, scenes, tmp_path, external)
    (cell,) = read_cells(tmp_path / CELLS)
    assert cell.method == "nnI, mine (official)"
    plan = dict(cell.plan)
    assert len(plan.pop("weights")) == 64 and len(plan.pop("slices")) == 16
    assert plan == {
        "method": "nnI, mine (official)",
        "tier": "official package",
        "package": "nninteractive",
        "version": "2.6.0",
        "device": "cpu",
        "weights_licence": "CC BY-NC-SA 4.0",
        "folds": ["0"],
        "checkpoint": "checkpoint_final.pth",
        "grid": StoreReader.grid,
        "protocols": [INTERACTIVE],
        "clicks": CLICKS,
        "split": "test",
        "limit": 2,
        "slice_seed": 0,
    }
    # Weights that name no licence are not said to have one.
    (order.weights / "LICENSE").unlink()
    examine(order, scenes, tmp_path / "other", external, 1)
    (silent,) = read_cells(tmp_path / "other" / CELLS)
    assert silent.plan["weights_licence"] is None


def test_what_is_finished_is_not_done_again_and_outlives_its_package(
    python: str, scenes: SliceStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    order = order_of("sam2", python, tmp_path / "w")
    examine(order, scenes, tmp_path, replace(PLAN, datasets=("scenes",)), 1)
    (first,) = (tmp_path / CELLS).iterdir()
    written = first.stat().st_mtime_ns
    assert examine(order, scenes, tmp_path, clicks=1).finished == ("scenes", "outside")
    assert first.stat().st_mtime_ns == written
    monkeypatch.delenv("PYTHONPATH")
    # A finished cell is no failure, whatever became of the package.
    assert examine(order, scenes, tmp_path, clicks=1) == Outcome(("scenes", "outside"), (), ())
    assert len(read_cells(tmp_path / CELLS)) == 2


def test_other_weights_are_not_mixed_in(python: str, scenes: SliceStore, tmp_path: Path) -> None:
    order = order_of("sam2", python, tmp_path / "w")
    plan = replace(PLAN, datasets=("scenes",), limit=1)
    examine(order, scenes, tmp_path, plan, 1)
    order.weights.write_text(json.dumps({"reach": 3}))
    with pytest.raises(StoreError, match=r"other settings \(weights\)"):
        examine(order, scenes, tmp_path, plan, 1)


def test_a_missing_package_is_noted_for_every_set_and_forgotten_once_it_is_there(
    bare_python: str, scenes: SliceStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    order = order_of("nnunetv2", bare_python, tmp_path / "w")
    outcome = examine(order, scenes, tmp_path)
    assert outcome.finished == ()
    assert {(one.dataset, one.kind) for one in outcome.failures} == {
        ("scenes", PACKAGE_MISSING),
        ("outside", PACKAGE_MISSING),
    }
    assert "No module named 'nnunetv2'" in outcome.failures[0].reason
    assert "pip install nnunetv2" in outcome.failures[0].reason
    assert set(read_failures(tmp_path)) == set(outcome.failures)
    assert {one.roles for one in outcome.failures} == {("train",), ("external",)}
    monkeypatch.setenv("PYTHONPATH", str(INTERPRETER))
    assert examine(order, scenes, tmp_path) == Outcome(("scenes", "outside"), (), ())
    assert read_failures(tmp_path) == ()


@pytest.mark.parametrize("dies", [False, True], ids=["raises", "dies"])
def test_a_set_that_a_package_fails_on_is_noted_and_the_next_one_is_examined(
    python: str, scenes: SliceStore, tmp_path: Path, dies: bool
) -> None:
    spaced = changed(scenes, **{row.case_id: {"spacing": (2.0, 2.0)} for row in scenes.rows})
    folder = nnunet_folder(
        tmp_path / "w",
        plans={"image_reader_writer": "SimpleITKIO"},
        checkpoint={"dies": dies},
    )
    order = order_of("nnunetv2", python, tmp_path, weights=folder)
    outcome = examine(order, spaced, tmp_path)
    assert outcome.finished == ("outside",)
    (failure,) = outcome.failures
    assert (failure.dataset, failure.kind) == ("scenes", ENDED if dies else FAILED)
    assert ("signal 11" if dies else "CUDA out of memory. Tried") in failure.reason
    assert {row.dataset for row in rows_in(tmp_path)} == {"outside"}


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"checkpoint": {"configuration": "3d_fullres"}}, "the configuration is 3-D"),
        ({"checkpoint": {"configuration": "none"}}, "KeyError: 'none'"),
    ],
)
def test_weights_that_the_package_refuses_are_noted(
    python: str, scenes: SliceStore, tmp_path: Path, changes: dict[str, dict[str, str]], said: str
) -> None:
    folder = nnunet_folder(tmp_path / "w", **changes)  # type: ignore[arg-type]
    outcome = examine(order_of("nnunetv2", python, tmp_path, weights=folder), scenes, tmp_path)
    assert {one.kind for one in outcome.failures} == {WEIGHTS_REFUSED}
    assert len(outcome.failures) == 2
    assert all(said in one.reason for one in outcome.failures)


def test_weights_in_the_wrong_place_end_it_at_once(
    python: str, scenes: SliceStore, tmp_path: Path
) -> None:
    order = order_of("nnunetv2", python, tmp_path, weights=tmp_path / "nowhere")
    with pytest.raises(CheckpointError, match="name the folder that training wrote"):
        examine(order, scenes, tmp_path)
    assert not (tmp_path / CELLS).exists() and read_failures(tmp_path) == ()


def test_sets_that_the_weights_know_nothing_of_are_left_out(
    python: str, scenes: SliceStore, tmp_path: Path
) -> None:
    infos = dict(scenes.infos)
    infos["outside"] = replace(infos["outside"], classes={3: "polyp"})
    store = SliceStore(scenes.path, infos, scenes.rows, scenes._maps)
    outcome = examine(order_of("nnunetv2", python, tmp_path / "w"), store, tmp_path)
    assert outcome == Outcome(("scenes",), (), ("outside",))
    with pytest.raises(StoreError, match="know no structure of the chosen sets"):
        outside = replace(PLAN, datasets=("outside",))
        examine(order_of("nnunetv2", python, tmp_path / "w"), store, tmp_path, outside)


def test_who_stops_it_keeps_what_is_finished(
    python: str, scenes: SliceStore, tmp_path: Path
) -> None:
    class AfterFour:
        done = 0

        def report(self, done: int, total: int, message: str = "") -> None:
            self.done += 1

        def is_cancelled(self) -> bool:
            return self.done >= 4

    order = order_of("nnunetv2", python, tmp_path / "w")
    with pytest.raises(CancelledError):
        examine_official(order, scenes, tmp_path, Examination(plan=PLAN), AfterFour())
    assert {row.dataset for row in rows_in(tmp_path)} == {"scenes"}
    assert read_failures(tmp_path) == ()
    assert examine(order, scenes, tmp_path, clicks=10).finished == ("scenes", "outside")
