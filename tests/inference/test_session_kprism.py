"""The same promises with a real model: K-Prism nano with random weights."""

from __future__ import annotations

import itertools
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch

from medprism.engines.loaded import LoadedModel
from medprism.inference.session import Session
from medprism.models.kprism.config import kprism_nano
from medprism.models.kprism.model import KPrism
from tests.inference.fake_segmenter import CONCEPTS
from tests.inference.phantom import LEVELS, scene, volume

PIXELS, MASKS = scene()


@cache
def _nano() -> LoadedModel:
    torch.manual_seed(5)
    network = KPrism(kprism_nano(len(CONCEPTS))).eval()
    return LoadedModel(
        name="nano",
        segmenter=network,
        concepts=CONCEPTS,
        long_side=64,
        weights_hash="random-5",
        engine="torch",
        threads=torch.get_num_threads(),
        card={},
    )


def _session(image: np.ndarray = PIXELS, *, auto_zoom: bool = True) -> Session:
    session = Session(_nano(), auto_zoom=auto_zoom)
    session.set_image(image)
    return session


def _work(session: Session) -> None:
    session.set_references(
        [scene(4)[0], scene(5)[0][:64]], [scene(4)[1]["liver"], scene(5)[1]["liver"][:64]], "organ"
    )
    session.predict(classes=list(LEVELS))
    session.predict(labels=["organ"])
    session.add_point_interaction((30, 30), True, "organ")
    session.add_point_interaction((60, 80), False, "liver")
    session.add_scribble_interaction(MASKS["polyp"], True, "free")
    session.add_initial_seg_interaction(MASKS["polyp"], "small")
    session.add_point_interaction((18, 92), True, "small")
    session.commit("small")
    session.add_point_interaction((20, 90), False, "free")


def test_a_replay_with_a_real_model_is_bit_for_bit(tmp_path: Path) -> None:
    session = _session()
    _work(session)
    session.undo()
    assert session.replay().is_identical
    session.save(tmp_path / "work.json")
    loaded = Session.load(tmp_path / "work.json", _nano())
    assert loaded.notice is None
    for each in (session, loaded):
        each.redo()
        each.add_bbox_interaction([[20, 60], [30, 90]], True, "organ")
    for name in session.labels:
        np.testing.assert_array_equal(session.probability(name), loaded.probability(name))


def test_identical_work_gives_identical_bits() -> None:
    first, second = _session(), _session()
    for session in (first, second):
        _work(session)
    for name in first.labels:
        np.testing.assert_array_equal(first.probability(name), second.probability(name))


def test_order_of_references_classes_and_clicks_changes_nothing() -> None:
    images = [scene(seed, shift=seed)[0] for seed in (4, 5, 6)]
    masks = [scene(seed, shift=seed)[1]["liver"] for seed in (4, 5, 6)]
    clicks = [((18, 92), True), ((60, 80), False), ((20, 95), True)]
    answers = []
    for order in itertools.permutations(range(3)):
        session = _session(auto_zoom=False)
        session.set_references([images[i] for i in order], [masks[i] for i in order], "organ")
        for i in order:
            session.add_point_interaction(*clicks[i], "organ", run_prediction=False)
        session.predict(labels=["organ"])
        session.predict(classes=[list(LEVELS)[i] for i in order])
        answers.append([session.probability(name) for name in ("organ", *LEVELS)])
    for answer in answers[1:]:
        for one, other in zip(answer, answers[0], strict=True):
            np.testing.assert_allclose(one, other, atol=1e-5)


def test_batches_over_slices_and_classes_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    stack, _ = volume(4)
    together = _session(stack, auto_zoom=False)
    together.predict(classes=list(LEVELS))
    monkeypatch.setattr("medprism.inference.prediction.CHUNK_PIXELS", 1)
    alone = _session(stack, auto_zoom=False)
    alone.predict(classes=list(LEVELS))
    for name in LEVELS:
        np.testing.assert_allclose(together.probability(name), alone.probability(name), atol=1e-5)


def test_what_is_asked_matters() -> None:
    session = _session(auto_zoom=False)
    session.predict(classes=list(LEVELS))
    liver, polyp = session.probability("liver"), session.probability("polyp")
    assert np.abs(liver - polyp).max() > 1e-3
    session.add_point_interaction((30, 30), True, "liver")
    assert np.abs(session.probability("liver") - liver).max() > 1e-3
