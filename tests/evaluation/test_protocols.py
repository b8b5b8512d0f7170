from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from medprism.core.errors import ConfigError
from medprism.core.prompt import Mask2d
from medprism.data.store import SliceStore
from medprism.evaluation.cases import StoreReader, Target, targets_of
from medprism.evaluation.protocols import (
    ABSENT,
    INTERACTIVE,
    PROTOCOLS,
    REFINE_IN_CONTEXT,
    REFINE_SEMANTIC,
    SEMANTIC,
    ClickLimits,
    Exam,
    class_name,
)
from medprism.evaluation.references import FixedReferences
from medprism.evaluation.results import ResultRow
from medprism.inference.session import Session
from medprism.metrics.dice import dice
from medprism.prompts.clicks import next_click
from tests.evaluation.phantoms import changed, concept_table, scene_model
from tests.inference.fake_segmenter import CountingSegmenter


def exam_of(store: SliceStore, segmenter: CountingSegmenter | None = None) -> Exam:
    return Exam(
        session=Session(scene_model("scenes", segmenter=segmenter)),
        store=store,
        reader=StoreReader(store),
        references=FixedReferences(store, 0),
        method="fake",
        limits=ClickLimits(interactive=6, refine=2),
    )


def number_of(store: SliceStore, case: str) -> int:
    return next(n for n, row in enumerate(store.rows) if row.case_id == case)


def targets(store: SliceStore, dataset: str = "scenes") -> tuple[Target, ...]:
    return targets_of(store, dataset, concept_table("scenes"))


def by_concept(rows: list[ResultRow]) -> dict[str, ResultRow]:
    assert len({row.concept for row in rows}) == len(rows)
    return {row.concept: row for row in rows}


def test_semantic_asks_for_all_classes_at_once_and_scores_those_on_the_slice(
    scenes: SliceStore,
) -> None:
    segmenter = CountingSegmenter()
    exam, number = exam_of(scenes, segmenter), number_of(scenes, "f")
    rows = by_concept(PROTOCOLS[SEMANTIC](exam, number, targets(scenes)))
    assert {row.protocol for row in rows.values()} == {SEMANTIC}
    assert segmenter.calls.encode < 1 + 3 + 1
    assert segmenter.calls.decode[0] == 3
    session = exam.session
    for target in targets(scenes):
        row = rows[target.concept]
        truth = exam.reader.truth(number, target)
        assert row.values == (dice(session.mask(target.concept), truth),)
        assert row.overlap.reference == truth.sum()
        assert row.presence == session.presence(target.concept)
        assert row.milliseconds > 0
    assert rows["liver"].values[0] > 0.8
    assert (rows["liver"].case, rows["liver"].patient, rows["liver"].split) == (
        "f",
        "patient5",
        "test",
    )


def test_a_class_that_is_not_there_gives_a_row_of_its_own(scenes: SliceStore) -> None:
    exam, number = exam_of(scenes), number_of(scenes, "g")
    rows = by_concept(PROTOCOLS[SEMANTIC](exam, number, targets(scenes)))
    assert rows["polyp"].protocol == ABSENT
    found = exam.session.mask("polyp")
    assert rows["polyp"].values == (float(found.mean()),)
    assert rows["polyp"].overlap.reference == 0
    not_exhaustive = [replace(t, is_exhaustive=False) for t in targets(scenes)]
    rows = by_concept(PROTOCOLS[SEMANTIC](exam, number, not_exhaustive))
    assert set(rows) == {"liver", "left kidney"}


def test_classes_the_model_does_not_know_are_left_out_of_what_needs_them(
    scenes: SliceStore,
) -> None:
    exam, number = exam_of(scenes), number_of(scenes, "f")
    strange = [Target("scenes", "spleen", (1,), True)]
    assert PROTOCOLS[SEMANTIC](exam, number, strange) == []
    assert PROTOCOLS[REFINE_SEMANTIC](exam, number, strange) == []
    for name in ("one-shot", INTERACTIVE, REFINE_IN_CONTEXT):
        assert [row.concept for row in PROTOCOLS[name](exam, number, strange)] == ["spleen"]


def test_synonyms_are_the_same_class(scenes: SliceStore) -> None:
    exam, number = exam_of(scenes), number_of(scenes, "f")
    named = [Target("scenes", "Hepar", (1,), True)]
    usual = [Target("scenes", "liver", (1,), True)]
    for name in (SEMANTIC, REFINE_SEMANTIC):
        (by_synonym,) = PROTOCOLS[name](exam, number, named)
        (by_name,) = PROTOCOLS[name](exam, number, usual)
        assert by_synonym.values == by_name.values
    assert class_name(concept_table(), "HEPAR") == "liver"
    assert class_name(concept_table(), "spleen") is None


