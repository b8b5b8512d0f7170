"""The workbench on a machine whose clock is set while people work."""

from __future__ import annotations

import time
from collections.abc import Callable

import httpx
import pytest

from medprism.core import steady_clock
from tests.apps.workbench.conftest import TOKEN, Desk, Live

DAY = 86_400.0
SetClock = Callable[[float], None]


@pytest.fixture
def set_clock(monkeypatch: pytest.MonkeyPatch) -> SetClock:
    """Return what sets the clock of the machine by seconds, back or forth."""
    real = time.time

    def set_by(seconds: float) -> None:
        monkeypatch.setattr(time, "time", lambda: real() + seconds)

    return set_by


@pytest.mark.parametrize("by", [-DAY, DAY, -60 * 365 * DAY])
def test_sessions_and_tokens_outlive_a_clock_that_is_set(
    live: Live, set_clock: SetClock, by: float
) -> None:
    desk, other = Desk(live.client), Desk(live.client, "Grace")
    session = desk.open(1)
    desk.click(session, 65, 75)
    set_clock(by)
    # The work goes on, and nobody else gets in, as before.
    desk.click(session, 30, 30)
    refused = other.post("/api/sessions", {"image": 1}, 409)["error"]
    assert refused["code"] == "image_in_use"
    expires = desk.post(f"{session}/heartbeat")["expires_in"]
    assert 0 < expires <= live.bench.settings.lease_seconds
    desk.post(f"{session}/accept")
    with httpx.Client(base_url=live.address) as browser:
        assert browser.post("/api/login", json={"token": TOKEN}).status_code == 204
        assert browser.get("/api/project").status_code == 200
        assert browser.post("/api/login", json={"token": "wrong"}).status_code == 401
    job = desk.finish(desk.post("/api/jobs", {"kind": "export", "format": "png"}, 201)["id"])
    assert job["state"] == "done" and job["result"]["images"] == 1
    desk.ask("DELETE", session, 204)
    other.open(1)


def test_a_lease_ends_after_its_time_whatever_the_clock_says(
    live: Live, set_clock: SetClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk, other = Desk(live.client), Desk(live.client, "Grace")
    session = desk.open(1)
    set_clock(-DAY)
    passed = live.bench.settings.lease_seconds + 1
    monkeypatch.setattr(steady_clock, "_BEGAN", steady_clock._BEGAN + passed)
    assert desk.get(session, 410)["error"]["code"] == "session_expired"
    other.open(1)


def test_a_project_opens_again_on_a_machine_that_believes_in_1970(
    serve: Callable[[], Live], set_clock: SetClock
) -> None:
    desk = Desk(serve().client)
    session = desk.open(1)
    desk.click(session, 65, 75)
    desk.post(f"{session}/accept")
    set_clock(-time.time())
    again = Desk(serve().client)
    (accepted,) = again.get("/api/images/1/accepted")["accepted"]
    assert accepted["label"] and accepted["is_current"]
    session = again.open(1)
    again.click(session, 30, 30, "other")
    again.post(f"{session}/undo")
