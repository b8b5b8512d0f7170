from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from medprism.core.errors import CancelledError, ConfigError, LabelError, StoreError
from medprism.data.preparation import PrepareConfig, prepare
from medprism.data.store import SliceStore
from medprism.data.vocabulary import training_concepts
from medprism.evaluation.benchmark import Plan, choose_slices, read_cells, run
from medprism.evaluation.cases import StoreReader, Target
from medprism.evaluation.examiners import SessionExaminer
from medprism.evaluation.protocols import PROTOCOLS, ClickLimits
from medprism.evaluation.results import Cell, ResultRow
from medprism.models.kprism.config import kprism_nano
from medprism.models.kprism.model import KPrism
from tests.data.phantoms import real_folder
from tests.evaluation.phantoms import concept_table, scene_model

CONCEPTS = concept_table("scenes")


class Recorder:
    """A progress that remembers, and asks to stop at a point."""

    def __init__(self, stop_at: int | None = None) -> None:
        self.reports: list[tuple[int, int, str]] = []
        self.stop_at = stop_at

    def report(self, done: int, total: int, message: str = "") -> None:
        self.reports.append((done, total, message))

    def is_cancelled(self) -> bool:
        return self.stop_at is not None and len(self.reports) >= self.stop_at


class CountingExaminer(SessionExaminer):
    """Counts the slices it was asked about."""

    def __init__(self, store: SliceStore, **settings: object) -> None:
        super().__init__(
            scene_model("scenes"),
            store,
            StoreReader(store),
            limits=ClickLimits(interactive=2, refine=1),
            **settings,  # type: ignore[arg-type]
        )
        self.asked: list[int] = []

    def examine(self, number: int, targets: Sequence[Target]) -> list[ResultRow]:
        self.asked.append(number)
        return super().examine(number, targets)


def timeless(cells: tuple[Cell, ...]) -> list[Cell]:
    return [
        replace(cell, rows=tuple(replace(row, milliseconds=0.0) for row in cell.rows))
        for cell in cells
    ]


def test_all_sets_are_examined_in_order_and_kept(scenes: SliceStore, tmp_path: Path) -> None:
    progress = Recorder()
    cells = run(CountingExaminer(scenes), scenes, CONCEPTS, Plan(), tmp_path, progress)
    assert [cell.facts.dataset for cell in cells] == ["scenes", "outside"]
    assert [cell.facts.num_images for cell in cells] == [3, 4]
    assert [cell.facts.num_patients for cell in cells] == [3, 2]
    assert progress.reports[-1] == (7, 7, "outside")
    assert sorted(progress.reports) == progress.reports
    protocols = {row.protocol for cell in cells for row in cell.rows}
    assert protocols == {*PROTOCOLS, "absent"}
    assert sorted(read_cells(tmp_path), key=lambda cell: cell.facts.role) == sorted(
        cells, key=lambda cell: cell.facts.role
    )


def test_a_stopped_run_goes_on_where_it_was(scenes: SliceStore, tmp_path: Path) -> None:
    few = ("semantic", "interactive")
    examiner = CountingExaminer(scenes, protocols=few)
    with pytest.raises(CancelledError, match="finished sets are kept"):
        run(examiner, scenes, CONCEPTS, Plan(), tmp_path / "a", Recorder(stop_at=5))
    assert len(list((tmp_path / "a").iterdir())) == 1
    before = len(examiner.asked)
    resumed = run(examiner, scenes, CONCEPTS, Plan(), tmp_path / "a")
    assert len(examiner.asked) - before == 4
    whole = run(CountingExaminer(scenes, protocols=few), scenes, CONCEPTS, Plan(), tmp_path / "b")
    assert timeless(resumed) == timeless(whole)


