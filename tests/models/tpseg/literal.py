"""The literal forms of what TP-Seg does in cheaper ways, image by image."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from medprism.models.tpseg.adapter import TaskAdapter
from medprism.models.tpseg.decoder import PrototypeDecoder
from medprism.models.tpseg.kernels import KernelGenerator
from medprism.models.tpseg.model import TPSeg


def mix_convolutions(generator: KernelGenerator, x: Tensor, summary: Tensor) -> Tensor:
    """Convolve every image with every expert's kernels, then mix: M convolutions an image."""
    kernels, weights = generator.draw(summary)
    images = []
    for row in range(len(x)):
        total = torch.zeros_like(x[row])
        for expert in range(kernels.shape[1]):
            for channel in range(x.shape[1]):
                kernel = kernels[row, expert, channel][None, None]
                convolved = F.conv2d(x[row : row + 1, channel : channel + 1], kernel, padding=1)
                total[channel] += weights[row, expert] * convolved[0, 0]
        images.append(total)
    return torch.stack(images)


def adapt(adapter: TaskAdapter, x: Tensor, task: Tensor) -> Tensor:
    """Adapt image by image with 1 x 1 convolutions and GroupNorm, as the equation is written."""
    images = []
    for row in range(len(x)):
        image = x[row : row + 1].permute(0, 3, 1, 2)
        normed = F.group_norm(image, 1, adapter.norm.weight, adapter.norm.bias)
        number = int(task[row])
        gate = 1.0 if adapter.gate is None else float(torch.sigmoid(adapter.gate[number]).detach())
        changed = image
        for experts, index, share in (
            (adapter.shared, 0, 1.0 if adapter.gate is None else 1 - gate),
            (adapter.own, number, gate),
        ):
            if experts is not None:
                down, up = experts.down[index].T[..., None, None], experts.up[index].T
                inner = F.gelu(F.conv2d(normed, down))
                changed = changed + share * experts.scale[index] * F.conv2d(
                    inner, up[..., None, None]
                )
        images.append(changed.permute(0, 2, 3, 1))
    return torch.cat(images)


def decode_step(step: PrototypeDecoder, low: Tensor, high: Tensor, task: int) -> Tensor:
    """Return the logits of a step for one image without its batch, position by position."""
    raised = F.interpolate(high, low.shape[2:], mode="bilinear", align_corners=False)
    joined = step.join(torch.cat([step.high(raised), step.low(low)], dim=1))
    x = F.gelu(step.join_norm(joined))
    features = step.features(F.gelu(step.around_norm(step.around(x))))
    lesion, background = F.normalize(step.bank.content[task], dim=-1)
    similarity = F.cosine_similarity(
        features[0], lesion[:, None, None], dim=0
    ) - F.cosine_similarity(features[0], background[:, None, None], dim=0)
    read = _attend(step, torch.stack([lesion, background]), features[0].flatten(1).T)
    summary = step.summary(torch.cat([read[0], read[1], read[0] - read[1]]))[None]
    attended = x * (1 + 0.5 * torch.sigmoid(similarity))
    refined = mix_convolutions(step.kernels, attended, summary)
    smoothed = F.gelu(step.score.norm(step.score.smooth(refined)))[0]
    vector = step.score.head
    scores = (smoothed * vector.weight[task][:, None, None]).sum(0) + vector.bias[task]
    relative = similarity / similarity.abs().mean() / step.bias.log_temperature.exp()
    bias: Tensor = step.bias.prior * step.bias.strength * torch.tanh(relative)
    return scores + bias


def _attend(step: PrototypeDecoder, queries: Tensor, positions: Tensor) -> Tensor:
    """Attend by PyTorch's own module with the same weights."""
    experts = step.attention
    module = torch.nn.MultiheadAttention(experts.dim, experts.heads, dtype=positions.dtype)
    module.load_state_dict(
        {
            "in_proj_weight": experts.in_weight[0],
            "in_proj_bias": experts.in_bias[0],
            "out_proj.weight": experts.out_weight[0],
            "out_proj.bias": experts.out_bias[0],
        }
    )
    read: Tensor = module(queries, positions, positions, need_weights=False)[0]
    return read


def move_prototypes(model: TPSeg, features: Tensor, targets: Tensor, task: list[int]) -> Tensor:
    """Return the finest step's prototypes after one update, by loops over images and positions."""
    config, bank = model.config, model.steps[0].bank
    content = bank.content.clone()
    means: dict[tuple[int, int], list[Tensor]] = {}
    side = targets.shape[1] // features.shape[2]
    for row, number in enumerate(task):
        found: dict[int, list[Tensor]] = {0: [], 1: []}
        for i in range(features.shape[2]):
            for j in range(features.shape[3]):
                cell = targets[row, i * side : (i + 1) * side, j * side : (j + 1) * side]
                covered = float(cell.mean())
                unit = features[row, :, i, j] / features[row, :, i, j].norm()
                if covered > 0.5:
                    found[0].append(unit)
                elif covered < 0.1:
                    found[1].append(unit)
        for slot, units in found.items():
            if len(units) > config.least_pixels:
                mean = torch.stack(units).mean(0)
                means.setdefault((number, slot), []).append(mean / mean.norm())
    for (number, slot), several in means.items():
        mean = torch.stack(several).mean(0)
        mean = mean / mean.norm()
        if int(bank.count[number, slot]):
            keep = config.prototype_momentum
            mean = keep * content[number, slot] + (1 - keep) * mean
        content[number, slot] = mean / mean.norm()
    return content
