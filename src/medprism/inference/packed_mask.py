"""A mask kept small: one bit a pixel, and only inside its bounding box."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from medprism.core.prompt import Mask2d, bounding_box


@dataclass(frozen=True)
class PackedMask:
    """One slice's mask; equal masks are equal values. `box` is None where no pixel is set."""

    shape: tuple[int, int]
    box: tuple[int, int, int, int] | None
    bits: bytes

    @classmethod
    def pack(cls, mask: Mask2d) -> PackedMask:
        """Pack a mask.

        >>> mask = np.zeros((64, 48), bool); mask[3:5, 7:9] = True
        >>> len(PackedMask.pack(mask).bits)
        1
        """
        shape = (int(mask.shape[0]), int(mask.shape[1]))
        box = bounding_box([mask])
        if box is None:
            return cls(shape, None, b"")
        top, left, bottom, right = box
        return cls(shape, box, np.packbits(mask[top:bottom, left:right]).tobytes())

    def unpack(self) -> Mask2d:
        """Return the mask as a new array."""
        mask = np.zeros(self.shape, dtype=bool)
        if self.box is not None:
            top, left, bottom, right = self.box
            inside = (bottom - top, right - left)
            flat = np.unpackbits(np.frombuffer(self.bits, np.uint8), count=inside[0] * inside[1])
            mask[top:bottom, left:right] = flat.reshape(inside).astype(bool)
        return mask

    def __bool__(self) -> bool:
        return self.box is not None
