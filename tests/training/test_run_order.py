from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from medprism.core.errors import ConfigError
from medprism.training.recipes import RECIPES
from medprism.training.run_order import RunOrder


@pytest.mark.parametrize(
    ("recipe", "change", "says"),
    [
        ("kprism-nano", {"tasks": ("polyp",)}, "for the recipes of TP-Seg"),
        ("kprism-nano", {"added": ("polyp",)}, "for the recipes of TP-Seg"),
        ("tpseg-nano", {"synthetic": 0.1}, "asked by task alone"),
        ("tpseg-nano", {"task_change": 0.1}, "asked by task alone"),
        ("tpseg-nano", {"added": ("polyp",)}, "give it by --init"),
        (
            "tpseg-nano",
            {"added": ("a",), "tasks": ("b",), "start": Path("old.safetensors")},
            "leave --tasks out",
        ),
        ("tpseg-colossal", {}, "no recipe 'tpseg-colossal'"),
        ("kprism-nano", {"seed": -1}, "a seed is at least 0, got -1"),
        ("tpseg-nano", {"minutes": 1.0}, "either in steps or in minutes"),
    ],
)
def test_what_does_not_go_together_is_refused(
    recipe: str, change: dict[str, Any], says: str
) -> None:
    with pytest.raises(ConfigError, match=says):
        RunOrder(**{"recipe": recipe, "store": Path("store"), "steps": 3, **change})


def test_tasks_may_be_named_and_added_to_a_checkpoint() -> None:
    named = RunOrder(recipe="tpseg-nano", store=Path("store"), steps=3, tasks=("a", "b"))
    added = RunOrder(
        recipe="tpseg-nano", store=Path("s"), minutes=1.0, added=("c",), start=Path("old")
    )
    assert (named.tasks, added.added) == (("a", "b"), ("c",))


def test_a_seed_takes_the_place_of_the_recipe_s() -> None:
    usual = RunOrder(recipe="kprism-compact-continued", store=Path("s"), steps=3).config()
    other = RunOrder(recipe="kprism-compact-continued", store=Path("s"), steps=3, seed=9).config()
    assert usual == RECIPES["kprism-compact-continued"](3)
    assert other == replace(usual, seed=9)
