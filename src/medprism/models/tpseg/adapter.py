"""Task-conditioned adapters: what a block sees is changed a little, by task [TPSeg].

x + (1 - g) E_shared(norm(x)) + g E_task(norm(x)), each expert a bottleneck whose way up starts at
zero, so that an untrained adapter changes nothing. The gate g is learned per task and block.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int64
from torch import Tensor, nn

from medprism.models.tpseg.config import ADAPTER_PATHS, AdapterKind

Positions = Float[Tensor, "images height width channels"]
Tasks = Int64[Tensor, " images"]


class WholeNorm(nn.Module):
    """Normalisation over all positions and channels of an image: GroupNorm of one group."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))

    def forward(self, x: Positions) -> Positions:
        """Return the normalised map."""
        return F.layer_norm(x, x.shape[1:]) * self.weight + self.bias


class Bottlenecks(nn.Module):
    """Experts of one shape: scale_r GELU(x D_r) U_r, the row r chosen for each image."""

    def __init__(self, rows: int, channels: int, hidden: int) -> None:
        super().__init__()
        self.down = nn.Parameter(torch.empty(rows, channels, hidden))
        self.up = nn.Parameter(torch.zeros(rows, hidden, channels))
        self.scale = nn.Parameter(torch.ones(rows))
        # Kaiming's uniform bound with a = sqrt(5), as the release draws it.
        bound = 1 / math.sqrt(channels)
        nn.init.uniform_(self.down, -bound, bound)

    def forward(self, x: Positions, row: Tasks) -> Positions:
        """Return what the chosen experts would add."""
        flat = x.flatten(1, 2)
        inner = F.gelu(flat @ self.down.index_select(0, row))
        added = inner @ self.up.index_select(0, row)
        return (added * self.scale.index_select(0, row)[:, None, None]).reshape(x.shape)


class TaskAdapter(nn.Module):
    """The adapter before one block.

    `own` and `gate` have a row a task, which is all that a further task adds here.
    """

    def __init__(self, channels: int, hidden: int, tasks: int, kind: AdapterKind) -> None:
        super().__init__()
        paths = ADAPTER_PATHS[kind]
        self.norm = WholeNorm(channels)
        self.shared = Bottlenecks(1, channels, hidden) if paths.has_shared else None
        self.own = Bottlenecks(tasks, channels, hidden) if paths.has_own else None
        is_gated = paths.has_shared and paths.has_own
        self.gate = nn.Parameter(torch.zeros(tasks)) if is_gated else None

    def forward(self, x: Positions, task: Tasks) -> Positions:
        """Return the input of the block, adapted to the task of each image."""
        normed = self.norm(x)
        share, own_share = self._shares(task)
        if self.shared is not None:
            x = x + share * self.shared(normed, torch.zeros_like(task))
        if self.own is not None:
            x = x + own_share * self.own(normed, task)
        return x

    def _shares(
        self, task: Tasks
    ) -> tuple[Float[Tensor, "#images 1 1 1"], Float[Tensor, "#images 1 1 1"]]:
        """Return the weights of the two experts; one that is alone counts fully."""
        if self.gate is None:
            alone = self.norm.weight.new_ones(1, 1, 1, 1)
            return alone, alone
        gate = self.gate.sigmoid().index_select(0, task)[:, None, None, None]
        return 1 - gate, gate
