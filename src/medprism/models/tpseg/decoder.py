"""The prototype-guided task decoder: one step of the way up, led by two vectors a task [TPSeg].

A task has a prototype of its lesion and one of the background at every step. They are compared
with every position, they read the map, and what they read makes the kernels that refine it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from einops import rearrange
from jaxtyping import Float, Int64
from torch import Tensor, nn

from medprism.models.blocks.attention import AttentionExperts, read_pixels
from medprism.models.blocks.grid import resize_linear
from medprism.models.blocks.precision import full_precision
from medprism.models.blocks.prototypes import PrototypeBank
from medprism.models.segmenter import TensorValue
from medprism.models.tpseg.config import TPSegConfig
from medprism.models.tpseg.kernels import KernelGenerator, convolve_each

Maps = Float[Tensor, "images channels height width"]
Scores = Float[Tensor, "images height width"]
Tasks = Int64[Tensor, " images"]

# Slots of a task's entry in a bank.
LESION, BACKGROUND, SIDES = 0, 1, 2
# Keeps the similarity of a task without prototypes, which is zero, from being divided by zero.
LEAST_MEAN = 1e-6


@dataclass(frozen=True, eq=False)
class StepAnswer(TensorValue):
    """One step: logits on its grid, the refined map, and the map that prototypes are made of."""

    logits: Scores
    refined: Maps
    features: Maps


class TaskHead(nn.Module):
    """Depth-wise 3 x 3, normalisation, GELU, then a 1 x 1 convolution of the task's own."""

    def __init__(self, channels: int, tasks: int) -> None:
        super().__init__()
        self.smooth = nn.Conv2d(channels, channels, 3, padding=1, groups=channels, bias=False)
        self.norm = nn.GroupNorm(1, channels)
        self.head = TaskVector(channels, tasks)

    def forward(self, x: Maps, task: Tasks) -> Scores:
        """Return the logits of each image's task."""
        with full_precision(x.device):
            smoothed = self.smooth(x.to(self.smooth.weight.dtype))
        scores: Tensor = self.head(F.gelu(self.norm(smoothed)), task)
        return scores


class TaskVector(nn.Module):
    """A vector and a bias a task: the channel that belongs to a task, and no other one."""

    def __init__(self, channels: int, tasks: int) -> None:
        super().__init__()
        bound = 1 / math.sqrt(channels)
        self.weight = nn.Parameter(torch.empty(tasks, channels).uniform_(-bound, bound))
        self.bias = nn.Parameter(torch.zeros(tasks))

    def forward(self, x: Maps, task: Tasks) -> Scores:
        """Return the product with each image's vector."""
        weight = self.weight.index_select(0, task)[:, None]
        flat = (weight @ x.flatten(2)).reshape(len(x), *x.shape[2:])
        return flat + self.bias.index_select(0, task)[:, None, None]


class SimilarityBias(nn.Module):
    """What the similarity adds to logits: prior * a * tanh((S / mean |S|) / t), a and t learned.

    The mean is that of each image alone. The release takes it over the batch, so that an answer
    depends on what else is asked for. t is the exponential of a parameter, so that it stays
    above zero.
    """

    def __init__(self, prior: float, temperature: float) -> None:
        super().__init__()
        self.prior = prior
        self.strength = nn.Parameter(torch.ones(()))
        self.log_temperature = nn.Parameter(torch.tensor(math.log(temperature)))

    def forward(self, similarity: Scores) -> Scores:
        """Return the bias of every position."""
        size = similarity.abs().mean((1, 2), keepdim=True).clamp(min=LEAST_MEAN)
        relative = similarity / size / self.log_temperature.exp()
        return self.prior * self.strength * relative.tanh()


