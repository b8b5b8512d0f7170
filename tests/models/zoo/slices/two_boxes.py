"""Images with two boxes: a bright and a dark one that a class tells apart, or two alike."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from medprism.core.randomness import counter_rng
from medprism.models.kprism.model import KPrism
from medprism.models.segmenter import Clicks, Prompts, canvas_logits
from medprism.models.zoo.slices.frame import Rival
from medprism.objectives.segmentation import request_loss
from medprism.prompts.rasterise import mark_points
from tests.training.two_tasks import SIZE, draw_boxes

IMAGES = 4
# Seeds of images: those that say when to stop, and those that are learned from.
CHECKED, FIRST_TAUGHT = 1, 1000
MOST_STEPS = 180


@dataclass(frozen=True, eq=False)
class Boxes:
    """Every image is asked for both of its boxes: `truth` and `other` are where they lie."""

    image: Tensor
    truth: Tensor
    other: Tensor
    prompts: Prompts


def ask_classes(seed: int) -> Boxes:
    """Ask for the bright box by class 0 and for the dark one by class 1."""
    image, truth, other = _draw(seed, alike=False)
    return Boxes(image, truth, other, Prompts(concept=torch.tensor([0, 1]).repeat(IMAGES)))


def ask_clicks(seed: int) -> Boxes:
    """Ask for one of two bright boxes by a click into its middle."""
    image, truth, other = _draw(seed, alike=True)
    middles = [mask.nonzero().float().mean(0) for mask in truth]
    return Boxes(image, truth, other, clicked(torch.stack(middles)[:, None]))


def clicked(position: Tensor, is_positive: Tensor | None = None) -> Prompts:
    """Return clicks with their marks and an empty previous mask."""
    valid = torch.ones(position.shape[:2], dtype=torch.bool)
    signs = valid if is_positive is None else is_positive
    marks = mark_points(position, signs, valid, SIZE, SIZE)
    dense = torch.cat([marks, torch.zeros_like(marks[:, :1])], 1)
    return Prompts(clicks=Clicks(position, signs, valid), dense=dense)


def teach(model: Rival | KPrism, ask: Callable[[int], Boxes]) -> None:
    """Take steps, each on images not seen before, until other images go well or time is up."""
    optimizer = torch.optim.AdamW(model.parameters(), lr=4e-3)
    for step in range(MOST_STEPS):
        boxes = ask(FIRST_TAUGHT + step)
        decoded = model.decode(model.encode(boxes.image), boxes.prompts)
        outputs = (*decoded.auxiliary, decoded.logits)
        weights = (0.3,) * len(decoded.auxiliary) + (1.0,)
        optimizer.zero_grad()
        request_loss(outputs, boxes.truth.float(), weights).mean().backward()
        optimizer.step()
        if step % 10 == 9:
            least, most = dices(model, ask(CHECKED))
            if least > 0.92 and most < 0.1:
                return


def dices(model: Rival | KPrism, boxes: Boxes) -> tuple[float, float]:
    """Return the least Dice with what was asked for, and the largest with what was not."""
    with torch.no_grad():
        decoded = model.decode(model.encode(boxes.image), boxes.prompts)
    found = canvas_logits(decoded, (SIZE, SIZE)) >= 0
    return float(_dice(found, boxes.truth).min()), float(_dice(found, boxes.other).max())


def _dice(one: Tensor, other: Tensor) -> Tensor:
    return 2 * (one & other).sum((1, 2)) / (one.sum((1, 2)) + other.sum((1, 2)))


def _draw(seed: int, *, alike: bool) -> tuple[Tensor, Tensor, Tensor]:
    images, masks = [], []
    for number in range(IMAGES):
        rng = counter_rng(seed, number, "two boxes")
        picture, boxes = draw_boxes(rng)
        grey = (picture.astype(np.float32) - 120) / 60
        if alike:
            grey[boxes[1]] *= -1
        images.append(torch.from_numpy(grey).permute(2, 0, 1))
        masks.append(torch.from_numpy(boxes))
    truth = torch.cat(masks)
    other = torch.cat([mask.flip(0) for mask in masks])
    return torch.stack(images).repeat_interleave(2, 0), truth, other
