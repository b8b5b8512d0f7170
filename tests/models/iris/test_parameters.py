"""Counts of the presets: the page on the architecture runs."""

from __future__ import annotations

import doctest
from pathlib import Path

import torch

from medprism.models.iris.config import iris_base, iris_compact, iris_compact_2d, iris_nano
from medprism.models.iris.model import Iris

PAGE = Path(__file__).resolve().parents[3] / "docs" / "architecture-iris.md"


def count(model: torch.nn.Module) -> int:
    return sum(parameter.numel() for parameter in model.parameters())


def test_the_page_on_the_architecture_tells_the_truth() -> None:
    results = doctest.testfile(str(PAGE), module_relative=False)
    assert results.attempted >= 10
    assert results.failed == 0


def test_sizes_are_what_the_presets_promise() -> None:
    with torch.device("meta"):
        base, compact = Iris(iris_base()), Iris(iris_compact(85))
        flat, nano = Iris(iris_compact_2d(85)), Iris(iris_nano(85))
    assert round(count(base) / 1e6, 1) == 69.4
    assert count(compact) < 6e6
    assert count(flat) < 6e6
    assert count(nano) < 0.25e6


def test_a_seen_class_costs_no_parameter_but_a_row_of_the_bank() -> None:
    with torch.device("meta"):
        few, many = Iris(iris_base(1)), Iris(iris_base(85))
    assert count(few) == count(many)
    assert many.bank.content.shape == (85, 11, 128)
