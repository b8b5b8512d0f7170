from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from medprism.models.kprism.config import kprism_nano
from medprism.models.kprism.model import KPrism
from medprism.models.segmenter import Decoded, Features, Prompts, canvas_logits
from medprism.objectives.segmentation import request_loss
from medprism.training.batches import to_batch
from medprism.training.config import StepPlan
from medprism.training.step import Batch, StepRandomness, StepResult, TrainingStep
from tests.phantoms import NAMES

from .phantom_sampler import PhantomSampler
from .runs import make_nano

WEIGHTS = (0.3, 0.3, 0.3, 1.0)
PLANS = {
    "semantic": StepPlan(True, False, (True,)),
    "in-context": StepPlan(False, True, (True,)),
    "interactive": StepPlan(False, False, (True,)),
    "refine-semantic": StepPlan(True, False, (True, False, True)),
    "refine-in-context": StepPlan(False, True, (True, True)),
    "long interaction": StepPlan(False, False, (True, False, False, False, True)),
}


class Recording(KPrism):
    """A nano that remembers what it was asked and what it said."""

    def __init__(self) -> None:
        torch.manual_seed(1)
        super().__init__(kprism_nano(len(NAMES)))
        self.asked: list[Prompts] = []
        self.learned: list[bool] = []
        self.said: list[Decoded] = []

    def decode(self, features: Features, prompts: Prompts) -> Decoded:
        """Decode and take notes."""
        self.asked.append(prompts)
        self.learned.append(torch.is_grad_enabled())
        self.said.append(super().decode(features, prompts))
        return self.said[-1]


def make_batch(requests: int = 4, size: int = 64, seed: int = 5) -> Batch:
    episode = PhantomSampler(6).draw(
        seed,
        0,
        needs_reference=True,
        num_requests=requests,
        size=size,
        self_reference=0.0,
        allows_absent=False,
    )
    return to_batch(episode)


def take(model: KPrism, plan: StepPlan, batch: Batch | None = None, step: int = 0) -> StepResult:
    module = TrainingStep(model, WEIGHTS, later_weight=0.8)
    return module(make_batch() if batch is None else batch, plan, StepRandomness(1, step))


@pytest.mark.parametrize("name", PLANS)
def test_each_round_asks_with_what_the_plan_says(name: str) -> None:
    plan, model = PLANS[name], Recording()
    take(model, plan)
    assert len(model.asked) == len(plan.rounds)
    assert model.learned == list(plan.rounds)
    knows = plan.asks_class or plan.asks_references
    for number, prompts in enumerate(model.asked):
        assert (prompts.concept is not None) == plan.asks_class
        assert (prompts.references is not None) == plan.asks_references
        marked = number > 0 or not knows
        assert (prompts.clicks is not None) == (prompts.dense is not None) == marked


@pytest.mark.parametrize("name", PLANS)
def test_the_loss_is_that_of_the_rounds_that_learn(name: str) -> None:
    plan, model, batch = PLANS[name], Recording(), make_batch()
    result = take(model, plan, batch)
    expected, losses, dices = torch.zeros(()), [], []
    for number, (decoded, learns) in enumerate(zip(model.said, plan.rounds, strict=True)):
        if learns:
            outputs = (*decoded.auxiliary, decoded.logits)
            loss = request_loss(outputs, batch.target, WEIGHTS).mean()
            expected = expected + (0.8 if number else 1.0) * loss
            losses.append(loss.item())
            mask = canvas_logits(decoded, (64, 64)).detach().sigmoid() >= 0.5
            truth = batch.target >= 0.5
            both = 2 * (mask & truth).sum((1, 2)) / (mask.sum((1, 2)) + truth.sum((1, 2)))
            dices.append(both.mean().item())
    assert result.loss.item() == pytest.approx(expected.item(), rel=1e-5)
    assert result.round_losses == pytest.approx(losses, rel=1e-5)
    assert result.round_dice == pytest.approx(dices, abs=1e-6)


def new_clicks(before: Prompts | None, after: Prompts, request: int) -> list[tuple[int, int, bool]]:
    """Return the clicks that a round added, as (row, col, is_positive)."""
    assert after.clicks is not None
    known = (
        0 if before is None or before.clicks is None else int(before.clicks.valid[request].sum())
    )
    count = int(after.clicks.valid[request].sum())
    places = after.clicks.position[request, known:count].round().int().tolist()
    signs = after.clicks.is_positive[request, known:count].tolist()
    return [(row, col, sign) for (row, col), sign in zip(places, signs, strict=True)]


