"""SAM2-UNet's and Spider's mechanism: what the two have in common, and what makes each of them."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from medprism.models.tpseg.config import TPSegConfig, tpseg_nano
from medprism.models.tpseg.model import TaskAnswer
from medprism.models.zoo.sam2unet import SAM2UNet
from medprism.models.zoo.spider import FilterGenerator, Spider

RIVALS: dict[str, Callable[[TPSegConfig], SAM2UNet | Spider]] = {
    "sam2unet": SAM2UNet,
    "spider": Spider,
}
TASKS = 3


def make(name: str) -> SAM2UNet | Spider:
    torch.manual_seed(2)
    return RIVALS[name](tpseg_nano(TASKS))


def draw() -> tuple[Tensor, Tensor]:
    """Return pictures with a bright bar of chiral form, and where it is."""
    generator = torch.Generator().manual_seed(3)
    image = 0.2 * torch.randn(4, 3, 32, 64, generator=generator)
    target = torch.zeros(4, 32, 64)
    for index in range(4):
        target[index, 4 + 2 * index : 22 + 2 * index, 8:20] = 1
        target[index, 16 + 2 * index : 22 + 2 * index, 8 : 40 + 4 * index] = 1
    return image + target[:, None], target


def loss_of(answer: TaskAnswer, target: Tensor) -> Tensor:
    outputs = (answer.logits, *answer.steps)
    losses = [nn.functional.binary_cross_entropy_with_logits(one, target) for one in outputs]
    return torch.stack(losses).sum()


def learn(model: SAM2UNet | Spider, image: Tensor, task: Tensor, wanted: Tensor) -> None:
    optimizer = torch.optim.AdamW(model.parameters(), 4e-3)
    for _ in range(100):
        answer = model(image, task)
        optimizer.zero_grad()
        loss_of(answer, wanted).backward()
        optimizer.step()
        if isinstance(model, Spider):
            model.remember(answer, task, wanted)


@pytest.mark.parametrize("name", RIVALS)
def test_all_outputs_have_the_size_of_the_image_and_every_weight_learns(name: str) -> None:
    model, (image, target) = make(name), draw()
    task = torch.tensor([0, 1, 2, 1])
    if isinstance(model, Spider):
        model.remember(model(image, task), task, target)
    answer = model(image, task)
    assert answer.logits.shape == target.shape
    assert all(step.shape == target.shape for step in answer.steps)
    # A way up that starts at zero lets nothing through to the way down: one step first.
    for _ in range(2):
        loss_of(model(image, task), target).backward()
        with torch.no_grad():
            for parameter in model.parameters():
                if parameter.grad is not None:
                    parameter -= 0.01 * parameter.grad
    still = [name for name, p in model.named_parameters() if p.grad is None or not p.grad.any()]
    # The pooled place codes of the trunk always learn; nothing may be left out.
    assert still == []


@pytest.mark.parametrize("name", RIVALS)
def test_a_neighbour_in_the_batch_changes_nothing(name: str) -> None:
    model, (image, target) = make(name).eval(), draw()
    task = torch.tensor([0, 1, 2, 1])
    if isinstance(model, Spider):
        model.remember(model(image, task), task, target)
    whole = model(image, task).logits[1:2]
    torch.testing.assert_close(whole, model(image[1:2], task[1:2]).logits, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("name", RIVALS)
def test_two_tasks_learn_opposite_answers_to_the_same_images(name: str) -> None:
    model, (image, target) = make(name), draw()
    # Every image with both tasks, or the image alone would tell which of them is meant.
    twice, task = image[[0, 0, 1, 1]], torch.tensor([0, 1, 0, 1])
    wanted = torch.where(task[:, None, None] == 0, target[[0, 0, 1, 1]], 1 - target[[0, 0, 1, 1]])
    learn(model, twice, task, wanted)
    with torch.no_grad():
        found = model(twice, task).logits > 0
    assert (found == (wanted > 0.5)).float().mean() > 0.92


def test_sam2unet_has_no_weight_of_a_task_but_its_output_channel() -> None:
    few, many = SAM2UNet(tpseg_nano(2)), SAM2UNet(tpseg_nano(5))
    grown = {
        name
        for name, tensor in many.state_dict().items()
        if tensor.shape != few.state_dict()[name].shape
    }
    assert {name.split(".")[0] for name in grown} == {"heads"}


def test_spider_answers_by_its_prompts_which_masks_alone_move() -> None:
    model, (image, target) = make("spider"), draw()
    task = torch.zeros(4, dtype=torch.int64)
    assert not model.bank.content.any()
    before = model(image, task)
    model.remember(before, task, target)
    assert model.bank.count.tolist()[0] == [4, 4]
    assert not model.bank.content[1:].any()
    norms = model.bank.content[0].norm(dim=-1)
    torch.testing.assert_close(norms, torch.ones(2))
    after = model(image, task)
    assert not torch.equal(before.logits, after.logits)
    assert not any(parameter is model.bank.content for parameter in model.parameters())
    # A mask without a lesion says nothing about lesions.
    model.remember(after, task, torch.zeros_like(target))
    assert model.bank.count.tolist()[0] == [4, 8]


def test_the_filter_is_the_literal_form_an_image_at_a_time() -> None:
    torch.manual_seed(4)
    filters = FilterGenerator(5, 7)
    prompts, x = torch.randn(3, 2, 5), torch.randn(3, 7, 4, 6)
    found = filters(prompts, x)
    for index in range(3):
        lesion, background = prompts[index]
        apart = (lesion - background) / (lesion - background).norm()
        vector = filters.vector(torch.cat([lesion, apart]))
        bias = filters.bias(torch.cat([background, apart]))
        literal = nn.functional.conv2d(x[index : index + 1], vector[None, :, None, None], bias)
        torch.testing.assert_close(found[index : index + 1], literal[:, 0])
