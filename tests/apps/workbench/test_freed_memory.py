from __future__ import annotations

import ctypes
import threading
from collections.abc import Callable

import pytest
from benchmarks.resident_memory import resident_megabytes

from medprism.apps.workbench import freed_memory
from medprism.apps.workbench.freed_memory import MemorySweep, limit_arenas, return_freed_memory
from tests.apps.workbench.conftest import Live

pytestmark = pytest.mark.skipif(
    not hasattr(ctypes.CDLL(None), "malloc_trim"), reason="another C library than glibc"
)

PIECES, PIECE_BYTES = 1200, 100_000


def _in_thread(work: Callable[[], None]) -> None:
    thread = threading.Thread(target=work)
    thread.start()
    thread.join()


def test_what_was_freed_between_pieces_in_use_goes_back() -> None:
    kept: list[bytearray] = []

    def work() -> None:
        pieces = [bytearray(PIECE_BYTES) for _ in range(PIECES)]
        # Every hundredth stays, so that the memory between cannot shrink by itself.
        kept.extend(pieces[::100])

    _in_thread(work)
    before = resident_megabytes()
    assert return_freed_memory()
    assert before - resident_megabytes() > 0.8 * PIECES * PIECE_BYTES / 2**20
    assert all(len(one) == PIECE_BYTES for one in kept)


def test_the_number_of_groups_can_be_limited() -> None:
    assert limit_arenas()


def test_the_sweep_waits_between(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[float] = []
    present = [100.0]
    monkeypatch.setattr(freed_memory, "return_freed_memory", lambda: calls.append(present[0]))
    sweep = MemorySweep(30.0, lambda: present[0])
    for second in range(100, 200, 5):
        present[0] = float(second)
        sweep()
    assert calls == [130.0, 160.0, 190.0]


def test_a_server_sweeps_its_memory(live: Live) -> None:
    assert any(isinstance(one, MemorySweep) for one in live.bench.sweeps)
