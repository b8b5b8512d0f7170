"""Tensors that stay for long, in pages of their own.

Between tensors that come and go with every click, one that stays keeps the memory around it from
being used again or given back: the heap grows although no more of it is in use. Pages of its own
go back to the system the moment it is dropped.
"""

from __future__ import annotations

import mmap
from typing import Final

import numpy as np
import torch
from torch import Tensor

# Below, a page is mostly empty, and the heap has small gaps enough.
SMALLEST_BYTES: Final = 2**16


def in_own_pages(tensor: Tensor) -> Tensor:
    """Return a copy of a tensor outside the heap; a small one, or one on a device, as it is.

    Values, shape and type are the same, bit for bit; the copy is contiguous.

    >>> large = torch.rand(2, 256, 256)
    >>> bool((in_own_pages(large) == large).all())
    True
    """
    num_bytes = tensor.numel() * tensor.element_size()
    if num_bytes < SMALLEST_BYTES or tensor.device.type != "cpu":
        return tensor
    pages = torch.from_numpy(np.frombuffer(mmap.mmap(-1, num_bytes), dtype=np.uint8))
    return pages.view(tensor.dtype).view(tensor.shape).copy_(tensor)
