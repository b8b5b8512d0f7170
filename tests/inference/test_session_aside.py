"""A prediction beside the work: others read meanwhile, and a change in between is a conflict."""

from __future__ import annotations

import threading
from collections.abc import Callable

import numpy as np
import pytest

from medprism.core.errors import CancelledError, ConflictError, WriteError
from medprism.inference.session import Session
from tests.inference.fake_segmenter import fake_model
from tests.inference.phantom import volume

# More slices than the model takes at once (16 at 256 pixels): there is something to interrupt.
SLICES = 40


class Interrupted:
    """Progress that does something at the first report, in another thread."""

    def __init__(self, doing: Callable[[], object]) -> None:
        self._doing = doing
        self.reports = 0

    def report(self, done: int, total: int, message: str = "") -> None:
        self.reports += 1
        if self.reports == 1:
            other = threading.Thread(target=self._doing)
            other.start()
            other.join(20)
            assert not other.is_alive(), "the other thread has to wait"

    def is_cancelled(self) -> bool:
        return False


class Stopping:
    """Progress that asks to stop."""

    def report(self, done: int, total: int, message: str = "") -> None:
        raise AssertionError("nothing may be done")

    def is_cancelled(self) -> bool:
        return True


@pytest.fixture
def session() -> Session:
    opened = Session(fake_model(long_side=256))
    opened.set_image(np.tile(volume()[0], (SLICES // 5, 1, 1)))
    opened.add_point_interaction((0, 18, 92), True, "polyp")
    return opened


def test_others_read_meanwhile_and_the_answer_is_that_of_a_plain_prediction(
    session: Session,
) -> None:
    seen: list[object] = []

    def read() -> None:
        seen.append(session.labels)
        seen.append(session.mask("polyp", slice_index=0).any())

    progress = Interrupted(read)
    found = session.predict(classes=["liver"], progress=progress, is_aside=True)
    assert seen == [("polyp",), True]
    assert progress.reports > 1
    plain = Session(fake_model(long_side=256))
    plain.set_image(session.image)
    expected = plain.predict(classes=["liver"])["liver"]
    assert np.array_equal(found["liver"].mask, expected.mask)
    assert found["liver"].presence == expected.presence
    assert session.labels == ("polyp", "liver")
    session.undo()
    assert session.labels == ("polyp",)


def test_a_change_meanwhile_wins(session: Session) -> None:
    click = Interrupted(lambda: session.add_point_interaction((0, 60, 70), True, "kidney"))
    with pytest.raises(ConflictError, match="once more"):
        session.predict(classes=["liver"], progress=click, is_aside=True)
    assert session.labels == ("polyp", "kidney")
    undo = Interrupted(session.undo)
    with pytest.raises(ConflictError, match="once more"):
        session.predict(classes=["liver"], progress=undo, is_aside=True)
    assert session.labels == ("polyp",)


def test_a_stop_changes_nothing(session: Session) -> None:
    with pytest.raises(CancelledError):
        session.predict(classes=["liver"], progress=Stopping(), is_aside=True)
    assert session.labels == ("polyp",)


def test_an_image_that_was_closed_meanwhile_takes_no_answer(session: Session) -> None:
    stack = volume()[0]
    closing = Interrupted(lambda: session.set_image(stack))
    with pytest.raises(WriteError, match="closed while"):
        session.predict(classes=["liver"], progress=closing, is_aside=True)
    assert session.labels == ()
