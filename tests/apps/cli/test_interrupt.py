from __future__ import annotations

import signal

import pytest

from medprism.apps.cli.interrupt import stop_on_interrupt


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_first_signal_is_a_wish_and_the_second_is_not_ours(number: signal.Signals) -> None:
    heard: list[int] = []
    before = signal.signal(number, lambda which, _: heard.append(which))
    try:
        with stop_on_interrupt() as stop:
            assert not stop.is_wanted
            signal.raise_signal(number)
            assert stop.is_wanted and heard == []
            signal.raise_signal(number)
            assert heard == [number]
        signal.raise_signal(number)
        assert heard == [number, number]
    finally:
        signal.signal(number, before)


def test_handlers_are_put_back_without_any_signal() -> None:
    before = signal.getsignal(signal.SIGINT)
    with stop_on_interrupt():
        assert signal.getsignal(signal.SIGINT) is not before
    assert signal.getsignal(signal.SIGINT) is before
