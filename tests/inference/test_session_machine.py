"""Session against a simple model: a list of what was seen after each step."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from medprism.inference.session import Session
from tests.inference.fake_segmenter import fake_model
from tests.inference.phantom import LEVELS, scene

# Half size: a step then takes a few milliseconds.
PICTURES = [scene(seed, shift=4 * seed)[0][::2, ::2].copy() for seed in range(2)]
TRUTHS = [{n: m[::2, ::2] for n, m in scene(seed, shift=4 * seed)[1].items()} for seed in range(2)]
SHAPE = PICTURES[0].shape
LABELS = ("lesion", "liver", "organ")

Seen = dict[str, object]


def _observe(session: Session) -> Seen:
    """Return everything a user can see."""
    return {
        "labels": session.labels,
        "locked": session.locked,
        "masks": {name: session.mask(name).tobytes() for name in session.labels},
        "presence": {name: session.presence(name) for name in session.labels},
        "said": {name: len(session.interactions(name).items) for name in session.labels},
        "references": {
            name: [one.digest for one in session.references.of(name)]
            for name in session.references.labels
        },
    }


class SessionMachine(RuleBasedStateMachine):
    """Every step is mirrored in a list; undo and redo walk along it."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp())
        self.session = Session(fake_model(long_side=64))

    @initialize(which=st.integers(0, 1))
    def open_image(self, which: int) -> None:
        self.which = which
        self.session.set_image(PICTURES[which])
        self.seen = [_observe(self.session)]
        self.at = 0

    def _did(self) -> None:
        self.at += 1
        self.seen = [*self.seen[: self.at], _observe(self.session)]

    def _free(self) -> list[str]:
        return [name for name in self.session.labels if name not in self.session.locked]

    @rule(
        label=st.sampled_from(LABELS),
        row=st.integers(0, SHAPE[0] - 1),
        col=st.integers(0, SHAPE[1] - 1),
        sign=st.booleans(),
        runs=st.booleans(),
    )
    def click(self, label: str, row: int, col: int, sign: bool, runs: bool) -> None:
        if label in self.session.locked:
            return
        self.session.add_point_interaction((row, col), sign, label, run_prediction=runs)
        self._did()

    @rule(label=st.sampled_from(LABELS), top=st.integers(0, 20), left=st.integers(0, 30))
    def box(self, label: str, top: int, left: int) -> None:
        if label not in self.session.locked:
            self.session.add_bbox_interaction([[top, top + 18], [left, left + 12]], True, label)
            self._did()

    @rule(label=st.sampled_from(LABELS), structure=st.sampled_from(list(LEVELS)))
    def start_from_mask(self, label: str, structure: str) -> None:
        if label not in self.session.locked:
            self.session.add_initial_seg_interaction(TRUTHS[self.which][structure], label)
            self._did()

    @rule(classes=st.lists(st.sampled_from(list(LEVELS)), min_size=1, unique=True))
    def predict_classes(self, classes: list[str]) -> None:
        if not set(classes) & set(self.session.locked):
            self.session.predict(classes=classes)
            self._did()

    @rule(structure=st.sampled_from(list(LEVELS)))
    def give_reference(self, structure: str) -> None:
        other = 1 - self.which
        self.session.add_reference(PICTURES[other], TRUTHS[other][structure], "organ")
        self._did()

    @precondition(lambda self: "organ" in self.session.references)
    @rule()
    def predict_by_reference(self) -> None:
        if "organ" not in self.session.locked:
            self.session.predict(labels=["organ"])
            self._did()

    @rule(data=st.data())
    def commit(self, data: st.DataObject) -> None:
        ready = [name for name in self._free() if self.session.mask(name).any()]
        if ready:
            name = data.draw(st.sampled_from(ready))
            before = self.session.mask(name)
            self.session.commit(name)
            np.testing.assert_array_equal(self.session.mask(name), before)
            self._did()

    @rule(data=st.data(), is_locked=st.booleans())
    def lock_or_unlock(self, data: st.DataObject, is_locked: bool) -> None:
        if self.session.labels:
            name = data.draw(st.sampled_from(self.session.labels))
            (self.session.lock if is_locked else self.session.unlock)(name)
            self._did()

    @rule()
    def reset(self) -> None:
        self.session.reset_interactions()
        self._did()

    @rule(steps=st.integers(1, 6))
    def undo(self, steps: int) -> None:
        for _ in range(steps):
            assert self.session.undo() == (self.at > 0)
            self.at = max(0, self.at - 1)
            assert _observe(self.session) == self.seen[self.at]

    @rule(steps=st.integers(1, 6))
    def redo(self, steps: int) -> None:
        for _ in range(steps):
            can = self.at + 1 < len(self.seen)
            assert self.session.redo() == can
            self.at += can
            assert _observe(self.session) == self.seen[self.at]

    @rule()
    def save_and_load(self) -> None:
        path = self.folder / "work.json"
        self.session.save(path)
        self.session = Session.load(path, fake_model(long_side=64))
        assert self.session.notice is None

    @rule()
    def replay(self) -> None:
        report = self.session.replay()
        assert report.is_identical
        assert report.notice is None

    @invariant()
    def what_is_seen_is_what_was_noted(self) -> None:
        assert _observe(self.session) == self.seen[self.at]

    @invariant()
    def locked_masks_are_nobody_elses(self) -> None:
        locked = self.session.locked
        for name in self.session.labels:
            for holder in locked:
                if name != holder and name not in locked:
                    assert not (self.session.mask(name) & self.session.mask(holder)).any()

    @invariant()
    def masks_and_probabilities_agree(self) -> None:
        for name in self.session.labels:
            probability = self.session.probability(name)
            np.testing.assert_array_equal(self.session.mask(name), probability >= 0.5)


def test_a_session_behaves_like_a_list_of_what_was_seen() -> None:
    run_state_machine_as_test(
        SessionMachine,
        settings=settings(
            max_examples=12,
            stateful_step_count=14,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )


@pytest.mark.slow
def test_a_session_behaves_like_a_list_of_what_was_seen_for_long() -> None:
    run_state_machine_as_test(
        SessionMachine,
        settings=settings(
            max_examples=40,
            stateful_step_count=40,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
