from __future__ import annotations

import pytest
import torch

from medprism.core.errors import GeometryError, LabelError, PromptError
from medprism.models.segmenter import Features, Prompts, Segmenter
from medprism.models.tpseg.model import TPSeg, task_rows

from . import literal
from .scene import SIZE, TASKS, VARIANTS, draw_scene, make_fresh, make_used, small, worst


@pytest.mark.parametrize("variant", VARIANTS)
def test_every_parameter_learns_in_every_variant(variant: str) -> None:
    model = make_used(small(**VARIANTS[variant]))
    scene = draw_scene((0, 1, 2))
    answer = model(scene.image, scene.task)
    assert answer.logits.shape == (3, *SIZE)
    assert [tuple(step.shape) for step in answer.steps] == [(3, *SIZE)] * 3
    loss = sum(
        torch.nn.functional.binary_cross_entropy_with_logits(one, scene.target)
        for one in (answer.logits, *answer.steps)
    )
    assert isinstance(loss, torch.Tensor)
    loss.backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        assert torch.isfinite(parameter.grad).all(), name
        assert parameter.grad.abs().sum() > 0, name


@pytest.mark.parametrize("variant", VARIANTS)
def test_images_of_a_batch_do_not_influence_one_another(variant: str) -> None:
    model = make_used(small(**VARIANTS[variant]), dtype=torch.float64)
    scene = draw_scene((0, 2, 1), dtype=torch.float64)
    whole = model(scene.image, scene.task).logits
    # Ten thousand times brighter: a mean over the batch would show it.
    loud = torch.cat([scene.image[:1], 1e4 * scene.image[1:]])
    assert worst(model(loud, scene.task).logits[:1], whole[:1]) < 1e-9
    for row in range(3):
        alone = model(scene.image[row : row + 1], scene.task[row : row + 1]).logits
        assert worst(whole[row : row + 1], alone) < 1e-9
    assert worst(whole[0:1], whole[1:2]) > 1e-3


@pytest.mark.parametrize("variant", ["dual adapters", "shared adapters", "task adapters"])
def test_adapters_at_their_start_are_the_trunk_alone(variant: str) -> None:
    model = make_fresh(small(**VARIANTS[variant]))
    scene = draw_scene((0, 1))
    alone = model.trunk(scene.image)
    adapted = model.encode_for(scene.image, scene.task)
    assert all(torch.equal(one, other) for one, other in zip(alone, adapted, strict=True))
    used = make_used(small(**VARIANTS[variant]))
    changed = used.encode_for(scene.image, scene.task)
    assert worst(changed[-1], used.trunk(scene.image)[-1]) > 1e-3


def test_another_tasks_adapter_prototypes_or_head_change_the_answer() -> None:
    model = make_used(small(), dtype=torch.float64)
    scene = draw_scene((0,), dtype=torch.float64)
    before = model(scene.image, scene.task).logits.clone()
    assert worst(model(scene.image, torch.tensor([1])).logits, before) > 1e-2
    for part in ("own", "gate", "bank", "head", "fusion"):
        changed = make_used(small(), dtype=torch.float64)
        state = changed.state_dict()
        names = [name for name in state if part in name.split(".") and "count" not in name]
        assert names
        for name in names:
            # All tasks at first have the same gate and fusion; then one of their own.
            other = state[name][1] if part not in ("gate", "fusion") else state[name][1].flip(-1)
            state[name][0] = other + (1.0 if part == "gate" else 0.0)
        changed.load_state_dict(state)
        assert worst(changed(scene.image, scene.task).logits, before) > 1e-3, part


@pytest.mark.parametrize("variant", VARIANTS)
def test_a_further_task_leaves_the_others_bit_for_bit(variant: str) -> None:
    few = make_used(small(TASKS, **VARIANTS[variant]))
    many = make_fresh(small(TASKS + 2, **VARIANTS[variant]), seed=9)
    rows, state = task_rows(few), many.state_dict()
    for name, tensor in few.state_dict().items():
        if name in rows:
            state[name][:TASKS] = tensor
        else:
            state[name] = tensor
    many.load_state_dict(state)
    scene = draw_scene((0, 1, 2))
    assert torch.equal(few(scene.image, scene.task).logits, many(scene.image, scene.task).logits)
    fresh = draw_scene((4, 3, 3))
    assert torch.isfinite(many(fresh.image, fresh.task).logits).all()


@pytest.mark.parametrize("variant", VARIANTS)
def test_rows_of_tasks_are_exactly_what_a_further_task_adds(variant: str) -> None:
    few, many = (make_fresh(small(n, **VARIANTS[variant])).state_dict() for n in (3, 5))
    grown = {name for name in few if few[name].shape != many[name].shape}
    assert grown == task_rows(make_fresh(small(3, **VARIANTS[variant])))
    for name in grown:
        assert few[name].shape[1:] == many[name].shape[1:]
        assert (len(few[name]), len(many[name])) == (3, 5)


