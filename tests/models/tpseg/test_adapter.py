from __future__ import annotations

import pytest
import torch

from medprism.models.tpseg.adapter import TaskAdapter
from medprism.models.tpseg.config import ADAPTER_PATHS, AdapterKind

from . import literal
from .scene import worst


def make(kind: AdapterKind, *, used: bool = True) -> TaskAdapter:
    torch.manual_seed(2)
    adapter = TaskAdapter(6, 4, 3, kind).double()
    if used:
        with torch.no_grad():
            for parameter in adapter.parameters():
                parameter.add_(torch.randn_like(parameter))
    return adapter


def draw() -> tuple[torch.Tensor, torch.Tensor]:
    rng = torch.Generator().manual_seed(4)
    image = torch.randn(4, 5, 7, 6, generator=rng, dtype=torch.float64)
    return image, torch.tensor([2, 0, 2, 1])


@pytest.mark.parametrize("kind", ADAPTER_PATHS)
def test_an_adapter_is_what_its_equation_says(kind: AdapterKind) -> None:
    adapter, (x, task) = make(kind), draw()
    assert worst(adapter(x, task), literal.adapt(adapter, x, task)) < 1e-12
    assert worst(adapter(x, task), x) > 0.1


@pytest.mark.parametrize("kind", ADAPTER_PATHS)
def test_a_new_adapter_changes_nothing(kind: AdapterKind) -> None:
    x, task = draw()
    assert torch.equal(make(kind, used=False)(x, task), x)


@pytest.mark.parametrize("kind", ADAPTER_PATHS)
def test_a_task_is_felt_where_it_has_an_expert_of_its_own(kind: AdapterKind) -> None:
    adapter, (x, task) = make(kind), draw()
    moved = (adapter(x, task) - adapter(x, (task + 1) % 3)).detach().abs().amax((1, 2, 3))
    has_own = ADAPTER_PATHS[kind].has_own
    assert bool((moved > 1e-3).all()) is has_own
    assert bool((moved == 0).all()) is not has_own


def test_the_gate_begins_at_one_half_and_weighs_both_experts() -> None:
    adapter, (x, task) = make("dual"), draw()
    assert make("dual", used=False).gate is not None
    assert torch.equal(make("dual", used=False).gate.sigmoid(), torch.full((3,), 0.5).double())
    assert adapter.gate is not None and adapter.own is not None and adapter.shared is not None
    normed = adapter.norm(x)
    for value, expected in (
        (40.0, adapter.own(normed, task)),
        (-40.0, adapter.shared(normed, torch.zeros_like(task))),
    ):
        with torch.no_grad():
            adapter.gate.fill_(value)
        assert worst(adapter(x, task) - x, expected) < 1e-12
