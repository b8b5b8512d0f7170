from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from medprism.core.errors import CancelledError
from medprism.core.progress import SilentProgress
from medprism.engines.loaded import LoadedModel
from medprism.engines.loading import load
from medprism.evaluation.fine_tuning import MOST_IMAGES, LessonExam, make_exam
from medprism.inference.session import Session
from medprism.training.lesson import Lesson, plan_lesson
from tests.phantoms import NAMES
from tests.training.phantom_folder import open_store, write_folder
from tests.training.taught_nano import KNOWN, NEW, PATH

SIDE = 64


@pytest.fixture(scope="module")
def model() -> LoadedModel:
    """Return a nano that knows two of the three structures."""
    torch.set_num_threads(1)
    return load(PATH)


@pytest.fixture(scope="module")
def lesson(model: LoadedModel, tmp_path_factory: pytest.TempPathFactory) -> Lesson:
    """Return the lesson of eight phantoms."""
    folder = tmp_path_factory.mktemp("phantoms")
    store = open_store(write_folder(folder / "toys", 8), folder / "store")
    return plan_lesson(store, model.concepts, (NEW,))


def test_the_same_model_before_and_after_has_the_same_figures(
    lesson: Lesson, model: LoadedModel
) -> None:
    exam = make_exam(lesson, SIDE)
    exam.before(model, (0, 1), SilentProgress())
    found = exam.after(model, SilentProgress())
    (new,) = found["new"]
    assert new["before"] == new["after"] and new["before"]["class"] is None
    assert all(one["before"] == one["after"] > 0.9 for one in found["old"])
    assert found["agreement"]["dice"] == found["agreement"]["lowest"]["dice"] == 1.0
    assert found["agreement"]["classes"] == len(KNOWN)
    assert 0 < found["agreement"]["masks"] <= MOST_IMAGES * len(KNOWN)
    assert len(found["notes"]) == 1 and "not whether they are right" in found["notes"][0]


def test_the_dice_of_an_old_class_is_that_of_a_session(lesson: Lesson, model: LoadedModel) -> None:
    exam = LessonExam(lesson, SIDE)
    exam.before(model, (), SilentProgress())
    found = {one["name"]: one for one in exam.after(model, SilentProgress())["old"]}
    session = Session(model, auto_zoom=False)
    dices = []
    for number, row in enumerate(lesson.store.rows):
        if row.split != "val":
            continue
        session.set_image(lesson.store.image(number))
        session.predict(classes=[KNOWN[0]])
        mask = session.mask(KNOWN[0])
        truth = lesson.store.plane(number, (NAMES.index(KNOWN[0]) + 1,))
        dices.append(2 * (mask & truth).sum() / (mask.sum() + truth.sum()))
    assert found[KNOWN[0]]["masks"] == len(dices) == 2
    assert found[KNOWN[0]]["before"] == pytest.approx(float(np.mean(dices)), abs=2e-3)


def test_what_was_not_measured_is_said(lesson: Lesson, model: LoadedModel) -> None:
    exam = LessonExam(replace(lesson, labelled={}), SIDE)
    exam.before(model, (), SilentProgress())
    found = exam.after(model, SilentProgress())
    assert found["old"] == [] and found["agreement"] is None
    assert "could not be measured" in found["notes"][0] and "finds none" in found["notes"][1]


def test_a_store_of_old_classes_is_measured_on_its_own_val(
    lesson: Lesson, model: LoadedModel, tmp_path: Path
) -> None:
    old = open_store(write_folder(tmp_path / "others", 8, KNOWN), tmp_path / "store")
    known = plan_lesson(lesson.store, model.concepts, (NEW,), rehearsal=old)
    exam = LessonExam(replace(known, labelled={}), SIDE)
    exam.before(model, (), SilentProgress())
    found = exam.after(model, SilentProgress())
    assert {(one["name"], one["source"]) for one in found["old"]} == {(n, "store") for n in KNOWN}
    assert all(one["before"] > 0.9 for one in found["old"])


def test_measuring_stops_when_it_is_told_to(lesson: Lesson, model: LoadedModel) -> None:
    class Unwanted(SilentProgress):
        def is_cancelled(self) -> bool:
            return True

    with pytest.raises(CancelledError, match="stopped while measuring"):
        LessonExam(lesson, SIDE).before(model, (), Unwanted())
