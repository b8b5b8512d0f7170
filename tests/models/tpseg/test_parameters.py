"""The frozen layout: counts of the presets, and golden lists of names and shapes.

If a golden list fails, trained weights no longer load. Only a deliberate new layout writes the
lists again: `python -m tests.models.tpseg.layout`.
"""

from __future__ import annotations

import doctest
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from medprism.models.catalog import TPSEG_PRESETS
from medprism.models.tpseg.config import tpseg_base, tpseg_compact, tpseg_nano
from medprism.models.tpseg.model import TPSeg

from .layout import LAYOUTS

PAGE = Path(__file__).resolve().parents[3] / "docs" / "architecture-tp-seg.md"


def count(model: torch.nn.Module) -> int:
    return sum(parameter.numel() for parameter in model.parameters())


def test_the_page_on_the_architecture_tells_the_truth() -> None:
    results = doctest.testfile(str(PAGE), module_relative=False)
    assert results.attempted >= 10
    assert results.failed == 0


@pytest.mark.parametrize("name", TPSEG_PRESETS)
def test_names_and_shapes_are_those_of_the_golden_list(name: str) -> None:
    assert LAYOUTS.differences(name) == []


def test_the_parts_are_as_large_as_those_of_the_release() -> None:
    with torch.device("meta"):
        base = TPSeg(replace(tpseg_base(), adapter="task"))
    assert round(count(base.adapters) / 1e6, 2) == 27.04
    assert round(count(base.reductions) / 1e6, 1) == 36.3
    assert round(count(base.trunk) / 1e6) == 212


def test_sizes_are_what_the_presets_promise() -> None:
    with torch.device("meta"):
        compact, nano = TPSeg(tpseg_compact(8)), TPSeg(tpseg_nano(8))
    assert count(compact) < 6e6
    assert count(nano) < 0.25e6


def test_a_task_costs_little() -> None:
    with torch.device("meta"):
        eight, nine = TPSeg(tpseg_base(8)), TPSeg(tpseg_base(9))
    assert count(nine) - count(eight) < 0.02 * count(eight)
