"""The server against a simple model: a list of what was seen after each step."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

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

from medprism.core.labels import decode_runs, encode_runs
from tests.apps.workbench.conftest import SETTINGS, Desk, Live, write_images
from tests.inference.fake_segmenter import fake_model
from tests.inference.phantom import SHAPE

LABELS = ("thing", "liver")
ROWS, COLS = st.integers(0, SHAPE[0] - 1), st.integers(0, SHAPE[1] - 1)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    live = Live(write_images(tmp_path_factory.mktemp("machine") / "images"), fake_model(), SETTINGS)
    yield live
    live.end()


class ServerMachine(RuleBasedStateMachine):
    """Every step is mirrored in a list; undo, redo and opening again walk along it."""

    live: Live

    def __init__(self) -> None:
        super().__init__()
        self.desk = Desk(self.live.client)
        for opened in self.live.bench.sessions.list():
            self.live.bench.sessions.close(opened.holder)
        # A log of an earlier run would be found again.
        with self.live.project.database.writing() as connection:
            for table in ("works", "examples", "acceptances"):
                connection.execute(f"DELETE FROM {table}")
        self.accepted: dict[str, Any] = {}

    @initialize()
    def open_image(self) -> None:
        self.session = self.desk.open(1)
        self.seen = [self._look()]
        self.at = 0

    def _look(self) -> dict[str, Any]:
        state = self.desk.get(self.session)
        return {
            "masks": self.desk.get(f"{self.session}/masks")["masks"],
            "locked": [one["name"] for one in state["labels"] if one["is_locked"]],
        }

    def _did(self, answer: dict[str, Any]) -> None:
        self.at += 1
        self.seen = [*self.seen[: self.at], self._look()]
        assert answer["masks"] == self.seen[-1]["masks"]

    def _is_free(self, label: str) -> bool:
        return label not in self.seen[self.at]["locked"]

    @rule(label=st.sampled_from(LABELS), row=ROWS, col=COLS, sign=st.booleans())
    def click(self, label: str, row: int, col: int, sign: bool) -> None:
        if self._is_free(label):
            self._did(self.desk.click(self.session, row, col, label, is_positive=sign))

    @rule(label=st.sampled_from(LABELS), row=ROWS, col=COLS, radius=st.integers(0, 9))
    def brush(self, label: str, row: int, col: int, radius: int) -> None:
        prompt = {"kind": "brush", "label": label, "points": [[row, col]], "radius": radius}
        if self._is_free(label):
            self._did(self.desk.post(f"{self.session}/prompts", prompt))

    @rule()
    def predict(self) -> None:
        if self._is_free("liver"):
            self._did(self.desk.post(f"{self.session}/predict", {"classes": ["liver"]}))

    @rule(row=st.integers(SHAPE[0], 2 * SHAPE[0]))
    def click_outside(self, row: int) -> None:
        prompt = {"kind": "point", "label": "thing", "row": row, "col": 1}
        self.desk.post(f"{self.session}/prompts", prompt, 422)

    @precondition(lambda self: self.at > 0)
    @rule()
    def undo(self) -> None:
        self.desk.post(f"{self.session}/undo")
        self.at -= 1

    @precondition(lambda self: self.at < len(self.seen) - 1)
    @rule()
    def redo(self) -> None:
        self.desk.post(f"{self.session}/redo")
        self.at += 1

    @rule()
    def close_and_open_again(self) -> None:
        self.desk.ask("DELETE", self.session, 204)
        self.session = self.desk.open(1)

    @precondition(lambda self: any("runs" in one for one in self.seen[self.at]["masks"].values()))
    @rule()
    def accept(self) -> None:
        present = self.seen[self.at]["masks"]
        full = [name for name, mask in present.items() if len(mask["runs"]) > 1]
        if not full:
            self.desk.post(f"{self.session}/accept", status=409)
            return
        before = [name for name in full if name not in self.seen[self.at]["locked"]]
        self.desk.post(f"{self.session}/accept", {"labels": full})
        for name in before:
            # One step for each label that was not locked before; one still free shows no pixel
            # that a locked one holds.
            locked = [*self.seen[self.at]["locked"], name]
            held = [present[one] for one in locked]
            masks = {
                one: mask if one in locked else _outside(mask, held)
                for one, mask in present.items()
            }
            step = {"masks": masks, "locked": [one for one in present if one in locked]}
            self.at += 1
            self.seen = [*self.seen[: self.at], step]
        self.accepted = {**self.accepted, **{name: present[name] for name in full}}

    @invariant()
    def shows_what_it_showed(self) -> None:
        if hasattr(self, "seen"):
            assert self._look() == self.seen[self.at]

    @invariant()
    def keeps_what_was_accepted(self) -> None:
        shown = self.desk.get("/api/images/1/accepted?slice=0")["accepted"]
        current = {one["name"]: one["mask"] for one in shown if one["is_current"]}
        assert current == self.accepted


def _outside(mask: dict[str, Any], held: list[dict[str, Any]]) -> dict[str, Any]:
    shape = tuple(mask["shape"])
    free = decode_runs(mask["runs"], shape)
    for other in held:
        free = free & ~decode_runs(other["runs"], shape)
    return {"shape": mask["shape"], "runs": encode_runs(free)}


def test_masks_that_overlap_are_accepted_as_they_are_shown(server: Live) -> None:
    ServerMachine.live = server
    machine = ServerMachine()
    machine.open_image()
    steps: list[Callable[[], None]] = [
        lambda: machine.brush(label="liver", row=0, col=0, radius=2),
        lambda: machine.brush(label="thing", row=0, col=0, radius=4),
        machine.accept,
        machine.undo,
        machine.undo,
        machine.redo,
    ]
    for step in steps:
        step()
        machine.shows_what_it_showed()
        machine.keeps_what_was_accepted()


def _run(server: Live, examples: int, steps: int) -> None:
    ServerMachine.live = server
    run_state_machine_as_test(  # type: ignore[no-untyped-call]
        ServerMachine,
        settings=settings(
            max_examples=examples,
            stateful_step_count=steps,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )


def test_the_server_does_what_a_list_does(server: Live) -> None:
    _run(server, examples=3, steps=12)


@pytest.mark.slow
def test_the_server_does_what_a_list_does_for_long(server: Live, tmp_path: Path) -> None:
    _run(server, examples=60, steps=40)
