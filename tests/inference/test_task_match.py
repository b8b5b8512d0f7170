from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from medprism.core.concepts import Concept, ConceptTable
from medprism.core.errors import LabelError, PromptError
from medprism.core.image import Image
from medprism.engines.loaded import LoadedModel
from medprism.engines.loading import from_weights
from medprism.inference.session import Session
from medprism.inference.task_match import check_task, foreign_modalities
from medprism.models.kprism.config import kprism_nano
from medprism.models.kprism.model import KPrism
from medprism.models.tpseg.config import tpseg_nano
from medprism.models.tpseg.model import TPSeg

TASKS = ConceptTable((Concept("colon polyp", ("polyp",)), Concept("liver mass"), Concept("cyst")))
CARD = {
    "tasks": [
        {"name": "colon polyp", "modalities": [], "colours": ["colour"], "images": 9},
        {"name": "liver mass", "modalities": ["CT", "MR"], "colours": ["grey"], "images": 4},
        {"name": "cyst", "modalities": ["US"], "colours": ["grey"], "images": 4},
        "damaged",
    ]
}


@pytest.fixture(scope="module")
def model() -> LoadedModel:
    torch.manual_seed(1)
    config = tpseg_nano(3)
    loaded = from_weights(config, TPSeg(config).state_dict(), TASKS, 64)
    return replace(loaded, card=CARD)


def picture(modality: str | None = None, *, is_rgb: bool = False) -> Image:
    rng = np.random.default_rng(2)
    shape = (50, 70, 3) if is_rgb else (50, 70)
    return Image.from_array(rng.integers(0, 255, shape, dtype=np.uint8), modality=modality)


def test_a_task_is_found_by_name_and_a_wrong_one_lists_near_ones(model: LoadedModel) -> None:
    assert check_task(model, "Polyp") == "colon polyp"
    with pytest.raises(LabelError, match="unknown task 'polip'; did you mean colon polyp"):
        check_task(model, "polip")
    with pytest.raises(LabelError, match="known: colon polyp, liver mass, cyst"):
        check_task(model, "zzz")


def test_a_model_without_tasks_says_so() -> None:
    config = kprism_nano(3)
    loaded = from_weights(config, KPrism(config).state_dict(), TASKS, 64)
    with pytest.raises(LabelError, match="has no tasks; choose a TP-Seg checkpoint"):
        check_task(loaded, "polyp")


@pytest.mark.parametrize(
    ("task", "image", "seen"),
    [
        ("liver mass", picture("CT"), None),
        ("liver mass", picture("US"), "is US, and task 'liver mass' learned from CT and MR"),
        ("liver mass", picture(), None),
        ("liver mass", picture(is_rgb=True), "is colour, and task"),
        ("polyp", picture(is_rgb=True), None),
        ("polyp", picture("CT"), "is grey, and task 'colon polyp' learned from colour"),
    ],
)
def test_an_image_of_another_kind_is_named(
    model: LoadedModel, task: str, image: Image, seen: str | None
) -> None:
    found = foreign_modalities(model, (task,), image)
    assert len(found) == (0 if seen is None else 1)
    assert seen is None or seen in found[0]


def test_several_tasks_are_looked_at_one_by_one(model: LoadedModel) -> None:
    names = ("liver mass", "cyst", "polyp")
    assert len(foreign_modalities(model, names, picture("US"))) == 2
    assert foreign_modalities(replace(model, card={}), names, picture("US")) == ()


def test_a_session_asks_by_task_and_refuses_the_rest(model: LoadedModel) -> None:
    session = Session(model)
    session.set_image(picture(is_rgb=True))
    found = session.predict(classes=["polyp", "cyst"])
    assert set(found) == {"polyp", "cyst"}
    assert session.mask("cyst").shape == (50, 70)
    assert not np.array_equal(session.probability("cyst"), session.probability("polyp"))
    with pytest.raises(PromptError, match="takes no clicks"):
        session.add_point_interaction((10, 20), include_interaction=True, label="cyst")
