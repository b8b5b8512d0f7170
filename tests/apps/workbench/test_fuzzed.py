"""The server against its own description: what fits it, or almost, gets a sentence."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from schemathesis import Case, GenerationMode
from schemathesis.core.transport import Response

from tests.apps.workbench.conftest import PICTURES, SETTINGS, TOKEN, Desk, Live, write_images
from tests.inference.fake_segmenter import fake_model

FEW, MANY = 2, 150
# schemathesis draws some headers by `random`, which hypothesis seeds all the same.
pytestmark = pytest.mark.filterwarnings(
    "ignore:Do not use the .random. module:hypothesis.errors.HypothesisDeprecationWarning"
)
# What ends what the other requests work on comes last.
_DESTRUCTIVE: Final = ("DELETE", "PUT")
# Those the page names beside 500: a part that is not there, too many sessions, a full disk.
_HONEST: Final = (501, 503, 507)


@pytest.fixture
def fuzzed(tmp_path: Path) -> Iterator[Live]:
    """A server whose sessions never end of themselves."""
    live = Live(write_images(tmp_path / "images"), fake_model(), SETTINGS)
    yield live
    live.end()


def _operations(live: Live) -> list[Any]:
    schema = schemathesis.openapi.from_dict(live.app.openapi())
    found = [result.ok() for result in schema.get_all_operations()]
    return sorted(found, key=lambda one: one.method.upper() in _DESTRUCTIVE)


def _aim(case: Case, session: str, choice: int) -> None:
    """Let half of the requests be about what there is."""
    there = {
        **{"image": 1 + choice % (PICTURES + 1), "index": 0, "label": 1, "session": session},
        **{"reference": 1, "checkpoint": 0, "job": 1, "model": "segmentation"},
    }
    for name in case.path_parameters or {}:
        if choice % 2 and name in there:
            case.path_parameters[name] = there[name]


def _check(case: Case, answer: Response) -> None:
    said = f"{case.method} {case.path} {case.path_parameters}: {answer.content[:400]!r}"
    assert answer.status_code < 500 or answer.status_code in _HONEST, said
    assert b"Traceback" not in answer.content, said
    assert TOKEN.encode() not in answer.content, said
    is_json = answer.headers.get("content-type", [""])[0].startswith("application/json")
    if answer.status_code >= 400 and case.method != "HEAD":
        assert is_json, said
        error = answer.json()["error"]
        assert error["code"] != "internal" and len(error["message"]) > 10, said


def _draw(operation: Any, examples: int) -> list[tuple[Case, int]]:  # noqa: ANN401
    """Return requests that fit a route's description and some that do not.

    They are sent afterwards: what a server answers depends on all it was asked before.
    """
    strategy = operation.as_strategy(generation_mode=GenerationMode.POSITIVE)
    if operation.body or list(operation.iter_parameters()):
        strategy |= operation.as_strategy(generation_mode=GenerationMode.NEGATIVE)
    drawn: list[tuple[Case, int]] = []

    @settings(
        max_examples=examples,
        deadline=None,
        database=None,
        derandomize=True,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(strategy, st.integers(0, 99))
    def take(case: Case, choice: int) -> None:
        drawn.append((case, choice))

    take()
    return drawn


def _fuzz(live: Live, examples: int) -> int:
    """Send requests of every kind; return how many routes answered one with success."""
    desk = Desk(live.client)
    desk.post("/api/labels", {"name": "thing"}, 201)
    headers = {"Authorization": f"Bearer {TOKEN}", "X-Author": "Ada"}
    successes = set()
    for operation in _operations(live):
        for case, choice in _draw(operation, examples):
            opened = live.client.post("/api/sessions", json={"image": 1}, headers=headers)
            session = opened.json().get("session", "gone")
            _aim(case, session, choice)
            answer = case.call(base_url=live.address, headers=headers, timeout=20)
            _check(case, answer)
            if answer.status_code < 300:
                successes.add((case.method, operation.path))
    # After all of it, it still works.
    assert live.client.get("/healthz").json() == {"ok": True}
    return len(successes)


def test_no_request_that_fits_the_description_or_almost_brings_it_down(
    fuzzed: Live, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO):
        assert _fuzz(fuzzed, FEW) > 20
    assert TOKEN not in caplog.text


@pytest.mark.soak
@pytest.mark.timeout(3600)
def test_many_requests_do_not_bring_it_down(fuzzed: Live) -> None:
    assert _fuzz(fuzzed, MANY) > 30
