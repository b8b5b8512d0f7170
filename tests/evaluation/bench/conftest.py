"""A small bench that several tests read."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from medprism.core.progress import SilentProgress
from medprism.data.store import SliceStore
from medprism.evaluation.bench.examination import Examination, examine_system, examine_untrained
from medprism.evaluation.bench.runs import BenchOrder, read_system, train_system
from medprism.evaluation.bench.systems import SYSTEMS
from medprism.evaluation.benchmark import Plan
from medprism.evaluation.protocols import ClickLimits

LIMITS = ClickLimits(interactive=2, refine=1)


@pytest.fixture(scope="session")
def nano_bench(scenes: SliceStore, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bench of two slices: K-Prism, and GrabCut, which has no weights."""
    out = tmp_path_factory.mktemp("bench")
    order = BenchOrder(system="kprism", store=scenes.path, steps=1, size="nano", side=64)
    assert train_system(order, out, SilentProgress())
    model = read_system(order, out)
    assert model is not None
    plan = Plan(datasets=("scenes",), limit=2)
    # Without the protocols that ask with several references, which no picture shows.
    brief = replace(SYSTEMS["kprism"], group="ablation")
    examine_system(model, brief, scenes, out, Examination(plan=plan, limits=LIMITS))
    examine_untrained("GrabCut", scenes, out, Examination(plan=plan, limits=LIMITS))
    return out
