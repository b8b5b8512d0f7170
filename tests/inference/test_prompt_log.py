from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from medprism.core.errors import InternalError
from medprism.inference.action import Reset
from medprism.inference.prompt_log import Event, Origin, PromptLog
from tests.inference.fake_segmenter import fake_model

ORIGIN = Origin.of(fake_model())


def _event(seq: int, parent: int | None) -> Event:
    return Event(seq, parent, Reset(), "image", (), ORIGIN, "", "2026-01-01T00:00:00+00:00")


@given(st.lists(st.sampled_from(["do", "undo", "redo"]), max_size=40))
def test_a_log_undoes_and_redoes_like_an_editor(steps: list[str]) -> None:
    log = PromptLog()
    done: list[int] = []
    undone: list[int] = []
    for step in steps:
        if step == "do":
            log.append(_event(len(log), log.pointer))
            done.append(len(log) - 1)
            undone.clear()
        elif step == "undo":
            assert log.undo() == bool(done)
            if done:
                undone.append(done.pop())
        else:
            assert log.redo() == bool(undone)
            if undone:
                done.append(undone.pop())
        assert [event.seq for event in log.path()] == done
    assert [event.seq for event in log.events] == list(range(len(log)))
    again = PromptLog(log.events, log.pointer)
    assert [event.seq for event in again.path()] == done
    assert again.redo() == bool(undone)


def test_an_event_must_continue_where_the_image_stands() -> None:
    log = PromptLog()
    log.append(_event(0, None))
    for wrong in (_event(1, None), _event(2, 0), _event(0, None)):
        with pytest.raises(InternalError, match="does not continue"):
            log.append(wrong)


def test_origins_are_equal_only_where_all_is() -> None:
    assert Origin.of(fake_model()) == Origin.of(fake_model())
    assert Origin.of(fake_model(weights="other")) != ORIGIN
    assert set(ORIGIN.versions) >= {"medprism", "torch", "numpy", "opencv", "processor"}