@pytest.mark.parametrize("seen_before", [False, True])
def test_prototypes_move_as_a_loop_over_positions_says(seen_before: bool) -> None:
    make = make_used if seen_before else make_fresh
    model = make(small(prototype_momentum=0.9, least_pixels=3), dtype=torch.float64)
    scene = draw_scene((2, 0, 2), dtype=torch.float64)
    answer = model(scene.image, scene.task)
    expected = literal.move_prototypes(model, answer.features[0], scene.target, [2, 0, 2])
    before = model.steps[0].bank.content.clone()
    model.remember(answer, scene.task, scene.target)
    found = model.steps[0].bank.content
    assert worst(found, expected) < 1e-12
    assert torch.equal(found[1], before[1])
    assert worst(found[0], before[0]) > 1e-4
    assert worst(found[[0, 2]].norm(dim=-1), torch.ones(2, 2)) < 1e-12


@pytest.mark.parametrize("mode", ["learned", "frozen"])
def test_only_averaged_prototypes_follow_the_masks(mode: str) -> None:
    model = make_fresh(small(prototype_mode=mode))
    before = [step.bank.content.detach().clone() for step in model.steps]
    scene = draw_scene()
    model.remember(model(scene.image, scene.task), scene.task, scene.target)
    for step, content in zip(model.steps, before, strict=True):
        assert torch.equal(step.bank.content, content)
        assert step.bank.count.sum() == 4
    is_learned = mode == "learned"
    assert isinstance(model.steps[0].bank.content, torch.nn.Parameter) is is_learned


def test_what_is_not_valid_says_nothing() -> None:
    model = make_fresh(small())
    scene = draw_scene((0, 1))
    answer = model(scene.image, scene.task)
    model.take_in(model.tally(answer, scene.task, scene.target, torch.tensor([False, True])))
    assert all(step.bank.count[:, 0].tolist() == [0, 1, 0] for step in model.steps)


def test_answering_changes_nothing_in_the_model() -> None:
    model = make_used(small()).train()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    scene = draw_scene()
    model(scene.image, scene.task)
    model.segment(scene.image[..., :50, :33], scene.task)
    assert all(torch.equal(before[name], now) for name, now in model.state_dict().items())


def test_a_task_that_was_never_seen_has_an_answer() -> None:
    model = make_fresh(small())
    scene = draw_scene((1,))
    assert not model.steps[0].bank.content.any()
    assert torch.isfinite(model(scene.image, scene.task).logits).all()


def test_any_size_is_padded_and_cropped() -> None:
    model = make_used(small())
    image = draw_scene((1,)).image[..., :48, :80]
    found = model.segment(image, torch.tensor([1]))
    assert found.shape == (1, 48, 80)
    padded = torch.nn.functional.pad(image, (0, 16, 0, 16), mode="replicate")
    assert torch.equal(found, model(padded, torch.tensor([1])).logits[:, :48, :80])


def test_it_serves_as_a_segmenter_that_is_asked_by_task() -> None:
    model = make_used(small())
    assert isinstance(model, Segmenter)
    assert (model.accepts.classes, model.accepts.tasks) == (True, True)
    assert not (model.accepts.references or model.accepts.clicks)
    scene = draw_scene((2, 0))
    features = model.encode(scene.image)
    decoded = model.decode(features, Prompts(concept=scene.task))
    assert torch.equal(decoded.logits, model(scene.image, scene.task).logits)
    dense = torch.zeros(2, 3, *SIZE)
    for prompts in (Prompts(), Prompts(concept=scene.task, dense=dense)):
        with pytest.raises(PromptError, match="by task alone"):
            model.decode(features, prompts)
    with pytest.raises(PromptError, match="not by references"):
        model.encode_references(scene.image[None], scene.target[None], torch.ones(1, 2) > 0)


@pytest.mark.parametrize("task", [[3, 0], [-1, 0]])
def test_an_unknown_task_number_is_refused(task: list[int]) -> None:
    model: TPSeg = make_fresh(small())
    with pytest.raises(LabelError, match="choose 0 to 2"):
        model(draw_scene().image, torch.tensor(task))


def test_images_that_do_not_fit_are_refused() -> None:
    model = make_fresh(small())
    with pytest.raises(GeometryError, match="multiples of 32"):
        model(torch.zeros(1, 3, 48, 64), torch.tensor([0]))
    with pytest.raises(PromptError):
        model.decode(Features((torch.zeros(1, 3, 64, 64),)), Prompts())


@pytest.mark.parametrize("variant", ["dual adapters", "learned prototypes"])
def test_half_precision_runs_and_stays_close(variant: str) -> None:
    model = make_used(small(**VARIANTS[variant]))
    scene = draw_scene()
    with torch.no_grad():
        full = model(scene.image, scene.task).logits
        with torch.autocast("cpu", torch.bfloat16):
            half = model(scene.image, scene.task).logits
    assert (full - half.float()).abs().mean() < 0.3
