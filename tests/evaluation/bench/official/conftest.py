"""An interpreter that has the official packages, in small, and weights for them."""

from __future__ import annotations

import sys

import pytest

from tests.evaluation.bench.official.packages import INTERPRETER

# These stand in for packages and must never be imported by the tests themselves.
collect_ignore = ["interpreter"]


@pytest.fixture
def python(monkeypatch: pytest.MonkeyPatch) -> str:
    """Return this interpreter, whose children find the small packages before any other."""
    monkeypatch.setenv("PYTHONPATH", str(INTERPRETER))
    return sys.executable


@pytest.fixture
def bare_python(monkeypatch: pytest.MonkeyPatch) -> str:
    """Return this interpreter, whose children have none of the packages."""
    monkeypatch.delenv("PYTHONPATH", raising=False)
    return sys.executable
