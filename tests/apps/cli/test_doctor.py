from __future__ import annotations

import pytest

from medprism.apps.doctor import self_test as self_test_module
from medprism.apps.doctor.finding import Finding
from tests.apps.conftest import Command

SUBJECTS = ("medprism", "packages", "torch", "decoders", "threads", "memory", "self-test")


@pytest.fixture
def verdict(monkeypatch: pytest.MonkeyPatch) -> list[Finding]:
    """Let the prediction, which has tests of its own, say what a test wants."""
    found = [Finding("self-test", "ok", "Dice 0.96")]
    monkeypatch.setattr(self_test_module, "self_test", lambda: found[0])
    return found


def test_people_get_a_line_a_finding(medprism: Command, verdict: list[Finding]) -> None:
    ended = medprism("doctor")
    assert ended.status == 0, ended.out
    lines = ended.out.splitlines()
    assert lines[-1] == "everything works"
    assert all(any(line[8:].startswith(f"{name}:") for line in lines) for name in SUBJECTS)


def test_programs_get_the_same(medprism: Command, verdict: list[Finding]) -> None:
    document = medprism("doctor", "--json").json()
    assert document["healthy"] is True
    assert set(SUBJECTS) <= {one["subject"] for one in document["findings"]}


def test_a_problem_is_status_1_with_the_way_out(medprism: Command, verdict: list[Finding]) -> None:
    verdict[0] = Finding("self-test", "problem", "Dice 0.10", "install both anew")
    ended = medprism("doctor")
    assert ended.status == 1
    assert "problem self-test: Dice 0.10\n        -> install both anew" in ended.out
    assert "everything works" not in ended.out
    assert medprism("doctor", "--json").json()["healthy"] is False
