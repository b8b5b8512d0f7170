"""The shipped checkpoint on real images that hold several structures: the request decides.

The sets are those whose images show at least two large structures of like intensity. Swapping what
is asked must lower Dice by at least 40 points on average.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import permutations

import numpy as np
import pytest

from medprism.core.image import Image
from medprism.core.prompt import Mask2d
from medprism.data.preparation import PrepareConfig, prepare
from medprism.data.slice_row import SliceRow
from medprism.data.store import SliceStore
from medprism.engines.loading import load
from medprism.evaluation.cases import StoreReader, Target, targets_of
from medprism.inference.session import Session
from medprism.metrics.dice import dice
from tests.data.phantoms import real_folder

SETS = ("acdc_cardiac_mri", "wbc1", "mt_chest_ct_lung_heart")
IMAGES = 4
LEAST_AREA = 0.01
REFERENCES = 3

pytestmark = pytest.mark.realdata


@dataclass(frozen=True)
class Asked:
    """One image, the true masks of its structures, and reference pairs of each."""

    image: Image
    truths: dict[str, Mask2d]
    examples: dict[str, list[tuple[Image, Mask2d]]]


@pytest.fixture(scope="module")
def scenes(tmp_path_factory: pytest.TempPathFactory) -> list[Asked]:
    path = tmp_path_factory.mktemp("knowledge") / "store"
    prepare([real_folder(name) for name in SETS], path, PrepareConfig())
    store, concepts = SliceStore.open(path), load("kprism-compact").concepts
    reader = StoreReader(store)
    found = []
    for name in SETS:
        targets = targets_of(store, name, concepts)
        rows = [
            number
            for number, row in enumerate(store.rows)
            if row.dataset == name
            and row.split == "test"
            and len(_large(reader, number, targets)) >= 2
        ]
        for number in rows[:: max(1, len(rows) // IMAGES)][:IMAGES]:
            truths = _large(reader, number, targets)
            examples = {
                target.concept: [
                    (reader.image(other), reader.truth(other, target))
                    for other in _shown(store, name, target)
                ]
                for target in targets
                if target.concept in truths
            }
            found.append(Asked(reader.image(number), truths, examples))
    assert len(found) >= 2 * len(SETS)
    return found


def _shown(store: SliceStore, dataset: str, target: Target) -> list[int]:
    """Rows of `train` that serve as references, spread over the set and so over its patients."""
    rows = [
        number
        for number, row in enumerate(store.rows)
        if row.dataset == dataset
        and row.split == "train"
        and _area(row, target) >= LEAST_AREA * row.shape[0] * row.shape[1]
    ]
    return rows[:: max(1, len(rows) // REFERENCES)][:REFERENCES]


def _area(row: SliceRow, target: Target) -> int:
    return sum(row.areas.get(label_id, 0) for label_id in target.label_ids)


def _large(reader: StoreReader, number: int, targets: tuple[Target, ...]) -> dict[str, Mask2d]:
    masks = {target.concept: reader.truth(number, target) for target in targets}
    return {name: mask for name, mask in masks.items() if mask.mean() >= LEAST_AREA}


@pytest.fixture(scope="module")
def session() -> Session:
    return Session(load("kprism-compact"), auto_zoom=False)


def drop(scenes: list[Asked], answers: list[dict[str, Mask2d]]) -> float:
    """Mean Dice with what was asked, less that with another structure of the image asked."""
    gaps = [
        dice(answer[asked], scene.truths[asked]) - dice(answer[swapped], scene.truths[asked])
        for scene, answer in zip(scenes, answers, strict=True)
        for asked, swapped in permutations(answer, 2)
    ]
    return float(np.mean(gaps))


def test_swapping_the_class_lowers_dice_by_40_points(scenes: list[Asked], session: Session) -> None:
    answers = []
    for scene in scenes:
        session.set_image(scene.image)
        made = session.predict(classes=list(scene.truths))
        answers.append({name: prediction.mask for name, prediction in made.items()})
    assert drop(scenes, answers) >= 0.40


def test_swapping_the_reference_lowers_dice_by_40_points(
    scenes: list[Asked], session: Session
) -> None:
    answers = []
    for scene in scenes:
        session.set_image(scene.image)
        answers.append({name: _by_example(session, scene.examples[name]) for name in scene.truths})
    assert drop(scenes, answers) >= 0.40


def _by_example(session: Session, pairs: list[tuple[Image, Mask2d]]) -> Mask2d:
    images, masks = zip(*pairs, strict=True)
    session.set_references(list(images), list(masks), label="asked")
    return session.predict(labels=["asked"])["asked"].mask


def test_a_positive_click_raises_the_probability_under_it(
    scenes: list[Asked], session: Session
) -> None:
    for scene in scenes:
        session.set_image(scene.image)
        name = next(iter(scene.truths))
        session.predict(classes=[name])
        missed = scene.truths[name] & ~session.mask(name)
        if not missed.any():
            continue
        rows, cols = np.nonzero(missed)
        spot = (int(rows[len(rows) // 2]), int(cols[len(cols) // 2]))
        before = session.probability(name)[spot]
        session.add_point_interaction(spot, True, label=name)
        assert session.probability(name)[spot] > before


def test_the_order_of_classes_and_references_changes_nothing(
    scenes: list[Asked], session: Session
) -> None:
    scene = next(scene for scene in scenes if len(scene.truths) >= 3)
    session.set_image(scene.image)
    names = list(scene.truths)
    ahead = session.predict(classes=names)
    session.set_image(scene.image)
    back = session.predict(classes=names[::-1])
    assert all(np.array_equal(ahead[name].mask, back[name].mask) for name in names)
    pairs = scene.examples[names[0]]
    assert len(pairs) == 3
    answers = []
    for order in ([0, 1, 2], [2, 0, 1]):
        images, masks = zip(*(pairs[index] for index in order), strict=True)
        session.set_references(list(images), list(masks), label="asked")
        session.predict(labels=["asked"])
        answers.append(session.probability("asked"))
    np.testing.assert_allclose(answers[0], answers[1], atol=1e-4)
