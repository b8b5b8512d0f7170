from __future__ import annotations

from typing import Any

import pytest

from medprism.core.errors import LabelError
from medprism.core.image import Image
from medprism.core.progress import SilentProgress
from medprism.inference.knowledge import BoxMark, Example, Knowledge, PointMark, ask, teach
from medprism.inference.session import DEFAULT_LABEL, Session
from medprism.metrics.dice import dice
from tests.inference.fake_segmenter import CountingSegmenter, fake_model
from tests.inference.phantom import scene

PIXELS, MASKS = scene()
OTHER, OTHER_MASKS = scene(3, shift=9)


def _session() -> Session:
    session = Session(fake_model())
    session.set_image(PIXELS)
    return session


def _told(session: Session, **members: Any) -> Session:  # noqa: ANN401
    knowledge = Knowledge(**members)
    teach(session, knowledge)
    ask(session, knowledge, SilentProgress())
    return session


def test_classes_examples_and_marks_each_find_their_structure() -> None:
    example = Example(Image.from_array(OTHER), OTHER_MASKS["left kidney"])
    for members, label, structure in (
        ({"classes": ("hepar",)}, "liver", "liver"),
        ({"examples": (example,)}, DEFAULT_LABEL, "left kidney"),
        ({"clicks": (PointMark((30, 30), True),), "label": "organ"}, "organ", "liver"),
    ):
        session = _told(_session(), **members)
        assert session.labels == (label,)
        assert dice(session.mask(label), MASKS[structure]) > 0.8


def test_several_classes_and_a_label_of_ones_own_stand_side_by_side() -> None:
    example = Example(Image.from_array(OTHER), OTHER_MASKS["liver"])
    session = _told(
        _session(), classes=("left kidney", "polyp"), examples=(example,), label="organ"
    )
    assert set(session.labels) == {"left kidney", "polyp", "organ"}
    assert dice(session.mask("organ"), MASKS["liver"]) > 0.8


def test_marks_refine_the_class_that_is_asked_for_under_any_of_its_names() -> None:
    session = _told(
        _session(),
        classes=("HEPAR", "polyp"),
        clicks=(PointMark((30, 30), True),),
        boxes=(BoxMark(((5, 60), (2, 60)), True),),
        label="hepar",
    )
    assert set(session.labels) == {"liver", "polyp"}
    assert len(session.interactions("liver").items) == 2
    assert not session.interactions("polyp")


def test_examples_are_encoded_once_for_many_images() -> None:
    segmenter = CountingSegmenter()
    session = Session(fake_model(segmenter), auto_zoom=False)
    knowledge = Knowledge(examples=(Example(Image.from_array(OTHER), OTHER_MASKS["liver"]),))
    teach(session, knowledge)
    for number in range(3):
        session.set_image(scene(number)[0])
        ask(session, knowledge)
    assert segmenter.calls.encode_references == 1


def test_unknown_classes_are_refused_before_any_image_is_opened() -> None:
    with pytest.raises(LabelError, match="unknown class 'lver'; did you mean liver"):
        teach(Session(fake_model()), Knowledge(classes=("lver",)))


def test_nothing_and_ambiguous_knowledge_are_refused() -> None:
    with pytest.raises(LabelError, match="nothing says what to segment"):
        Knowledge(label="liver")
    with pytest.raises(LabelError, match="2 classes are asked for"):
        Knowledge(classes=("liver", "polyp"), clicks=(PointMark((1, 1), True),))