def test_results_of_other_settings_are_refused(scenes: SliceStore, tmp_path: Path) -> None:
    one, plan = ("semantic",), Plan(roles=("external",))
    run(CountingExaminer(scenes, protocols=one), scenes, CONCEPTS, plan, tmp_path)
    again = CountingExaminer(scenes, protocols=one)
    run(again, scenes, CONCEPTS, plan, tmp_path)
    assert again.asked == []
    other = CountingExaminer(scenes, protocols=one, auto_zoom=False)
    with pytest.raises(StoreError, match=r"made with other settings .*auto_zoom"):
        run(other, scenes, CONCEPTS, plan, tmp_path)
    with pytest.raises(StoreError, match="limit"):
        run(again, scenes, CONCEPTS, replace(plan, limit=2), tmp_path)


def test_a_smaller_limit_is_a_subset(scenes: SliceStore) -> None:
    for seed in range(5):
        chosen = [
            set(choose_slices(scenes, "outside", Plan(limit=limit, seed=seed)))
            for limit in range(1, 5)
        ]
        assert [len(numbers) for numbers in chosen] == [1, 2, 3, 4]
        assert all(a < b for a, b in zip(chosen[:-1], chosen[1:], strict=True))
    firsts = {choose_slices(scenes, "outside", Plan(limit=1, seed=seed)) for seed in range(20)}
    assert len(firsts) > 1


def test_only_what_the_plan_names_is_examined(scenes: SliceStore, tmp_path: Path) -> None:
    plan = Plan(split="val", datasets=("scenes",))
    examiner = CountingExaminer(scenes, protocols=("one-shot", "semantic"))
    (cell,) = run(examiner, scenes, CONCEPTS, plan, tmp_path)
    assert {row.split for row in cell.rows} == {"val"}
    assert [row.protocol for row in cell.rows[:4]] == ["semantic"] * 3 + ["one-shot"]


def test_what_cannot_be_done_is_said(scenes: SliceStore, tmp_path: Path) -> None:
    with pytest.raises(LabelError, match="no dataset 'nowhere'"):
        run(CountingExaminer(scenes), scenes, CONCEPTS, Plan(datasets=("nowhere",)), tmp_path)
    with pytest.raises(StoreError, match="no test slice of the roles unseen"):
        run(CountingExaminer(scenes), scenes, CONCEPTS, Plan(roles=("unseen",)), tmp_path)
    with pytest.raises(StoreError, match="holds no results"):
        read_cells(tmp_path)
    with pytest.raises(ConfigError, match="role 'odd'"):
        Plan(roles=("odd",))
    with pytest.raises(ConfigError, match="split 'odd'"):
        Plan(split="odd")
    with pytest.raises(ConfigError, match="limit of 0"):
        Plan(limit=0)
    with pytest.raises(ConfigError, match="protocol 'magic' is unknown"):
        CountingExaminer(scenes, protocols=("magic",))


@pytest.mark.realdata
def test_a_real_set_goes_through_every_protocol(tmp_path: Path) -> None:
    """With weights that know nothing: rows, patients and references must still be right."""
    folders = [real_folder("drishti_gs"), real_folder("chase_db1")]
    prepare(folders, tmp_path / "store", PrepareConfig(long_side=64))
    store, concepts = SliceStore.open(tmp_path / "store"), training_concepts()
    torch.manual_seed(0)
    model = replace(
        scene_model(),
        segmenter=KPrism(kprism_nano(len(concepts))).eval(),
        concepts=concepts,
        long_side=64,
    )
    limits = ClickLimits(interactive=2, refine=1)
    examiner = SessionExaminer(model, store, StoreReader(store), limits=limits)
    cells = run(examiner, store, concepts, Plan(limit=2), tmp_path / "out")
    counts = {cell.facts.dataset: len(cell.rows) for cell in cells}
    assert counts == {"drishti_gs": 2 * 2 * 5, "chase_db1": 2 * 1 * 5}
    assert {row.concept for row in cells[0].rows} == {"optic disc", "optic cup"}
    assert cells[1].facts.num_patients == 14
