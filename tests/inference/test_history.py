from __future__ import annotations

import numpy as np
import pytest

from medprism.core.errors import InternalError, LabelError
from medprism.core.image import Image
from medprism.core.progress import Progress, SilentProgress
from medprism.core.prompt import Click
from medprism.inference.action import Action, Interact, Predict, Target
from medprism.inference.annotation import (
    Annotation,
    CanvasMaps,
    LabelState,
    SliceResult,
    SliceState,
)
from medprism.inference.history import History
from medprism.inference.packed_mask import PackedMask
from medprism.inference.prediction import Ask
from medprism.inference.prompt_log import Event, Origin, PromptLog
from medprism.inference.transition import NoAnswers, Transition
from medprism.models.segmenter import Accepts
from tests.inference.fake_segmenter import CONCEPTS, fake_model
from tests.inference.phantom import scene

IMAGE = Image.from_array(scene()[0])
ORIGIN = Origin.of(fake_model())
SHAPE = IMAGE.geometry.shape[1:]


class _Counting(NoAnswers):
    """Answer with as many pixels as there are interactions, plus an offset."""

    def __init__(self, offset: int = 0) -> None:
        self.calls, self.offset = 0, offset

    def predict(self, asks: list[Ask], progress: Progress) -> dict[tuple[str, int], SliceResult]:
        self.calls += 1
        return {
            (ask.label, ask.slice_index): SliceResult(
                _pixels(len(ask.interactions.items) + self.offset), 0.5, CanvasMaps(0), ask.basis
            )
            for ask in asks
        }


def _pixels(count: int) -> PackedMask:

    mask = np.zeros(SHAPE, bool)
    mask[3, 2 : 2 + count] = True
    return PackedMask.pack(mask)


def _history(log: PromptLog | None = None, offset: int = 0) -> tuple[_Counting, History]:
    answers = _Counting(offset)
    accepts = Accepts(classes=True, references=True, clicks=True)
    transition = Transition(CONCEPTS, accepts, {}, IMAGE, answers)
    return answers, History(transition, Annotation(), log or PromptLog())


def _event(log: PromptLog, action: Action | None = None) -> Event:
    chosen = action or Interact("cyst", ((0, Click(len(log), 2, True)),), True)
    return Event(len(log), log.pointer, chosen, IMAGE.digest, (), ORIGIN, "", "now")


def _size(annotation: Annotation) -> int:
    if "cyst" not in annotation.labels:
        return 0
    mask = annotation.mask_on("cyst", 0)
    return 0 if mask is None else int(mask.sum())


def test_undo_and_redo_cost_no_prediction() -> None:
    answers, history = _history()
    for _ in range(3):
        history.do(_event(history.log), SilentProgress())
    sizes = [_size(history.view())]
    while history.log.undo():
        sizes.append(_size(history.view()))
    while history.log.redo():
        sizes.append(_size(history.current()))
    assert sizes == [3, 2, 1, 0, 1, 2, 3]
    assert answers.calls == 3


def test_a_log_from_a_file_is_rebuilt_only_when_needed() -> None:
    _, live = _history()
    for _ in range(3):
        live.do(_event(live.log), SilentProgress())
    answers, history = _history(PromptLog(live.log.events, 2))
    history.adopt(live.view())
    assert _size(history.view()) == 3
    assert answers.calls == 0
    assert _size(history.current()) == 3
    assert answers.calls == 3
    history.log.undo()
    assert _size(history.view()) == 2
    assert answers.calls == 3


def test_a_mask_that_was_seen_does_not_move_when_the_program_changed() -> None:
    _, live = _history()
    for _ in range(3):
        live.do(_event(live.log), SilentProgress())
    _, history = _history(PromptLog(live.log.events, 1), offset=5)
    stored = {
        0: SliceState(result=SliceResult(_pixels(2), 0.9, None, None)),
    }
    history.adopt(Annotation({"cyst": LabelState(slices=stored)}))
    current = history.current()
    assert _size(current) == 2
    result = current.labels["cyst"].on(0).result
    assert result is not None
    assert result.presence == 0.9
    assert result.maps is not None
    # On past it, the new program answers; and a replay tells what it makes of the whole log.
    history.log.redo()
    assert _size(history.current()) == 3 + 5
    history.log.undo()
    assert _size(history.replay(SilentProgress())) == 2 + 5
    assert _size(history.current()) == 2


def test_a_failed_action_leaves_no_trace() -> None:
    _, history = _history()
    history.do(_event(history.log), SilentProgress())
    with pytest.raises(LabelError):
        history.do(_event(history.log, Predict((Target("x", "spleen"),))), SilentProgress())
    assert len(history.log) == 1
    assert _size(history.view()) == 1


def test_an_event_that_does_not_continue_the_log_is_refused_before_anything_is_asked() -> None:
    answers, history = _history()
    stale = _event(history.log)
    history.do(_event(history.log), SilentProgress())
    with pytest.raises(InternalError, match="does not continue"):
        history.do(stale, SilentProgress())
    assert answers.calls == 1
