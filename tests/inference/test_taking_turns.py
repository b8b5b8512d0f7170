from __future__ import annotations

import threading
import time

from medprism.inference.taking_turns import one_at_a_time


class Till:
    """Counts who is inside at the same time."""

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self.inside = 0
        self.most = 0

    @one_at_a_time
    def visit(self, seconds: float) -> str:
        """Stay for a while."""
        self.inside += 1
        self.most = max(self.most, self.inside)
        time.sleep(seconds)
        self.inside -= 1
        return "done"

    @one_at_a_time
    def visit_twice(self) -> str:
        """Take the lock again from within."""
        return self.visit(0.0)


def test_calls_of_one_object_never_overlap() -> None:
    till = Till()
    threads = [threading.Thread(target=till.visit, args=(0.01,)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert till.most == 1


def test_objects_do_not_wait_for_one_another_and_answers_pass() -> None:
    first, second = Till(), Till()
    with first._lock:
        thread = threading.Thread(target=second.visit, args=(0.0,))
        thread.start()
        thread.join(5)
        assert not thread.is_alive()
    assert first.visit_twice() == "done"
    assert Till.visit.__name__ == "visit"
