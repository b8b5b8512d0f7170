"""What a trained folder says about itself, and what is asked of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from medprism.core.concepts import Concept, ConceptTable
from medprism.core.errors import CheckpointError, InternalError
from medprism.core.image import Image
from medprism.evaluation.answerer import Answerer
from medprism.evaluation.bench.official.nnunetv2 import NnUNetWeights, name_concepts, to_channels
from medprism.evaluation.bench.official.process import WEIGHTS_REFUSED, RunnerError
from medprism.evaluation.cases import Target
from tests.evaluation.bench.official.packages import nnunet_folder, order_of
from tests.evaluation.bench.official.test_sessions import Notes
from tests.evaluation.phantoms import concept_table

SAID = {"normalization": ["ZScoreNormalization"]}
CT_SAID = {"normalization": ["CTNormalization"]}
SHAPE = (4, 6)


def weights_of(folder: Path, **changes: dict[str, Any]) -> NnUNetWeights:
    order = order_of("nnunetv2", "python3", folder, weights=nnunet_folder(folder, **changes))
    return NnUNetWeights.read(order, concept_table("scenes"))


def target(concept: str) -> Target:
    return Target("scenes", concept, (1,), True)


def test_labels_are_matched_by_name_and_not_by_number(tmp_path: Path) -> None:
    weights = weights_of(tmp_path)
    assert weights.ids == {"liver": (2,), "left kidney": (5,)}
    assert weights.knows(target("liver")) and weights.knows(target("HEPAR"))
    assert weights.knows(target("Left Kidney"))
    assert not weights.knows(target("polyp")) and not weights.knows(target("background"))
    assert weights.settings == {"folds": ["0"], "checkpoint": "checkpoint_final.pth"}


def test_names_are_those_of_the_store_then_of_the_vocabulary_then_their_own() -> None:
    table = ConceptTable((Concept("colon", ("large gut",)),))
    names = {"large-gut": (4,), "esophagus": (1,), "my cyst": (2,), "colon": (7, 4)}
    concepts, ids = name_concepts(names, table)
    assert ids == {"colon": (4, 7), "oesophagus": (1,), "my cyst": (2,)}
    assert concepts.names == ("colon", "oesophagus", "my cyst")
    assert concepts.row("large gut") == 0


def test_regions_are_the_labels_that_form_them(tmp_path: Path) -> None:
    labels = {"background": 0, "whole tumour": [1, 2, 3], "tumour core": [2, 3], "ignore": 4}
    weights = weights_of(tmp_path, dataset={"labels": labels})
    assert weights.ids == {"whole tumour": (1, 2, 3), "tumour core": (2, 3)}
    found = np.array([[0, 1, 2, 3], [3, 0, 0, 1]], np.int32)
    session = weights.session(Notes(found), SAID)
    session.set_image(Image.from_array(np.zeros((2, 4), np.uint8)))
    masks = session.predict(classes=["Whole Tumour", "tumour core"])
    np.testing.assert_array_equal(masks["Whole Tumour"].mask, found > 0)
    np.testing.assert_array_equal(masks["tumour core"].mask, found > 1)
    assert masks["tumour core"].presence is None


def test_a_slice_is_asked_for_once_for_all_its_classes(tmp_path: Path) -> None:
    notes = Notes(np.full(SHAPE, 5, np.int32))
    session = weights_of(tmp_path).session(notes, SAID)
    assert isinstance(session, Answerer)
    image = Image.from_array(np.arange(24, dtype=np.uint8).reshape(SHAPE))
    session.set_image(image)
    session.set_image(image)
    found = session.predict(classes=["liver", "left kidney"])
    assert not found["liver"].mask.any() and found["left kidney"].mask.all()
    assert notes.asked == [("segment", {"spacing": [1.0, 1.0]})]
    np.testing.assert_array_equal(notes.arrays[0][0, 0], image.voxels[0, ..., 0])


def test_pixels_have_a_size_in_mm_unless_it_learned_from_pictures(tmp_path: Path) -> None:
    affine = np.diag([3.0, 0.5, 0.7, 1.0])[:, [2, 1, 0, 3]]
    image = Image.from_array(np.zeros(SHAPE, np.uint8), affine=affine)
    expected = list(image.geometry.spacing[1:])
    assert expected != [1.0, 1.0]
    for reader, spacing in (("SimpleITKIO", expected), ("NaturalImage2DIO", [1.0, 1.0])):
        notes = Notes(np.zeros(SHAPE, np.int32))
        weights = weights_of(tmp_path / reader, plans={"image_reader_writer": reader})
        session = weights.session(notes, SAID)
        session.set_image(image)
        session.predict(classes=["liver"])
        assert notes.asked == [("segment", {"spacing": pytest.approx(spacing)})]


def test_channels_come_first_and_in_their_order() -> None:
    rgb = np.random.default_rng(1).integers(0, 256, (*SHAPE, 3), dtype=np.uint8)
    three = to_channels(Image.from_array(rgb), 3)
    assert three.shape == (3, 1, *SHAPE) and three.dtype == np.float32
    for channel in range(3):
        np.testing.assert_array_equal(three[channel, 0], rgb[..., channel])
    grey = Image.from_array(rgb[..., 1])
    np.testing.assert_array_equal(to_channels(grey, 3)[2, 0], rgb[..., 1])
    brightness = rgb @ np.array([0.299, 0.587, 0.114])
    np.testing.assert_allclose(to_channels(Image.from_array(rgb), 1)[0, 0], brightness, atol=1e-3)


@pytest.mark.parametrize("answer", [None, np.zeros(SHAPE), np.zeros((1, *SHAPE), np.int32)])
def test_what_is_no_label_map_is_refused(tmp_path: Path, answer: np.ndarray | None) -> None:
    session = weights_of(tmp_path).session(Notes(answer), SAID)
    with pytest.raises(InternalError):
        session.predict(classes=["liver"])
    session.set_image(Image.from_array(np.zeros(SHAPE, np.uint8)))
    with pytest.raises(RunnerError, match="is no label map"):
        session.predict(classes=["liver"])


def test_weights_that_keep_a_scale_beyond_8_bits_are_refused(tmp_path: Path) -> None:
    def plans(low: float, high: float) -> dict[str, Any]:
        figures = {"0": {"min": low, "max": high, "mean": 40.0}}
        return {"foreground_intensity_properties_per_channel": figures}

    hounsfield = weights_of(tmp_path / "ct", plans=plans(-1024, 3071))
    with pytest.raises(RunnerError, match="8-bit slices") as refused:
        hounsfield.session(Notes(), CT_SAID)
    assert refused.value.kind == WEIGHTS_REFUSED
    hounsfield.session(Notes(), SAID)
    weights_of(tmp_path / "bytes", plans=plans(0, 255)).session(Notes(), CT_SAID)
    weights_of(tmp_path / "unknown").session(Notes(), CT_SAID)


@pytest.mark.parametrize(
    ("dataset", "said"),
    [
        ({"labels": None}, "names no labels"),
        ({"labels": {"liver": "1"}}, "label 'liver' must be"),
        ({"labels": {"liver": [1, None]}}, "label 'liver' must be"),
        ({"channel_names": {"0": "T1", "1": "T2"}}, "slices of a store have 1"),
        ({"channel_names": None}, "slices of a store have 1"),
    ],
)
def test_a_folder_that_slices_cannot_be_given_to_is_said(
    tmp_path: Path, dataset: dict[str, Any], said: str
) -> None:
    with pytest.raises(CheckpointError, match=said):
        weights_of(tmp_path, dataset=dataset)
