from __future__ import annotations

from itertools import combinations
from pathlib import Path

import pytest
import torch
from benchmarks.lesions.gradients import EPISODES, Batches, interference
from benchmarks.lesions.methods import METHODS, SIZES, build
from benchmarks.lesions.tasks import choose

from medprism.core.concepts import Concept, ConceptTable
from medprism.data.episode import EpisodeSampler
from medprism.data.store import SliceStore
from medprism.models.tpseg.model import TPSeg, task_rows
from medprism.objectives.structure import structure_loss
from medprism.training.batches import to_batch
from medprism.training.task_step import border_window

from .phantoms import GREY, TASKS

BATCHES = Batches(images=2, size=64)


def make(method: str) -> TPSeg:
    model = build(METHODS[method], SIZES["tpseg-nano"], 2, seed=3)
    assert isinstance(model, TPSeg)
    with torch.no_grad():
        for adapter in model.adapters:
            for experts in (adapter.shared, adapter.own):
                if experts is not None:
                    experts.up.normal_(std=0.3)
    return model


def test_cosines_are_those_of_literal_gradients(store: Path) -> None:
    opened = SliceStore.open(store)
    chosen = choose(opened, TASKS)
    model = make("tpseg-shared")
    found = interference(model, opened.only(chosen.sets), chosen.concepts, chosen.partial, BATCHES)
    assert set(found) == {"trunk", "shared adapters", "reductions", "decoders"}
    gradients = []
    for row in (0, 1):
        alone = ConceptTable(
            tuple(
                Concept(one.name, (), one.label_ids if number == row else {})
                for number, one in enumerate(chosen.concepts.concepts)
            )
        )
        sampler = EpisodeSampler(opened, alone, "train", EPISODES, partial={})
        model.zero_grad()
        for half in (0, 1):
            batch = to_batch(sampler.draw(BATCHES.seed, half, False, num_requests=2, size=64))
            assert batch.concept.tolist() == [row, row]
            answer = model(batch.images, batch.concept)
            outputs = (answer.logits, *answer.steps)
            structure_loss(outputs, batch.target, border_window(64)).mean().backward()
        weights = [p.grad.flatten() for p in model.trunk.parameters() if p.grad is not None]
        gradients.append(torch.cat(weights).double())
    expected = torch.nn.functional.cosine_similarity(*gradients, dim=0)
    assert found["trunk"]["across"] == pytest.approx(float(expected), abs=1e-4)
    assert found["trunk"]["pairs"] == 1
    assert found["trunk"]["against"] == float(expected < 0)
    assert -1 <= found["trunk"]["within"] <= 1


def test_two_tasks_that_are_one_pull_in_one_direction(store: Path) -> None:
    opened = SliceStore.open(store)
    twins = ConceptTable(tuple(Concept(name, (), {GREY: (1,)}) for name in ("one", "other")))
    model = make("tpseg")
    with torch.no_grad():
        for name in task_rows(model):
            tensor = model.state_dict()[name]
            tensor[1] = tensor[0]
    found = interference(model, opened.only((GREY,)), twins, {}, BATCHES)
    assert all(part["across"] == pytest.approx(1.0, abs=1e-5) for part in found.values())
    assert all(part["against"] == 0 for part in found.values())


def test_models_without_shared_adapters_have_no_such_part(store: Path) -> None:
    opened = SliceStore.open(store)
    chosen = choose(opened, TASKS)
    model = make("tpseg-task")
    found = interference(model, opened.only(chosen.sets), chosen.concepts, chosen.partial, BATCHES)
    assert set(found) == {"trunk", "reductions", "decoders"}
    assert len(list(combinations(TASKS, 2))) == found["trunk"]["pairs"]
