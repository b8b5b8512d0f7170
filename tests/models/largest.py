"""How large the largest tensor is that a computation makes."""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves


class LargestTensor(TorchDispatchMode):
    """Record the number of elements of the largest tensor that any operation returns."""

    def __init__(self) -> None:
        super().__init__()
        self.elements = 0

    def __torch_dispatch__(
        self,
        func: object,
        types: object,
        args: tuple[object, ...] = (),
        kwargs: dict[str, object] | None = None,
    ) -> object:
        result = cast("Callable[..., object]", func)(*args, **(kwargs or {}))
        for leaf in tree_leaves(result):
            if isinstance(leaf, Tensor):
                # A view of few numbers, such as an expanded one, is as large as its storage.
                stored = leaf.untyped_storage().nbytes() // leaf.element_size()
                self.elements = max(self.elements, min(leaf.numel(), stored))
        return result


def largest_tensor(work: Callable[[], object]) -> int:
    """Return the elements of the largest tensor that something makes, inputs left out."""
    with torch.no_grad(), LargestTensor() as seen:
        work()
    return seen.elements
