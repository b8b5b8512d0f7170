from __future__ import annotations

import numpy as np
import pytest

from medprism.core.errors import CancelledError, LabelError, PromptError
from medprism.inference.propagation import propagate
from medprism.inference.session import Session
from medprism.metrics.dice import dice
from tests.inference.fake_segmenter import fake_model
from tests.inference.phantom import scene, volume

STACK, MASKS = volume(6)


class Stop:
    def report(self, done: int, total: int, message: str = "") -> None:
        pass

    def is_cancelled(self) -> bool:
        return True


@pytest.fixture
def sessions() -> tuple[Session, Session]:
    session, scratch = Session(fake_model()), Session(fake_model())
    session.set_image(STACK)
    return session, scratch


def test_one_slice_is_carried_to_all_others_in_one_step(sessions: tuple[Session, Session]) -> None:
    session, scratch = sessions
    session.add_initial_seg_interaction(MASKS["liver"][2], "liver", slice_index=2)
    found = propagate(session, scratch, "liver")
    assert found.sources == (2,)
    assert (found.first, found.last) == (0, 5)
    assert dice(session.mask("liver"), MASKS["liver"]) > 0.85
    assert np.array_equal(session.mask("liver", slice_index=2), MASKS["liver"][2])
    assert found.confidence[2] == 1.0
    assert all(0 < one < 1 for index, one in enumerate(found.confidence) if index != 2)
    assert found.least_certain == int(np.argmin(found.confidence))
    assert session.undo()
    assert not session.mask("liver")[3].any()
    assert session.mask("liver")[2].any()


def test_it_ends_where_the_structure_ends(sessions: tuple[Session, Session]) -> None:
    session, scratch = sessions
    # The polyp is on slices 0 and 1 only.
    session.add_initial_seg_interaction(MASKS["polyp"][0], "polyp", slice_index=0)
    found = propagate(session, scratch, "polyp")
    assert (found.first, found.last) == (0, 1)
    assert not session.mask("polyp")[2:].any()
    assert all(one > 0.5 for one in found.confidence[3:])


def test_what_lies_beyond_a_gap_is_dropped(sessions: tuple[Session, Session]) -> None:
    session, scratch = sessions
    stack = STACK.copy()
    stack[3] = 40
    session.set_image(stack)
    session.add_initial_seg_interaction(MASKS["liver"][1], "liver", slice_index=1)
    found = propagate(session, scratch, "liver")
    assert (found.first, found.last) == (0, 2)
    assert not session.mask("liver")[3:].any()
    both = propagate(session, scratch, "liver", sources=(0, 1))
    assert both.sources == (0, 1)


def test_clicked_slices_are_sources_and_predicted_ones_are_not(
    sessions: tuple[Session, Session],
) -> None:
    session, scratch = sessions
    session.predict(classes=["liver"])
    session.add_point_interaction((4, 30, 42), True, "liver")
    assert propagate(session, scratch, "liver").sources == (4,)


def test_what_cannot_be_propagated_is_refused(sessions: tuple[Session, Session]) -> None:
    session, scratch = sessions
    session.predict(classes=["liver"])
    before = session.mask("liver")
    with pytest.raises(PromptError, match="no slice to start from"):
        propagate(session, scratch, "liver")
    with pytest.raises(LabelError, match="no label 'spoon'"):
        propagate(session, scratch, "spoon")
    with pytest.raises(CancelledError):
        propagate(session, scratch, "liver", (1,), Stop())
    with pytest.raises(PromptError, match="slice 9 lies outside"):
        propagate(session, scratch, "liver", (9,))
    session.lock("liver")
    with pytest.raises(LabelError, match="locked"):
        propagate(session, scratch, "liver", (1,))
    assert np.array_equal(session.mask("liver"), before)
    session.set_image(scene()[0])
    with pytest.raises(PromptError, match="only volumes"):
        propagate(session, scratch, "liver")
