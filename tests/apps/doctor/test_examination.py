from __future__ import annotations

import pytest

from medprism.apps.doctor import examination
from medprism.apps.doctor.examination import examine
from medprism.apps.doctor.finding import Finding


def test_without_torch_nothing_that_needs_it_is_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    broken = Finding("torch", "problem", "cannot be used", "install it anew")
    monkeypatch.setattr(examination, "check_torch", lambda: broken)
    found = list(examine())
    assert broken in found
    assert found[-1].subject == "decoders"
