"""Task embeddings as values: what references say about classes, apart from any image."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from medprism.core.errors import InternalError
from medprism.models.segmenter import TensorValue


@dataclass(frozen=True, eq=False)
class TaskEmbeddings(TensorValue):
    """The tokens T of a stack of classes, one stack a row [Iris, Sec. 3].

    A row is a request, or a reference of a pool. A class is not `present` where the row says
    nothing about it: padding of a shorter stack, or a reference that does not show it. Its tokens
    are zeros, nobody sees them, and its mask is empty.
    """

    tokens: Float[Tensor, "rows classes tokens dim"]
    present: Bool[Tensor, "rows classes"]

    @property
    def num_rows(self) -> int:
        """Number of requests, or of references of a pool."""
        return self.tokens.shape[0]

    @property
    def num_classes(self) -> int:
        """Number of classes of the stack, padding included."""
        return self.tokens.shape[1]

    def select(self, index: Int64[Tensor, " chosen"]) -> TaskEmbeddings:
        """Return some rows, in any order."""
        return self.map(lambda tensor: tensor.index_select(0, index))

    def select_classes(self, index: Int64[Tensor, " chosen"]) -> TaskEmbeddings:
        """Return some classes of every row, in any order."""
        return self.map(lambda tensor: tensor.index_select(1, index))

    def repeat(self, rows: int) -> TaskEmbeddings:
        """Return one row for each of many images, such as the windows of a volume; a view.

        Raises:
            InternalError: there is more than one row.
        """
        if self.num_rows != 1:
            raise InternalError(f"one row can be repeated, not {self.num_rows}")
        return self.map(lambda tensor: tensor.expand(rows, *tensor.shape[1:]))

    def pad_classes(self, classes: int) -> TaskEmbeddings:
        """Append absent classes, so that stacks of different length make one batch.

        Raises:
            InternalError: the stack is longer.
        """
        missing = classes - self.num_classes
        if missing < 0:
            raise InternalError(f"a stack of {self.num_classes} classes is not cut to {classes}")
        tokens = self.tokens.new_zeros(self.num_rows, missing, *self.tokens.shape[2:])
        absent = self.present.new_zeros(self.num_rows, missing)
        return TaskEmbeddings(
            torch.cat([self.tokens, tokens], 1), torch.cat([self.present, absent], 1)
        )


def stack_classes(parts: Sequence[TaskEmbeddings]) -> TaskEmbeddings:
    """Put the classes of several values side by side; all have the same rows."""
    return TaskEmbeddings(
        torch.cat([part.tokens for part in parts], 1),
        torch.cat([part.present for part in parts], 1),
    )


def stack_rows(parts: Sequence[TaskEmbeddings]) -> TaskEmbeddings:
    """Put rows below one another; shorter stacks are padded with absent classes."""
    longest = max(part.num_classes for part in parts)
    padded = [part.pad_classes(longest) for part in parts]
    return TaskEmbeddings(
        torch.cat([part.tokens for part in padded]), torch.cat([part.present for part in padded])
    )


def ensemble(pool: TaskEmbeddings) -> TaskEmbeddings:
    """Average every class over the rows that show it [Iris, Sec. 3: context ensemble].

    A class that no row shows stays absent.
    """
    return weighted_mean(pool, pool.present.to(pool.tokens.dtype))


def weighted_mean(pool: TaskEmbeddings, weight: Float[Tensor, "rows classes"]) -> TaskEmbeddings:
    """Average every class over the rows with weights of at least 0; absent rows count nothing."""
    share = weight * pool.present.to(weight.dtype)
    total = share.sum(0, keepdim=True)
    shown = total > 0
    summed = (pool.tokens * share[..., None, None]).sum(0, keepdim=True)
    mean = summed / torch.where(shown, total, torch.ones_like(total))[..., None, None]
    return TaskEmbeddings(mean, shown)
