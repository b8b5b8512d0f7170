from __future__ import annotations

import pytest

from medprism.core.errors import LabelError
from medprism.core.image import Image
from medprism.core.prompt import Click, Interactions
from medprism.inference.action import Target
from medprism.inference.annotation import Annotation, LabelState, SliceState
from medprism.inference.reference_bank import Reference, ReferenceBank
from medprism.inference.target import find_label, find_targets
from medprism.models.segmenter import Accepts
from tests.inference.fake_segmenter import CONCEPTS, FakeSegmenter, fake_model
from tests.inference.phantom import scene

MODEL = fake_model()
CLICKED = LabelState(slices={0: SliceState(Interactions((Click(1, 2, True),)))})


def _bank(*labels: str) -> ReferenceBank:
    image, masks = scene()
    reference = Reference.from_pair(Image.from_array(image), masks["liver"])
    return ReferenceBank(dict.fromkeys(labels, (reference,)))


ANNOTATION = Annotation(
    {
        "lesion": CLICKED,
        "liver": LabelState(concept=0),
        "done": LabelState(slices=CLICKED.slices, is_locked=True),
        "void": LabelState(),
    },
    _bank("cyst", "lesion"),
)


def test_classes_are_found_by_synonym_and_become_labels_of_their_own_name() -> None:
    found = find_targets(MODEL, ANNOTATION, None, ["Hepar", "left-kidney"])
    assert found == {
        "Hepar": Target("liver", "liver"),
        "left-kidney": Target("left kidney", "left kidney"),
    }


def test_a_name_asked_for_both_ways_is_asked_for_by_class() -> None:
    found = find_targets(MODEL, ANNOTATION, ["liver", "lesion"], "hepar")
    assert found["liver"] == found["hepar"] == Target("liver", "liver")
    assert found["lesion"] == Target("lesion")


def test_without_names_all_is_meant_that_something_is_known_about() -> None:
    found = find_targets(MODEL, ANNOTATION, None, None)
    assert list(found) == ["lesion", "liver", "cyst"]
    assert all(target.concept is None for target in found.values())


def test_an_unknown_class_lists_near_ones() -> None:
    with pytest.raises(LabelError, match="unknown class 'livr'; did you mean liver"):
        find_targets(MODEL, ANNOTATION, None, ["livr"])


@pytest.mark.parametrize(
    ("name", "rule"),
    [
        ("lesoin", r"nothing is known about label 'lesoin' \(did you mean lesion"),
        ("void", r"click on it, give examples with set_references\(images, masks, label='void'\)"),
        ("polyp", r"or ask for the class: predict\(classes=\['polyp'\]\)"),
    ],
)
def test_a_label_nothing_is_known_about_names_the_ways_out(name: str, rule: str) -> None:
    with pytest.raises(LabelError, match=rule):
        find_targets(MODEL, ANNOTATION, [name], None)


def test_a_locked_label_is_refused() -> None:
    with pytest.raises(LabelError, match=r"'done' is locked; unlock\('done'\)"):
        find_targets(MODEL, ANNOTATION, ["done"], None)


def test_nothing_at_all_names_the_ways_out() -> None:
    with pytest.raises(LabelError, match="ask for classes=.*, give references .*, or click"):
        find_targets(MODEL, Annotation(), None, None)


def test_a_model_without_classes_says_so() -> None:
    clicks_only = fake_model(FakeSegmenter(Accepts(classes=False, references=False, clicks=True)))
    with pytest.raises(LabelError, match="knows no classes, 'liver'"):
        find_targets(clicks_only, ANNOTATION, None, ["liver"])
    with pytest.raises(LabelError, match="nothing is known about label 'cyst'"):
        find_targets(clicks_only, ANNOTATION, ["cyst"], None)


def test_labels_are_found_by_synonym_and_missed_with_a_hint() -> None:
    assert find_label(CONCEPTS, ANNOTATION, " Hepar ") == "liver"
    with pytest.raises(LabelError, match="no label 'leson' on this image; did you mean lesion"):
        find_label(CONCEPTS, ANNOTATION, "leson")
    with pytest.raises(LabelError, match="there is none yet"):
        find_label(CONCEPTS, Annotation(), "lesion")
