from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from benchmarks.lesions.asked import as_loaded
from benchmarks.lesions.measuring import Asker, count_set, count_wrong, sets_with
from benchmarks.lesions.tasks import Pair, choose

from medprism.data.preparation import PrepareConfig, prepare
from medprism.data.store import SliceStore
from medprism.engines.loading import from_weights
from medprism.evaluation.cases import StoreReader
from medprism.metrics.dice import dice, dice_of_counts
from medprism.models.segmenter import Prompts
from medprism.models.tpseg.config import tpseg_nano
from medprism.models.tpseg.model import TPSeg

from .phantoms import EXTERNAL, GREY, LESION, ORGAN, TASKS, Bright, write_named


@pytest.fixture(scope="module")
def opened(store: Path) -> SliceStore:
    return SliceStore.open(store)


@pytest.fixture(scope="module")
def bright(opened: SliceStore) -> Asker:
    return Asker(as_loaded(Bright(), choose(opened, TASKS).concepts, 64, "bright"))


def test_every_test_image_is_counted_for_the_tasks_it_shows(
    opened: SliceStore, bright: Asker
) -> None:
    concepts = bright.model.concepts
    found = dict(sets_with(opened, concepts, "train"))
    assert list(found) == [GREY]
    rows = count_set(bright.masks, opened, found[GREY])
    assert sorted((row.task, row.patient) for row in rows) == [
        (ORGAN, "p0"),
        (ORGAN, "p1"),
        (LESION, "p0"),
        (LESION, "p0"),
        (LESION, "p1"),
        (LESION, "p1"),
    ]
    reader = StoreReader(opened)
    by_case = {row.case_id: number for number, row in enumerate(opened.rows) if row.dataset == GREY}
    targets = {target.concept: target for target in found[GREY]}
    for row in rows:
        number = by_case[row.case.split()[0]]
        (mask,) = bright.masks(reader, number, (row.task,))
        truth = reader.truth(number, targets[row.task])
        assert dice_of_counts(row.overlap) == dice(mask, truth)
        assert row.pixels == truth.size == 60 * 44
        assert row.asked == row.task
    assert all(dice_of_counts(row.overlap) > 0.85 for row in rows if row.task == LESION)


def test_a_limit_is_a_part_of_the_same_images(opened: SliceStore, bright: Asker) -> None:
    (targets,) = dict(sets_with(opened, bright.model.concepts, "external")).values()
    whole = count_set(bright.masks, opened, targets)
    assert {row.dataset for row in whole} == {EXTERNAL}
    few = count_set(bright.masks, opened, targets, limit=1)
    assert sorted(row.task for row in few) == [ORGAN, LESION]
    assert set(few) <= set(whole)


def test_a_wrong_task_is_counted_beside_both_truths(opened: SliceStore, bright: Asker) -> None:
    rows = count_wrong(bright, opened, Pair((LESION, ORGAN), (GREY,)))
    assert len(rows) == 2 * 2 * 2
    for row in rows:
        # Whatever it is asked for, it shows the lesion, and only a part of the organ lies there.
        value = dice_of_counts(row.overlap)
        assert value > 0.85 if row.task == LESION else value < 0.5
    assert count_wrong(bright, opened, Pair((LESION, ORGAN), ("no such set",))) == []


def test_a_picture_in_two_sets_is_one_picture(tmp_path: Path, bright: Asker) -> None:
    split = {"test": 1, "train": 1}
    folders = [write_named(tmp_path / name, patients=2, split=split) for name in ("one", "two")]
    _drop_label(folders[0], 2)
    _drop_label(folders[1], 1)
    prepare(folders, tmp_path / "store", PrepareConfig(workers=1))
    both = SliceStore.open(tmp_path / "store")
    asker = Asker(as_loaded(Bright(), choose(both, TASKS).concepts, 64, "bright"))
    rows = count_wrong(asker, both, Pair((LESION, ORGAN), ("one", "two")))
    assert len(rows) == 4
    assert len({row.case for row in rows}) == 1
    assert {row.task for row in rows} == {LESION, ORGAN}


def test_tp_seg_answers_as_through_a_session(opened: SliceStore) -> None:
    concepts = choose(opened, TASKS).concepts
    torch.manual_seed(8)
    model = TPSeg(tpseg_nano(2)).eval()
    own = from_weights(model.config, model.state_dict(), concepts, 64)
    askers = [Asker(one) for one in (own, as_loaded(model, concepts, 64, "other"))]
    reader = StoreReader(opened)
    for number in (0, 1):
        first, second = (asker.masks(reader, number, TASKS) for asker in askers)
        assert all(np.array_equal(a, b) for a, b in zip(first, second, strict=True))
    canvas = torch.randn(1, 3, 64, 48)
    with torch.no_grad():
        asked = torch.tensor([1])
        literal = model.segment(canvas, asked)
        features = askers[1].model.segmenter.encode(canvas)
        decoded = askers[1].model.segmenter.decode(features, Prompts(concept=asked))
    torch.testing.assert_close(decoded.logits, literal)


def _drop_label(folder: Path, label: int) -> None:
    for path in (folder / "masks").glob("*.png"):
        labels = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
        labels[labels == label] = 0
        assert cv2.imwrite(str(path), labels)
