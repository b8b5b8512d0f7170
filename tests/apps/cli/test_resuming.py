from __future__ import annotations

from pathlib import Path

import pytest

from medprism.apps.cli.resuming import refuse_given, refuse_other_preset
from medprism.core.errors import ConfigError


def test_what_is_not_given_is_no_reason_to_refuse() -> None:
    refuse_given({"--steps": None, "--data": (), "--synthetic": 0.0}, Path("run"))
    refuse_other_preset("kprism-nano", "kprism-nano", Path("run"))


def test_what_was_fixed_is_named() -> None:
    with pytest.raises(ConfigError, match=r"^--steps, --init was fixed when the run a/b was"):
        refuse_given({"--steps": 3, "--data": (), "--init": Path("x")}, Path("a/b"))


def test_a_run_of_another_preset_says_how_to_go_on() -> None:
    says = "of iris-nano, not kprism-nano; go on with `medprism train iris-nano --out a/b --resume`"
    with pytest.raises(ConfigError, match=says):
        refuse_other_preset("iris-nano", "kprism-nano", Path("a/b"))
