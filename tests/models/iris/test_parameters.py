"""The frozen layout: counts of the presets, and golden lists of names and shapes.

If a golden list fails, trained weights no longer load. Only a deliberate new layout writes the
lists again: `python -m tests.models.iris.layout`.
"""

from __future__ import annotations

import doctest
from pathlib import Path

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from medprism.models.iris.config import iris_base, iris_compact, iris_compact_2d, iris_nano
from medprism.models.iris.embedding import TaskEmbeddings
from medprism.models.iris.model import Iris

from .layout import LAYOUTS, PRESETS

PAGE = Path(__file__).resolve().parents[3] / "docs" / "architecture-iris.md"


def count(model: torch.nn.Module) -> int:
    return sum(parameter.numel() for parameter in model.parameters())


def test_the_page_on_the_architecture_tells_the_truth() -> None:
    results = doctest.testfile(str(PAGE), module_relative=False)
    assert results.attempted >= 10
    assert results.failed == 0


@pytest.mark.parametrize("name", PRESETS)
def test_names_and_shapes_are_those_of_the_golden_list(name: str) -> None:
    assert LAYOUTS.differences(name) == []


def test_sizes_are_what_the_presets_promise() -> None:
    with torch.device("meta"):
        base, compact = Iris(iris_base()), Iris(iris_compact(85))
        flat, nano = Iris(iris_compact_2d(85)), Iris(iris_nano(85))
    assert round(count(base) / 1e6, 1) == 69.4
    assert count(compact) < 6e6
    assert count(flat) < 6e6
    assert count(nano) < 0.25e6


@pytest.mark.parametrize("name", ["iris-base", "iris-compact", "iris-compact-2d"])
def test_fifteen_classes_cost_at_most_twice_one(name: str) -> None:
    preset = PRESETS[name]
    config = preset.config(20)
    with torch.device("meta"), torch.no_grad():
        model = Iris(config)
        size = (preset.long_side,) * config.body.ndim
        features = model.encode(torch.zeros(1, config.body.channels, *size))
        operations = []
        for classes in (1, 15):
            tokens = torch.zeros(1, classes, config.task.tokens, config.task.dim)
            tasks = TaskEmbeddings(tokens, torch.ones(1, classes, dtype=torch.bool))
            with FlopCounterMode(display=False) as counter:
                model.decode(features, tasks)
            operations.append(counter.get_total_flops())
    assert 1 < operations[1] / operations[0] < 2


def test_a_seen_class_costs_no_parameter_but_a_row_of_the_bank() -> None:
    with torch.device("meta"):
        few, many = Iris(iris_base(1)), Iris(iris_base(85))
    assert count(few) == count(many)
    assert many.bank.content.shape == (85, 11, 128)