def test_one_shot_shows_the_fixed_reference_and_leaves_out_what_has_none(
    scenes: SliceStore,
) -> None:
    segmenter = CountingSegmenter()
    exam, number = exam_of(scenes, segmenter), number_of(scenes, "f")
    rows = by_concept(PROTOCOLS["one-shot"](exam, number, targets(scenes)))
    assert rows["liver"].values[0] > 0.8
    for prompts in segmenter.calls.prompts:
        assert prompts.references is not None
        assert prompts.concept is None
        assert prompts.clicks is None
    same = {"patient": scenes.rows[number].patient}
    exam.references = FixedReferences(changed(scenes, a=same, b=same, c=same), 0)
    assert PROTOCOLS["one-shot"](exam, number, targets(scenes)) == []
    assert PROTOCOLS[REFINE_IN_CONTEXT](exam, number, targets(scenes)) == []


def test_the_reference_decides_what_is_found(scenes: SliceStore) -> None:
    """Asked with a kidney as example, it is not the liver that comes out."""

    class SwappedReader(StoreReader):
        def truth(self, number: int, target: Target) -> Mask2d:
            row = scenes.rows[number]
            ids = (2,) if row.split == "train" else target.label_ids
            return scenes.plane(number, ids)

    exam, number = exam_of(scenes), number_of(scenes, "f")
    liver = [t for t in targets(scenes) if t.concept == "liver"]
    (right,) = PROTOCOLS["one-shot"](exam, number, liver)
    exam.reader = SwappedReader(scenes)
    (wrong,) = PROTOCOLS["one-shot"](exam, number, liver)
    assert wrong.values[0] < right.values[0] - 0.4


def literal_clicks(session: Session, image: np.ndarray, truth: Mask2d, limit: int) -> list[float]:
    """Click as a person would: look, click, look again."""
    session.set_image(image)
    mask, scores = np.zeros_like(truth), []
    for _ in range(limit):
        click = next_click(mask, truth)
        if click is None:
            break
        mask = session.add_point_interaction((click.row, click.col), click.is_positive)
        scores.append(dice(mask, truth))
    return scores


def test_interactive_clicks_like_a_person_with_nothing_else(scenes: SliceStore) -> None:
    segmenter = CountingSegmenter()
    exam, number = exam_of(scenes, segmenter), number_of(scenes, "f")
    exam.session.set_references(scenes.image(0)[..., 0], scenes.plane(0, (1,)), label="liver")
    rows = by_concept(PROTOCOLS[INTERACTIVE](exam, number, targets(scenes)))
    for prompts in segmenter.calls.prompts:
        assert prompts.concept is None
        assert prompts.references is None
    session = Session(scene_model("scenes"))
    for target in targets(scenes):
        truth = scenes.plane(number, target.label_ids)
        expected = literal_clicks(session, scenes.image(number)[..., 0], truth, 6)
        assert list(rows[target.concept].values) == expected


def test_refinement_starts_from_the_first_mask_and_has_its_own_limit(scenes: SliceStore) -> None:
    exam, number = exam_of(scenes), number_of(scenes, "f")
    semantic = by_concept(PROTOCOLS[SEMANTIC](exam, number, targets(scenes)))
    one_shot = by_concept(PROTOCOLS["one-shot"](exam, number, targets(scenes)))
    refined = by_concept(PROTOCOLS[REFINE_SEMANTIC](exam, number, targets(scenes)))
    shown = by_concept(PROTOCOLS[REFINE_IN_CONTEXT](exam, number, targets(scenes)))
    for name in ("liver", "left kidney", "polyp"):
        assert refined[name].values[0] == semantic[name].values[0]
        assert shown[name].values[0] == one_shot[name].values[0]
        assert len(refined[name].values) == len(shown[name].values) == 3
    session = Session(scene_model("scenes"))
    session.set_image(scenes.image(number)[..., 0])
    mask = session.predict(classes=["polyp"])["polyp"].mask
    truth = scenes.plane(number, (3,))
    for value in refined["polyp"].values[1:]:
        click = next_click(mask, truth)
        assert click is not None
        mask = session.add_point_interaction((click.row, click.col), click.is_positive, "polyp")
        assert dice(mask, truth) == value


def test_the_order_of_targets_and_protocols_changes_nothing(scenes: SliceStore) -> None:
    exam, number = exam_of(scenes), number_of(scenes, "f")

    def values(names: list[str], asked: tuple[Target, ...]) -> dict[tuple[str, str], object]:
        rows = [row for name in names for row in PROTOCOLS[name](exam, number, asked)]
        return {(row.protocol, row.concept): row.values for row in rows}

    names = list(PROTOCOLS)
    assert values(names, targets(scenes)) == values(names[::-1], targets(scenes)[::-1])


@pytest.mark.parametrize("limits", [(0, 3), (10, 0)])
def test_limits_are_checked(limits: tuple[int, int]) -> None:
    with pytest.raises(ConfigError, match="click limits"):
        ClickLimits(interactive=limits[0], refine=limits[1])
