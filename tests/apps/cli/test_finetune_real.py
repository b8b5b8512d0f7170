"""The shipped checkpoint learns a structure that no training set has, from a few real masks.

The set is one of those that are never trained on for the shipped weights and never used to choose
anything; here it only shows that fine-tuning works.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.apps.conftest import Command
from tests.data.phantoms import real_folder

pytestmark = [pytest.mark.realdata, pytest.mark.slow]


def test_the_carotid_artery_becomes_a_class(medprism: Command, tmp_path: Path) -> None:
    out = tmp_path / "carotid.safetensors"
    ended = medprism(
        *("finetune", real_folder("carotid_us"), "--from", "kprism-compact", "--out", out),
        *("--steps", "120", "--threads", "1", "--json"),
    )
    assert ended.status == 0, ended.err
    report = ended.json()
    (new,) = report["new"]
    assert new["name"] == "carotid artery lumen" and new["masks"] >= 4
    assert new["before"]["class"] is None
    assert new["after"]["class"] > 0.6
    # What references can do is not lost along the way.
    assert new["after"]["reference"] > new["before"]["reference"] - 0.05
    assert report["agreement"]["dice"] > 0.7
