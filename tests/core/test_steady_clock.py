from __future__ import annotations

import time

import pytest

from medprism.core.steady_clock import steady_time


@pytest.mark.parametrize("set_to", [0.0, -86_400.0, 4e9])
def test_a_clock_that_is_set_changes_nothing(
    monkeypatch: pytest.MonkeyPatch, set_to: float
) -> None:
    before = steady_time()
    monkeypatch.setattr(time, "time", lambda: set_to)
    assert before <= steady_time() < before + 60


def test_it_is_the_time_of_day_and_goes_on() -> None:
    assert abs(steady_time() - time.time()) < 3600
    before = steady_time()
    time.sleep(0.02)
    assert 0.015 < steady_time() - before < 30
