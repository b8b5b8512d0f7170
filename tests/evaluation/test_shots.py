from __future__ import annotations

from pathlib import Path

import pytest

from medprism.data.store import SliceStore
from medprism.evaluation.benchmark import Plan, run
from medprism.evaluation.cases import StoreReader, Target
from medprism.evaluation.catalog import CATALOG
from medprism.evaluation.examiners import SessionExaminer
from medprism.evaluation.measures import MEASURES, rows_for
from medprism.evaluation.protocols import ONE_SHOT, PROTOCOLS, Exam
from medprism.evaluation.references import FixedReferences
from medprism.evaluation.results import ResultRow, read_cell, volume_of
from medprism.evaluation.shots import (
    K_SHOT,
    K_SHOT_POSITIONS,
    POSITIONS,
    REFERENCE_DRAWS,
    SHOTS,
)
from medprism.inference.session import Session
from medprism.metrics.dice import dice
from tests.evaluation.phantoms import changed, concept_table, make_volumes, scene_model
from tests.inference.fake_segmenter import CountingSegmenter

LIVER = Target("volumes", "liver", (1,), True)
IN_CONTEXT = (K_SHOT, K_SHOT_POSITIONS, REFERENCE_DRAWS)


@pytest.fixture(scope="module")
def volumes(tmp_path_factory: pytest.TempPathFactory) -> SliceStore:
    return make_volumes(tmp_path_factory.mktemp("volumes"))


def exam_of(store: SliceStore, segmenter: CountingSegmenter | None = None) -> Exam:
    return Exam(
        session=Session(scene_model("volumes", segmenter=segmenter)),
        store=store,
        reader=StoreReader(store),
        references=FixedReferences(store, 0),
        method="fake",
    )


def literal(exam: Exam, number: int, chosen: tuple[int, ...]) -> float:
    """Return Dice of a session that was never asked before."""
    session = Session(scene_model("volumes"))
    session.set_image(exam.reader.image(number))
    for other in chosen:
        session.add_reference(exam.reader.image(other), exam.reader.truth(other, LIVER), "x")
    return dice(session.predict(labels=["x"])["x"].mask, exam.reader.truth(number, LIVER))


def test_every_number_of_shots_equals_a_fresh_session_with_these_references(
    volumes: SliceStore,
) -> None:
    exam = exam_of(volumes)
    order = exam.references.several(0, LIVER, 9)
    (row,) = CATALOG[K_SHOT](exam, 0, [LIVER])
    assert row.shots == (1, 3, 5, 9)
    assert row.values == tuple(literal(exam, 0, order[:count]) for count in SHOTS)
    assert len(set(row.values)) > 1
    (single,) = CATALOG[ONE_SHOT](exam, 0, [LIVER])
    assert row.values[0] == single.values[0]
    assert row.overlap.reference == exam.reader.truth(0, LIVER).sum()
    assert row.pixels == exam.reader.truth(0, LIVER).size
    assert MEASURES["9-shot"].of(row) == row.values[3]
    assert MEASURES["references in 9-shot"].of(row) == 9


def test_the_session_is_given_exactly_so_many_references(volumes: SliceStore) -> None:
    segmenter = CountingSegmenter()
    CATALOG[K_SHOT](exam_of(volumes, segmenter), 0, [LIVER])
    found = [prompts.references.valid.shape[1] for prompts in segmenter.calls.prompts]  # type: ignore[union-attr]
    cells = found[0]
    assert sorted({count // cells for count in found}) == list(SHOTS)
    assert all(prompts.concept is None for prompts in segmenter.calls.prompts)


def test_where_fewer_are_there_all_of_them_are_used_and_counted(volumes: SliceStore) -> None:
    few = {r.case_id: {"patient": "v0"} for r in volumes.rows if r.case_id[:2] == "v2"}
    exam = exam_of(changed(volumes, **few))
    (row,) = CATALOG[K_SHOT](exam, 0, [LIVER])
    assert row.shots == (1, 3, 3, 3)
    assert row.values[1] == row.values[2] == row.values[3]
    (row,) = CATALOG[REFERENCE_DRAWS](exam, 0, [LIVER])
    assert row.shots == (1, 1, 1)
    none = changed(volumes, **{r.case_id: {"patient": "v0"} for r in volumes.rows})
    for name in IN_CONTEXT:
        assert CATALOG[name](exam_of(none), 0, [LIVER]) == []


def test_positions_are_those_of_the_paper_and_each_is_answered_alone(volumes: SliceStore) -> None:
    assert POSITIONS[9] == tuple(tenth / 10 for tenth in range(1, 10))
    assert (POSITIONS[1], POSITIONS[3]) == ((0.5,), (0.2, 0.5, 0.8))
    assert POSITIONS[5] == (0.2, 0.4, 0.5, 0.6, 0.8)
    exam = exam_of(volumes)
    placed = exam.references.at_positions(0, LIVER, POSITIONS)
    (row,) = CATALOG[K_SHOT_POSITIONS](exam, 0, [LIVER])
    assert row.values == tuple(literal(exam, 0, placed[count]) for count in SHOTS)
    assert row.shots == tuple(len(placed[count]) for count in SHOTS)
    assert {volume_of(volumes.rows[n]) for chosen in placed.values() for n in chosen} == {"v2"}
    assert MEASURES["1-shot at positions"].of(row) == row.values[0]
    assert MEASURES["references in 9-shot at positions"].of(row) == row.shots[3]


def test_draws_are_single_references_and_their_spread_is_measured(volumes: SliceStore) -> None:
    exam = exam_of(volumes)
    order = exam.references.several(0, LIVER, 10)
    (row,) = CATALOG[REFERENCE_DRAWS](exam, 0, [LIVER])
    assert row.values == tuple(literal(exam, 0, (other,)) for other in order)
    mean = sum(row.values) / len(row.values)
    spread = (sum((value - mean) ** 2 for value in row.values) / len(row.values)) ** 0.5
    measured = [MEASURES[f"reference {name}"].of(row) for name in ("mean", "std", "min", "max")]
    assert measured == pytest.approx([mean, spread, min(row.values), max(row.values)])
    assert spread > 0


def test_new_protocols_run_when_named_and_old_choices_stay_as_they_were(
    volumes: SliceStore, tmp_path: Path
) -> None:
    assert tuple(CATALOG)[: len(PROTOCOLS)] == tuple(PROTOCOLS)
    model, reader = scene_model("volumes"), StoreReader(volumes)
    usual = SessionExaminer(model, volumes, reader)
    assert usual.identity()["protocols"] == list(PROTOCOLS)
    examiner = SessionExaminer(model, volumes, reader, protocols=IN_CONTEXT)
    (cell,) = run(examiner, volumes, concept_table("volumes"), Plan(limit=1), tmp_path)
    assert [row.protocol for row in cell.rows] == [n for n in IN_CONTEXT for _ in range(3)]
    (path,) = tmp_path.glob("*.json")
    again: tuple[ResultRow, ...] = read_cell(path).rows
    assert again == cell.rows
    assert len(rows_for("9-shot", cell.rows, cell.plan)) == 3


def test_pictures_have_no_positions(scenes: SliceStore) -> None:
    target = Target("scenes", "liver", (1,), True)
    number = next(n for n, row in enumerate(scenes.rows) if row.case_id == "f")
    assert CATALOG[K_SHOT_POSITIONS](exam_of(scenes), number, [target]) == []