@pytest.mark.parametrize("name", ["refine-semantic", "refine-in-context", "long interaction"])
def test_a_user_corrects_only_where_the_answer_is_wrong(name: str) -> None:
    plan, seen = PLANS[name], 0
    for step in range(4):
        model, batch = Recording(), make_batch(seed=step)
        take(model, plan, batch, step)
        truth = batch.target >= 0.5
        for number in range(1, len(plan.rounds)):
            before, after = model.asked[number - 1], model.asked[number]
            probability = canvas_logits(model.said[number - 1], (64, 64)).detach().sigmoid()
            assert after.dense is not None
            # The previous answer is passed on as it is, not as a mask.
            assert torch.equal(after.dense[:, 2], probability)
            mask = probability >= 0.5
            for request in range(len(truth)):
                added = new_clicks(before, after, request)
                assert len(added) == (0 if torch.equal(mask[request], truth[request]) else 1)
                for row, col, is_positive in added:
                    assert bool(truth[request, row, col]) is is_positive
                    assert bool(mask[request, row, col]) is not is_positive
                    assert after.dense[request, 0 if is_positive else 1, row, col] == 1
                    seen += 1
    assert seen >= 12


def test_a_first_mark_lies_on_the_structure_and_the_previous_answer_is_empty() -> None:
    for step in range(6):
        model, batch = Recording(), make_batch(seed=step)
        take(model, PLANS["interactive"], batch, step)
        (prompts,) = model.asked
        assert prompts.dense is not None and prompts.clicks is not None
        assert prompts.dense[:, 2].eq(0).all()
        truth = batch.target >= 0.5
        for request in range(len(truth)):
            positive = [c for c in new_clicks(None, prompts, request) if c[2]]
            assert positive
            rows, cols = truth[request].any(1).nonzero(), truth[request].any(0).nonzero()
            for row, col, _ in positive:
                # A box or lasso marks the outside; its one positive point is the innermost.
                assert int(rows.min()) <= row <= int(rows.max())
                assert int(cols.min()) <= col <= int(cols.max())
                if prompts.dense[request, 0].any():
                    assert truth[request, row, col]


def gradients(model: KPrism) -> dict[str, Tensor]:
    return {n: p.grad.clone() for n, p in model.named_parameters() if p.grad is not None}


@pytest.mark.parametrize("bfloat16", [False, True])
def test_after_a_step_of_each_kind_every_parameter_has_had_a_gradient(bfloat16: bool) -> None:
    model, batch = make_nano(), make_batch(6)
    for plan in PLANS.values():
        with torch.autocast("cpu", torch.bfloat16, enabled=bfloat16):
            take(model, plan, batch).loss.backward()
    found = gradients(model)
    assert [n for n, _ in model.named_parameters() if n not in found] == []
    assert [n for n, g in found.items() if not float(g.abs().max()) > 0] == []


@pytest.mark.parametrize("bfloat16", [False, True])
def test_a_round_without_gradient_does_not_silence_the_next(bfloat16: bool) -> None:
    """Autocast keeps cast weights for a whole step: none may come from a round without gradient."""
    model = make_nano()
    with torch.autocast("cpu", torch.bfloat16, enabled=bfloat16):
        take(model, PLANS["refine-semantic"]).loss.backward()
    found = gradients(model)
    # These speak only from the second round on, which has no gradient here; the third has.
    for name, parameter in model.named_parameters():
        if name.startswith(("prompt_encoder.", "clicks.", "fine_head.from_marks.")):
            assert float(found[name].abs().max()) > 0, name
        assert parameter.dtype == torch.float32


def test_a_step_is_decided_by_its_counter() -> None:
    plan = PLANS["long interaction"]
    first, again, other = (take(make_nano(), plan, step=step).loss.item() for step in (0, 0, 1))
    assert first == again != other


def test_requests_do_not_see_one_another() -> None:
    batch, model = make_batch(4), make_nano().eval()
    together = take(model, PLANS["in-context"], batch).loss.item()
    singles = []
    for request in range(4):
        pick = slice(request, request + 1)
        alone = replace(
            batch,
            image_index=batch.image_index[pick],
            concept=batch.concept[pick],
            target=batch.target[pick],
            reference_images=batch.reference_images[pick],
            reference_masks=batch.reference_masks[pick],
        )
        singles.append(take(model, PLANS["in-context"], alone).loss.item())
    assert together == pytest.approx(float(np.mean(singles)), rel=1e-5)


@pytest.mark.parametrize("name", PLANS)
def test_an_absent_structure_is_a_question_too(name: str) -> None:
    batch = make_batch(3)
    target = batch.target.clone()
    target[0] = 0
    result = take(make_nano(), PLANS[name], replace(batch, target=target))
    assert result.loss.isfinite()
    result.loss.backward()
    assert all(0 <= dice <= 1 for dice in result.round_dice)
