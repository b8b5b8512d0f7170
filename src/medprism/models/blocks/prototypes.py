"""A memory of task embeddings, one entry a key: the bank of seen classes or tasks.

Iris keeps the tokens of every class it has trained on (key = class, slots = tokens, momentum
0.999) and indexes them at test time, which needs no reference [Iris, Sec. 3]. TP-Seg keeps a unit
vector of foreground and background for every task. Both are this module.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

import torch
import torch.nn.functional as F
from einops import rearrange
from jaxtyping import Bool, Float, Int64
from torch import Tensor, nn

from medprism.core.errors import ConfigError
from medprism.models.segmenter import TensorValue

# How entries change: by the running average of updates, by gradients, or not at all.
BankMode = Literal["ema", "learned", "frozen"]
# What the first update of a slot does to an averaged bank: replace its content, or be averaged in.
FirstSight = Literal["copy", "blend"]


@dataclass(frozen=True, eq=False)
class BankTally(TensorValue):
    """The sum and number of the embeddings of every slot in one batch.

    Tallies of several processes add up member by member before they are taken in.
    """

    total: Float[Tensor, "keys slots dim"]
    number: Int64[Tensor, "keys slots"]


class PrototypeBank(nn.Module):
    """`keys` entries of `slots` vectors, with the number of embeddings each slot has seen.

    An update does not depend on the order of a batch: the embeddings of a slot are averaged first
    and move the entry by one step, v <- momentum v + (1 - momentum) mean. With `unit_length` the
    vectors are brought to unit length after every step. Entries start at zero, or as random unit
    vectors where they are learned, frozen or blended.

    Raises:
        ConfigError: counts below 1, a momentum outside 0..1, or an unknown mode.
    """

    content: Tensor
    count: Tensor

    def __init__(
        self,
        keys: int,
        slots: int,
        dim: int,
        *,
        momentum: float = 0.999,
        unit_length: bool = False,
        mode: BankMode = "ema",
        first: FirstSight = "copy",
    ) -> None:
        super().__init__()
        if min(keys, slots, dim) < 1 or not 0 <= momentum <= 1:
            raise ConfigError(
                f"a bank needs at least one key, slot and channel and a momentum of 0..1, got "
                f"{keys}, {slots}, {dim} and {momentum}"
            )
        if mode not in get_args(BankMode) or first not in get_args(FirstSight):
            raise ConfigError(
                f"bank mode {mode!r} must be 'ema', 'learned' or 'frozen' and first sight "
                f"{first!r} 'copy' or 'blend'"
            )
        self.momentum, self.unit_length, self.mode, self.first = momentum, unit_length, mode, first
        start = torch.zeros(keys, slots, dim)
        if mode != "ema" or first == "blend":
            start = F.normalize(torch.randn(keys, slots, dim), dim=-1)
        if mode == "learned":
            self.content = nn.Parameter(start)
        else:
            self.register_buffer("content", start)
        self.register_buffer("count", torch.zeros(keys, slots, dtype=torch.int64))

    def forward(
        self, key: Int64[Tensor, "..."]
    ) -> tuple[Float[Tensor, "... slots dim"], Bool[Tensor, "... slots"]]:
        """Return the entries of the keys, and which slots hold anything."""
        flat = key.reshape(-1)
        content = self.content.index_select(0, flat)
        if self.unit_length:
            content = F.normalize(content, dim=-1)
        filled = self.count.index_select(0, flat) > 0
        if self.mode != "ema" or self.first == "blend":
            filled = torch.ones_like(filled)
        return content.reshape(*key.shape, *content.shape[1:]), filled.reshape(*key.shape, -1)

    def tally(
        self,
        key: Int64[Tensor, " entries"],
        value: Float[Tensor, "entries slots dim"],
        present: Bool[Tensor, "entries slots"],
    ) -> BankTally:
        """Add up the embeddings of a batch by key and slot; absent ones are left out."""
        rows = torch.arange(self.count.shape[0], device=key.device)
        # A product with a 0/1 matrix, since scattered sums are not deterministic on every device.
        chosen = (rows[:, None] == key[None]).to(self.content.dtype)
        real = present.to(self.content.dtype)
        flat = rearrange(value.detach().to(real.dtype) * real[..., None], "n s d -> n (s d)")
        total = rearrange(chosen @ flat, "k (s d) -> k s d", s=value.shape[1])
        return BankTally(total, (chosen @ real).round().to(torch.int64))

    @torch.no_grad()
    def take_in(self, tally: BankTally) -> None:
        """Count a tally and, where entries are averaged, move them towards its means."""
        seen = tally.number > 0
        if self.mode == "ema":
            mean = tally.total / tally.number.clamp(min=1)[..., None]
            mean = F.normalize(mean, dim=-1) if self.unit_length else mean
            keep = torch.full_like(mean[..., :1], self.momentum)
            if self.first == "copy":
                keep = torch.where(self.count[..., None] > 0, keep, torch.zeros_like(keep))
            moved = keep * self.content + (1 - keep) * mean
            moved = F.normalize(moved, dim=-1) if self.unit_length else moved
            self.content.copy_(torch.where(seen[..., None], moved, self.content))
        self.count.add_(tally.number)

    def update(
        self,
        key: Int64[Tensor, " entries"],
        value: Float[Tensor, "entries slots dim"],
        present: Bool[Tensor, "entries slots"],
    ) -> None:
        """Take in the embeddings of a batch; learned and frozen entries only count them."""
        self.take_in(self.tally(key, value, present))
