"""ReferenceBank: the user's examples, by label. A value: adding returns another bank."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from types import MappingProxyType
from typing import Final

import numpy as np
from jaxtyping import Bool

from medprism.core.errors import LabelError, ReferencePairError
from medprism.core.image import Image
from medprism.inference.packed_mask import PackedMask

# A reference volume shows at most this many of its slices; each costs memory at every decode.
MAX_SLICES: Final = 8


@dataclass(frozen=True)
class Provenance:
    """Where a reference came from: `is_commit` if accepted in a session, else handed in."""

    is_commit: bool = False
    source: str | None = None
    author: str = ""


@dataclass(frozen=True, eq=False)
class Reference:
    """An image with a finished mask; `planes` holds the slices that have foreground."""

    image: Image
    planes: Mapping[int, PackedMask]
    provenance: Provenance = field(default_factory=Provenance)

    @classmethod
    def from_pair(
        cls, image: Image, mask: Bool[np.ndarray, "..."], provenance: Provenance | None = None
    ) -> Reference:
        """Join an image and its mask.

        Raises:
            ReferencePairError: the mask has another shape, or no foreground.
        """
        if mask.shape != image.shape:
            raise ReferencePairError(
                f"reference mask has shape {mask.shape} but its image {image.shape}; "
                "both must lie on the same grid, resample the mask first"
            )
        stack = image.to_stack(mask)
        touched = np.flatnonzero(stack.any((1, 2))).tolist()
        if not touched:
            raise ReferencePairError(
                f"reference mask of {_name(image)} has no foreground; "
                "an example must show the structure, leave this one out"
            )
        planes = {index: PackedMask.pack(stack[index]) for index in touched}
        return cls(image, MappingProxyType(planes), provenance or Provenance())

    @cached_property
    def digest(self) -> str:
        """SHA-256 of image and mask; where the pair came from does not matter."""
        sha = hashlib.sha256(self.image.digest.encode())
        for index in sorted(self.planes):
            plane = self.planes[index]
            sha.update(repr((index, plane.shape, plane.box)).encode())
            sha.update(plane.bits)
        return sha.hexdigest()

    def mask(self) -> Bool[np.ndarray, "..."]:
        """Return the whole mask in the shape of the image."""
        stack = np.zeros(self.image.geometry.shape, dtype=bool)
        for index, plane in self.planes.items():
            stack[index] = plane.unpack()
        return np.asarray(self.image.from_stack(stack))

    def shown_slices(self, limit: int = MAX_SLICES) -> tuple[int, ...]:
        """Return the slices with foreground, or `limit` of them spread evenly."""
        touched = sorted(self.planes)
        if len(touched) <= limit:
            return tuple(touched)
        chosen = np.linspace(0, len(touched) - 1, limit).round().astype(int)
        return tuple(touched[index] for index in chosen)


class ReferenceBank:
    """References of each label, without doubles; the order they were added in has no effect.

    >>> image = Image.from_array(np.zeros((4, 6), np.uint8))
    >>> mask = np.zeros((4, 6), bool); mask[1, 2] = True
    >>> one = Reference.from_pair(image, mask)
    >>> len(ReferenceBank().add("cyst", one).add("cyst", one).of("cyst"))
    1
    """

    def __init__(self, references: Mapping[str, tuple[Reference, ...]] | None = None) -> None:
        self._references: dict[str, tuple[Reference, ...]] = {
            label: _without_doubles(given) for label, given in (references or {}).items() if given
        }

    @property
    def labels(self) -> tuple[str, ...]:
        """Labels that have a reference."""
        return tuple(self._references)

    def of(self, label: str) -> tuple[Reference, ...]:
        """Return the references of a label in the order of their hashes; none is an answer."""
        return self._references.get(label, ())

    def __contains__(self, label: object) -> bool:
        return label in self._references

    def __len__(self) -> int:
        return sum(len(references) for references in self._references.values())

    def add(self, label: str, *references: Reference) -> ReferenceBank:
        """Return a bank with more references of a label."""
        return self.with_label(label, (*self.of(label), *references))

    def remove(self, label: str, digest: str) -> ReferenceBank:
        """Return a bank without one reference.

        Raises:
            LabelError: the label has no such reference.
        """
        kept = tuple(one for one in self.of(label) if one.digest != digest)
        if len(kept) == len(self.of(label)):
            raise LabelError(
                f"label {label!r} has no reference {digest[:12]!r}; it has "
                f"{', '.join(one.digest[:12] for one in kept) or 'none'}"
            )
        return self.with_label(label, kept)

    def with_label(self, label: str, references: tuple[Reference, ...]) -> ReferenceBank:
        """Return a bank in which a label has exactly these references."""
        return ReferenceBank({**self._references, label: references})


def _without_doubles(references: tuple[Reference, ...]) -> tuple[Reference, ...]:
    by_digest: dict[str, Reference] = {}
    for reference in references:
        by_digest.setdefault(reference.digest, reference)
    return tuple(by_digest[digest] for digest in sorted(by_digest))


def _name(image: Image) -> str:
    return image.source.name if image.source is not None else f"an image of shape {image.shape}"
