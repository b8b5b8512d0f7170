"""The frozen layout: counts of the paper, and golden lists of names and shapes.

Training runs for hours on the exact layout. If a golden list fails, the change costs a training:
take it back. Only a deliberate new layout writes the lists again:
`python -m tests.models.kprism.layout`.
"""

from __future__ import annotations

import doctest
import json
from pathlib import Path

import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from medprism.models.kprism.config import kprism_base, kprism_compact, kprism_nano
from medprism.models.kprism.model import KPrism

from .layout import FROZEN, LAYOUTS
from .questions import KINDS, draw_question, prompts_of

PAGE = Path(__file__).resolve().parents[3] / "docs" / "architecture-k-prism.md"


def count(part: nn.Module) -> int:
    return sum(parameter.numel() for parameter in part.parameters())


def test_the_page_on_the_architecture_tells_the_truth() -> None:
    results = doctest.testfile(str(PAGE), module_relative=False)
    assert results.attempted >= 15
    assert results.failed == 0


@pytest.mark.parametrize("classes", [1, 33, 100])
def test_a_class_costs_512_a_table(classes: int) -> None:
    with torch.device("meta"):
        base = KPrism(kprism_base(classes))
    # p = 2 queries of 256 in the content and in the position table.
    assert count(base.classes) == 2 * 512 * classes
    assert count(base) == 40_460_953 + 2 * 512 * (classes - 33)


@pytest.mark.parametrize("name", FROZEN)
def test_names_and_shapes_are_those_of_the_golden_list(name: str) -> None:
    golden = json.loads(LAYOUTS.path(name).read_text(encoding="utf-8"))
    found = LAYOUTS.found(name)
    missing = {key: golden[key] for key in golden.keys() - found.keys()}
    surplus = {key: found[key] for key in found.keys() - golden.keys()}
    changed = {
        key: (golden[key], found[key])
        for key in golden.keys() & found.keys()
        if golden[key] != found[key]
    }
    assert (missing, surplus, changed) == ({}, {}, {})


def test_compact_has_at_most_6_million_parameters_and_nano_a_third_of_one() -> None:
    with torch.device("meta"):
        assert count(KPrism(kprism_compact(100))) <= 6_000_000
        assert count(KPrism(kprism_nano(33))) <= 350_000


@pytest.mark.parametrize("kind", KINDS)
def test_compact_encodes_and_decodes_within_6_gflop(kind: str) -> None:
    with torch.device("meta"):
        compact = KPrism(kprism_compact(100)).eval()
        question = draw_question(256, 256, requests=1, refs=1, clicks=3).map(torch.zeros_like)
        with torch.no_grad():
            prompts = prompts_of(compact, question, kind)
            with FlopCounterMode(display=False) as counter:
                compact.decode(compact.encode(question.image), prompts)
    # Two operations a multiplication, as in the specification's figures for the release.
    assert 1e9 < counter.get_total_flops() <= 6e9
