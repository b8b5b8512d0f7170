"""Every system is one that a session drives, and is examined by what it has learned."""

from __future__ import annotations

from collections import Counter

import pytest
import torch

from medprism.core.errors import ConfigError
from medprism.evaluation.bench.examination import NEEDS, Examination, protocols_of
from medprism.evaluation.bench.systems import JOINT, OURS, SIZES, SYSTEMS
from medprism.evaluation.benchmark import Plan
from medprism.evaluation.protocols import INTERACTIVE, ONE_SHOT, SEMANTIC, ClickLimits
from medprism.models.kprism.model import KPrism
from medprism.models.segmenter import Segmenter


@pytest.mark.parametrize("name", SYSTEMS)
def test_a_system_is_built_small_and_compact_and_takes_part_somewhere(name: str) -> None:
    system = SYSTEMS[name]
    if system.is_missing:
        pytest.skip(f"{name} is built of {system.needs}, which is not installed")
    for size in SIZES.values():
        with torch.device("meta"):
            model = system.build(size, 7)
        assert isinstance(model, Segmenter)
    assert sum(system.odds) == pytest.approx(1)
    protocols = protocols_of(system.asks or model.accepts)
    assert protocols
    asked = {SEMANTIC: 0, ONE_SHOT: 1, INTERACTIVE: 2}
    for protocol, kind in asked.items():
        # Iris keeps what references said, so that it is asked by class without learning by it.
        if protocol in protocols and not name.startswith("iris"):
            assert system.odds[kind] > 0


def test_there_is_one_main_model_and_it_learns_as_the_paper_says() -> None:
    groups = Counter(system.group for system in SYSTEMS.values())
    assert groups[OURS] == 1
    assert SYSTEMS["kprism"].odds == JOINT == (0.3, 0.3, 0.4)
    assert set(protocols_of(SYSTEMS["kprism"].build(SIZES["nano"], 2).accepts)) == set(NEEDS)


def test_ablations_have_the_experts_that_their_names_say() -> None:
    counts = {}
    for name in ("kprism-no-read-experts", "kprism-no-feed-experts", "kprism-5-experts"):
        model = SYSTEMS[name].build(SIZES["nano"], 2)
        assert isinstance(model, KPrism)
        decoder = model.config.decoder
        counts[name] = (decoder.read_experts, decoder.feed_experts)
    assert counts == {
        "kprism-no-read-experts": (1, 2),
        "kprism-no-feed-experts": (2, 1),
        "kprism-5-experts": (5, 5),
    }


def test_the_main_model_alone_refines_with_as_many_clicks_as_from_nothing() -> None:
    examination = Examination(plan=Plan(), limits=ClickLimits(interactive=12), refine_ours=12)
    for system in SYSTEMS.values():
        refine = 12 if system.group == OURS else ClickLimits().refine
        assert examination.limits_of(system) == ClickLimits(interactive=12, refine=refine)
    with pytest.raises(ConfigError, match="at least 1"):
        Examination(plan=Plan(), refine_ours=0).limits_of(SYSTEMS["kprism"])