class PrototypeDecoder(nn.Module):
    """Join two maps, compare with the task's prototypes, refine by generated kernels, segment."""

    def __init__(self, low: int, high: int, middle: int, config: TPSegConfig) -> None:
        super().__init__()
        decoder = config.decoder
        self.high = nn.Conv2d(high, middle, 1)
        self.low = nn.Conv2d(low, middle // 2, 1)
        self.join = nn.Conv2d(middle + middle // 2, middle, 1)
        self.join_norm = nn.GroupNorm(1, middle)
        self.around = nn.Conv2d(middle, middle, 3, padding=1, groups=middle, bias=False)
        self.around_norm = nn.GroupNorm(1, middle)
        self.features = nn.Conv2d(middle, middle, 1)
        self.bank = PrototypeBank(
            config.num_tasks,
            SIDES,
            middle,
            momentum=config.prototype_momentum,
            unit_length=True,
            mode=config.prototype_mode,
            first=config.prototype_first,
        )
        self.attention = AttentionExperts(middle, decoder.heads, 1)
        self.summary = nn.Linear(3 * middle, middle)
        self.kernels = KernelGenerator(middle, decoder.experts, decoder.blend)
        self.score = TaskHead(middle, config.num_tasks)
        self.bias = SimilarityBias(decoder.prior, decoder.temperature)

    def forward(
        self,
        low: Float[Tensor, "images fine height width"],
        high: Float[Tensor, "images coarse rows cols"],
        task: Tasks,
    ) -> StepAnswer:
        """Return the answer on the grid of `low`; `high` is the map of the step before."""
        raised = resize_linear(high, (low.shape[2], low.shape[3]))
        joined = self.join(torch.cat([self.high(raised), self.low(low)], dim=1))
        x = F.gelu(self.join_norm(joined))
        features = self._features(x)
        prototypes, _ = self.bank(task)
        similarity = compare(features, prototypes)
        kernels = self.kernels(self._read(features, prototypes.to(features.dtype)))
        attended = x * (1 + 0.5 * similarity.sigmoid()[:, None])
        refined = convolve_each(attended, kernels)
        logits = self.score(refined, task).to(similarity.dtype) + self.bias(similarity)
        return StepAnswer(logits, refined, features)

    def _features(self, x: Maps) -> Maps:
        with full_precision(x.device):
            around = self.around(x.to(self.around.weight.dtype))
        features: Tensor = self.features(F.gelu(self.around_norm(around)))
        return features

    def _read(
        self, features: Maps, prototypes: Float[Tensor, "images 2 channels"]
    ) -> Float[Tensor, "images channels"]:
        """Let both prototypes read the map; sum up what they read and how it differs."""
        positions = features.flatten(2)
        read = read_pixels(self.attention, prototypes, positions, positions, None)[:, 0]
        lesion, background = read[:, LESION], read[:, BACKGROUND]
        summary: Tensor = self.summary(torch.cat([lesion, background, lesion - background], dim=-1))
        return summary


def compare(features: Maps, prototypes: Float[Tensor, "images 2 channels"]) -> Scores:
    """Return cos(f, lesion) - cos(f, background) at every position, from -2 to 2.

    >>> lesion, background = [1.0, 0.0], [0.0, 1.0]
    >>> features = torch.tensor([[[[3.0]], [[0.0]]]])
    >>> compare(features, torch.tensor([[lesion, background]])).item()
    1.0
    """
    precise = torch.promote_types(features.dtype, torch.float32)
    with full_precision(features.device):
        units = F.normalize(features.to(precise).flatten(2), dim=1)
        cosines = F.normalize(prototypes.to(precise), dim=-1) @ units
    difference = cosines[:, LESION] - cosines[:, BACKGROUND]
    return rearrange(difference, "b (h w) -> b h w", h=features.shape[2])


def pool_sides(
    features: Maps, target: Float[Tensor, "images rows cols"], least: int
) -> tuple[Float[Tensor, "images 2 channels"], Float[Tensor, "images 2"]]:
    """Return the mean direction of the features on the lesion and on the background.

    The target (coverage in 0..1 at any size) is averaged to the grid of the features; lesion is
    where more than half is covered, background where less than a tenth is [TPSeg, release]. The
    second value counts the positions of each side beyond `least`, 0 where the side says nothing.
    """
    precise = torch.promote_types(features.dtype, torch.float32)
    with full_precision(features.device):
        size = (features.shape[2], features.shape[3])
        covered = F.interpolate(target[:, None].to(precise), size, mode="area")
        sides = torch.cat([covered > 0.5, covered < 0.1], dim=1).flatten(2).to(precise)
        units = F.normalize(features.detach().to(precise).flatten(2), dim=1)
        count = sides.sum(-1)
        means = sides @ units.transpose(1, 2) / count.clamp(min=1)[..., None]
    return means, (count - least).clamp(min=0)
