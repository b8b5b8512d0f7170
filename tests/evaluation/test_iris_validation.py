"""Validation of Iris on whole volumes: the volumes it takes, and the figure it gives."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from medprism.core.concepts import ConceptTable
from medprism.data.diet import table_of
from medprism.data.volumes import VolumeSet, read_volume_sets
from medprism.evaluation.iris_validation import make_exam, make_sliding_validate, measure
from medprism.inference.iris.sliding import embed_volume, slide
from medprism.models.iris.config import iris_nano
from medprism.models.iris.model import Iris
from tests.data.volume_phantoms import write_phantom_set

SIDE = 32


@pytest.fixture(scope="module")
def volumes(tmp_path_factory: pytest.TempPathFactory) -> VolumeSet:
    folder = write_phantom_set(tmp_path_factory.mktemp("data") / "phantoms", 6)
    (found,) = read_volume_sets((folder,), SIDE)
    return found


@pytest.fixture(scope="module")
def concepts(volumes: VolumeSet) -> ConceptTable:
    return table_of([volumes.info])[0]


def make_model() -> Iris:
    torch.manual_seed(4)
    return Iris(iris_nano(2)).eval()


def test_references_are_the_first_that_show_a_class_and_volumes_are_those_of_val(
    volumes: VolumeSet, concepts: ConceptTable
) -> None:
    exam = make_exam(volumes, concepts)
    assert exam is not None
    first = volumes.of("train")[0]
    assert [one.volume.case_id for one in exam.references] == [first.case_id]
    assert {one.volume.split for one in exam.queries} == {"val"}
    assert exam.queries[0].masks.shape == (2, *exam.queries[0].volume.image.shape)
    half = replace(first, labels=np.where(first.labels == 1, 1, 0).astype(np.uint8))
    later = replace(volumes, volumes=(half, *(one for one in volumes.volumes if one is not first)))
    both = make_exam(later, concepts)
    assert both is not None
    assert len(both.references) == 2


def test_the_figure_is_dice_of_whole_volumes_and_nothing_changes_by_asking(
    volumes: VolumeSet, concepts: ConceptTable
) -> None:
    model, exam = make_model(), make_exam(volumes, concepts)
    assert exam is not None
    reference = exam.references[0]
    tasks = embed_volume(model, reference.volume.image, reference.masks, SIDE)
    expected = []
    for query in exam.queries:
        found = slide(model, query.volume.image, tasks, SIDE) > 0
        for mask, truth in zip(found, query.masks, strict=True):
            common = np.logical_and(mask, truth).sum()
            expected.append(2 * common / (mask.sum() + truth.sum()))
    assert measure(model, exam, SIDE) == pytest.approx(float(np.mean(expected)))
    validate = make_sliding_validate((volumes,), concepts, iris_nano(2), SIDE)
    assert validate is not None
    state = torch.get_rng_state()
    figures = validate(model.state_dict())
    assert figures == {
        "score": pytest.approx(np.mean(expected)),
        "dice/phantoms": pytest.approx(np.mean(expected)),
    }
    assert validate(model.state_dict()) == figures
    assert torch.equal(torch.get_rng_state(), state)


def test_without_a_volume_to_hold_out_there_is_nothing_to_validate_with(
    volumes: VolumeSet, concepts: ConceptTable
) -> None:
    kept = tuple(one for one in volumes.volumes if one.split != "val")
    only = replace(volumes, volumes=kept)
    assert make_sliding_validate((only,), concepts, iris_nano(2), SIDE) is None
