"""What rivals of TP-Seg are made of: its trunk, and a plain way up without tasks.

Encoder, reductions and training are those of TP-Seg, so that a comparison is one of mechanisms.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int64
from torch import Tensor, nn

from medprism.models.blocks.grid import resize_linear, size_of
from medprism.models.tpseg.config import TPSegConfig
from medprism.models.tpseg.reduction import NormedConv, ReceptiveBlock
from medprism.models.tpseg.trunk import Adapt, HieraTrunk

Images = Float[Tensor, "images 3 height width"]
Maps = Float[Tensor, "images channels height width"]
Tasks = Int64[Tensor, " images"]


class UpStep(nn.Module):
    """Raise a map, join it with the finer one, convolve twice: a step of a UNet."""

    def __init__(self, high: int, low: int, outputs: int) -> None:
        super().__init__()
        self.first = NormedConv(high + low, outputs, (3, 3))
        self.second = NormedConv(outputs, outputs, (3, 3))

    def forward(
        self,
        high: Float[Tensor, "images coarse rows cols"],
        low: Float[Tensor, "images fine height width"],
    ) -> Maps:
        """Return the joined map on the grid of `low`."""
        joined = torch.cat([resize_linear(high, size_of(low)), low], dim=1)
        return F.relu(self.second(F.relu(self.first(joined))))


class Pyramid(nn.Module):
    """Trunk, reductions, and three steps up to 1/4 [SAM2UNet]."""

    def __init__(self, config: TPSegConfig) -> None:
        super().__init__()
        reduced = config.decoder.reduced
        self.trunk = HieraTrunk(config.trunk)
        self.reductions = nn.ModuleList(
            ReceptiveBlock(width, narrow)
            for width, narrow in zip(config.trunk.widths, reduced, strict=True)
        )
        self.steps = nn.ModuleList(
            UpStep(high, low, low) for low, high in zip(reduced[:-1], reduced[1:], strict=True)
        )

    def forward(
        self, image: Images, adapt: Adapt | None = None
    ) -> tuple[
        tuple[Float[Tensor, "images _ _ _"], ...], tuple[Float[Tensor, "images _ _ _"], ...]
    ]:
        """Return the four reduced maps and those of the three steps, both from fine to coarse."""
        maps = self.trunk(image, adapt)
        reduced = tuple(narrow(x) for narrow, x in zip(self.reductions, maps, strict=True))
        high, raised = reduced[-1], list[Tensor]()
        for step, low in zip(reversed(self.steps), reversed(reduced[:-1]), strict=True):
            high = step(high, low)
            raised.append(high)
        return reduced, tuple(reversed(raised))


def channel_of(scores: Float[Tensor, "images tasks height width"], task: Tasks) -> Tensor:
    """Return the channel of each image's task.

    >>> channel_of(torch.arange(6.0).reshape(2, 3, 1, 1), torch.tensor([2, 0])).flatten().tolist()
    [2.0, 3.0]
    """
    return scores[torch.arange(len(task), device=task.device), task]


def raise_all(
    scores: Sequence[Float[Tensor, "images _ _"]], image: Images
) -> tuple[Float[Tensor, "images height width"], ...]:
    """Bring maps of logits to the size of the image."""
    return tuple(resize_linear(one[:, None], size_of(image))[:, 0] for one in scores)
